#!/bin/sh
# Installs the programs that the tests use as peers, as root on Debian and its
# kin, with apt-get. It starts no services: what has daemons is told not to. As
# another user, or elsewhere, it changes nothing and names what is missing; tests
# that need it are skipped then. With the environment variable CI set, a missing
# program is a failure.
#
# With the argument "bench" it adds what only benchmarks use, to compare with.
set -eu

# Package and the program in it that tests look for, or the module of Perl or of
# Debian's Python.
packages="
swaks swaks
libnet-ssleay-perl perl:Net::SSLeay
curl curl
isync mbsync
mutt mutt
tmux tmux
python3 python3
openssl openssl
strace strace
fuse3 fusermount3
xz-utils xz
util-linux unshare
unbound unbound
postfix posttls-finger
opendkim opendkim
opendkim-tools opendkim-testmsg
python3-dkim python3:dkim
python3-nacl python3:nacl
python3-authres python3:authres
python3-spf python3:spf
libxml2-utils xmllint
"
if [ "${1:-}" = bench ]; then
	packages="$packages
dovecot-core dovecot
dovecot-imapd dovecot
bogofilter bogofilter
"
fi

PATH=$PATH:/usr/sbin:/sbin
installed() {
	case $1 in
	perl:*) perl "-M${1#perl:}" -e 1 >/dev/null 2>&1 ;;
	python3:*) /usr/bin/python3 -c "import ${1#python3:}" >/dev/null 2>&1 ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

missing_packages=
missing_programs=
while read -r package program; do
	if [ -n "$package" ] && ! installed "$program"; then
		missing_packages="$missing_packages $package"
		missing_programs="$missing_programs $program"
	fi
done <<END
$packages
END
[ -n "$missing_packages" ] || exit 0

if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing for the tests:$missing_packages"
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	export DEBIAN_FRONTEND=noninteractive
	# Package lists may be old, or absent as in container images.
	apt-get install -qq -y --no-install-recommends $missing_packages >/dev/null 2>&1 || {
		apt-get update -qq
		apt-get install -qq -y --no-install-recommends $missing_packages
	}
	exit 0
fi

echo "not installed, tests that use them are skipped:$missing_programs"
echo "(Debian packages:$missing_packages)"
[ -z "${CI:-}" ]
