// Package script runs conversation scripts: tests of a protocol server or client
// that are written as the lines that go over one or more connections. README.md
// teaches the format.
//
// [Parse] reads a script, [Script.Run] runs it over connections that the caller
// makes, and [RunDir] runs the scripts of a directory as parallel subtests. The
// package knows no protocol: commands such as starting TLS are directives of the
// caller.
//
// Scripts say nothing about time: a read waits for what comes, up to a deadline
// after which the script has failed. A script runs in one goroutine. Only tests
// import this package.
package script
