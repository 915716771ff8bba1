// Package e2e has tests of the program as its users have it: they build mox, run
// "mox localserve", and use it with real programs (swaks, curl, mbsync, mutt,
// Python, openssl) and with our own clients. Each test that has stopped a server ends
// with "mox verifydata". There is no code here besides tests.
//
// The conversations of the Apache James test suite are run here too; the tables in
// conversations_*_test.go say which of them, and why not the others.
//
// Tests here take longer than others, and with -short they are left out: the race
// detector would not see the program. With the environment variable MOX_SOAK=1 the long
// forms run that a release is judged by; MOX_CRASH_ROUNDS sets how often the server is
// killed. Some parts need Linux, for /proc, or root; programs are installed by
// scripts/install-test-packages.sh.
package e2e
