#!/bin/sh
# Runs every fuzz target of every package for FUZZTIME, and prints how many inputs
# each has seen. Stops at the first finding, which go test has then written to
# testdata/fuzz of the package.
set -eu
cd "$(dirname "$0")/.."
time=${FUZZTIME:-20s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The go command sometimes fails with nothing but this when the time is over.
timed_out() {
	grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input\|panic\|seed#' "$log"
}

targets=0
executions=0
for pkg in $(go list ./...); do
	for target in $(go test -run '^$' -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		# Minimising an interesting input can take a minute and finds nothing.
		if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x "$pkg" >"$log" 2>&1 && ! timed_out; then
			cat "$log"
			echo "FAIL $pkg $target"
			exit 1
		fi
		n=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
		printf 'ok   %-28s %-32s %s executions in %s\n' "$pkg" "$target" "${n:-0}" "$time"
		targets=$((targets + 1))
		executions=$((executions + ${n:-0}))
	done
done
echo "$targets fuzz targets, $executions executions, no findings"
