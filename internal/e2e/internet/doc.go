// Package internet has tests of mail between servers on a small internet of its own:
// two mox as they are built, a Postfix, an exim4, unbound with zones that are signed,
// a web server with MTA-STS policies, and a SOCKS proxy. Each is a host, in a network
// namespace with its own addresses of IPv4 and IPv6, with the real ports. The hosts are
// connected by a bridge that leads nowhere else, so nothing of it is seen by others,
// and nothing gets out. There is no code here besides tests.
//
// All tests share the internet and go on at the same time, each with domains of its
// own. A test sends a message and checks what arrives, what "mox trace" says about it,
// and what was recorded for TLS reports; the latter when all tests are through, for only
// then the databases can be opened.
//
// Tests here need Linux and root, take longer than others, and are left out with -short.
// Programs are installed by scripts/install-test-packages.sh.
package internet
