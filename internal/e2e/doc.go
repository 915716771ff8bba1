// Package e2e has tests of the program as its users have it: they build mox, run
// "mox localserve", and use it with real programs (swaks, curl, mbsync, mutt,
// Python) and with our own clients. Each test that has stopped a server ends with
// "mox verifydata". There is no code here besides tests.
//
// Tests here take longer than others. Each has a short form and, with the
// environment variable MOX_SOAK=1, the long one that a release is judged by:
//
//	                          short                       long
//	corpus (corpus_test.go)   every 10th of the spam      all 6,046
//	crash (crash_test.go)     10 rounds of kill -9        50, see MOX_CRASH_ROUNDS
//
// They need Linux for the parts that look at /proc, and programs that
// scripts/install-test-packages.sh installs.
package e2e
