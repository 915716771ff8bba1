// Package testkit has what tests of several packages need: directories, spools and
// golden files, a certificate authority, DNS servers in this process, of which one
// signs with DNSSEC, the program as it is built, unbound and pebble, a file system that
// fails when told to, external programs, and the shared test data.
//
// Everything binds to port 0 on a loopback address, cleans up after itself when
// the test ends, and waits for events, never for time to pass. Helpers take a
// testing.TB and fail the test instead of returning errors. Only tests import
// this package.
//
// Environment: MOX_SHARED is the directory with test data that is not in the
// repository. If CI is not empty, what is [Missing] is a failure instead of a skip.
package testkit
