// Package machine has tests of the program on a machine of its own: a fresh Debian, made by
// debootstrap and booted with systemd, on which the program is set up as README says, with
// the records that it prints loaded into a signed zone.
//
// Around the machine there is a world in network namespaces that lead nowhere else: a DNS
// root, with zones below it that are signed, a certificate authority, a Postfix that verifies
// with DANE and MTA-STS, and a mail program. There is no code here besides tests.
//
// Tests here need Linux and root, take longer than others, and are left out with -short. The
// first run makes the Debian and keeps it in the user's cache directory. Programs are
// installed by scripts/install-test-packages.sh. What is for people to look at, such as
// pictures of the mail program, is left in the directory in MOX_ARTIFACTS.
package machine
