#!/bin/sh
# Runs its arguments, a "go test -race" command, which needs cgo and a C compiler.
# Without one it says so and does nothing, except in CI, where that is a failure.
set -eu
cc=$(go env CC)
if command -v "${cc%% *}" >/dev/null 2>&1; then
	CGO_ENABLED=1 exec "$@"
fi
echo "no C compiler ($cc): the race detector is left out"
[ -z "${CI:-}" ]
