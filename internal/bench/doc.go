// Package bench measures the server as a whole: the benchmarks in its tests build
// the binary, run it as "mox localserve" on a data directory, and drive it over
// loopback sockets. Benchmarks of single packages are beside their code.
//
//	go test -run '^$' -bench . ./internal/bench          # all: some 40 minutes
//	go test -run '^$' -bench 'Read|Bulk' ./internal/bench  # beside Dovecot: some 15 minutes
//	go test -run '^$' -bench . -short ./internal/bench   # 2,000 messages: under a minute
//	go test -run '^$' -bench Read/messages=20000 ./internal/bench -commands '^(Select|Status)'  # some commands only
//
// What depends on the disk is measured in rounds of a second, each next to a probe of
// the bare disk, and compared round by round: the figures of a machine that others
// use, or of a virtual disk, drift by a factor of two within minutes, the ratios do
// not. Nothing here fails because something is slow; a wrong or missing answer, an
// error in the server's log or a panic does fail.
//
// The results are lines for benchstat, and a table at the end. Figures of Dovecot are, if it
// is installed, those of a Dovecot that is started here with the configuration in testdata
// and does the same for the same client, in turn.
//
// Client and server share the processors, so the clients do little: they send
// commands made before, and look for the end of the answer without parsing it. What a
// command answers is counted and checked once, outside the measurement. That of BenchmarkRead
// waits in read(2), so that threads of Go's scheduler are not woken for it.
//
// Run as root, BenchmarkRead keeps the processors from sleeping before the first commands of a
// connection: otherwise those that take less than a tenth of a millisecond show how long the
// machine takes to wake one. With -sleep they sleep.
//
// Environment: MOX_BENCH_DIR is the directory that all data is written to, which
// should be on the kind of disk that mail is to be kept on, by default mox-bench in
// the user's directory for caches. Mailboxes that have been filled stay there for the
// next run. MOX_BENCH=short does what the flag -short does.
//
// Nothing outside this package uses it. Its benchmarks run one after another.
package bench
