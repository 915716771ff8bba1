#!/bin/sh
# Fails and names the source files that gofmt would change.
set -eu
cd "$(dirname "$0")/.."
bad=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
if [ -n "$bad" ]; then
	echo "not formatted, run make fmt:"
	echo "$bad"
	exit 1
fi
