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
neomutt neomutt
offlineimap3 offlineimap
fetchmail fetchmail
imapfilter imapfilter
alpine alpine
aerc aerc
nodejs node
npm npm
tmux tmux
python3 python3
openssl openssl
strace strace
fuse3 fusermount3
xz-utils xz
util-linux unshare
unbound unbound
iproute2 ip
microsocks microsocks
postfix posttls-finger
opendkim opendkim
opendkim-tools opendkim-testmsg
python3-dkim python3:dkim
python3-nacl python3:nacl
python3-authres python3:authres
python3-spf python3:spf
python3-websockets python3:websockets
libxml2-utils xmllint
bind9-utils named-checkzone
debootstrap debootstrap
systemd-container systemd-nspawn
knot knotd
postfix-mta-sts-resolver mta-sts-daemon
thunderbird thunderbird
libnss3-tools certutil
testssl.sh testssl
zbar-tools zbarimg
zsh zsh
fish fish
mandoc mandoc
haproxy haproxy
systemd systemd-analyze
dovecot-core dovecot
dovecot-imapd dovecot
fail2ban fail2ban-regex
libdb5.3 lib:libdb-5.3.so
libgnutls-dane0 lib:libgnutls-dane.so.0
libidn12 lib:libidn.so.12
libnsl2 lib:libnsl.so.2
libpcre2-8-0 lib:libpcre2-8.so.0
"

# Packages that exclude another one above, or of which only one program is needed, and a
# program in each: they are unpacked into a directory of their own. What they depend on is
# above.
unpacked="
exim4-daemon-light usr/sbin/exim4
prometheus usr/bin/promtool
"
unpack_dir=/usr/local/lib/mox-test-packages
if [ "${1:-}" = bench ]; then
	packages="$packages
dovecot-lmtpd /usr/lib/dovecot/lmtp
bogofilter bogofilter
"
fi

PATH=$PATH:/usr/sbin:/sbin
installed() {
	# -I: directories here, such as dkim, are no modules of Python.
	case $1 in
	perl:*) perl "-M${1#perl:}" -e 1 >/dev/null 2>&1 ;;
	lib:*) [ -n "$(find /lib /usr/lib -name "${1#lib:}" -print -quit 2>/dev/null)" ] ;;
	python3:*) /usr/bin/python3 -I -c "import ${1#python3:}" >/dev/null 2>&1 ;;
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
missing_unpacked=
while read -r package path; do
	if [ -n "$package" ] && ! installed "${path##*/}"; then
		missing_unpacked="$missing_unpacked $package"
		missing_programs="$missing_programs ${path##*/}"
	fi
done <<END
$unpacked
END
# What comes from npm, as internal/e2e/testdata/imapflow has it.
missing_modules=
imapflow=$(dirname "$0")/../internal/e2e/testdata/imapflow
if ! cmp -s "$imapflow/package-lock.json" "$unpack_dir/imapflow/package-lock.json"; then
	missing_modules=imapflow
	missing_programs="$missing_programs imapflow"
fi
[ -n "$missing_packages$missing_unpacked$missing_modules" ] || exit 0

# unpack downloads packages, and makes links to their programs.
unpack() {
	[ -n "$missing_unpacked" ] || return 0
	echo "unpacking for the tests:$missing_unpacked"
	mkdir -p "$unpack_dir" /usr/local/sbin
	(
		cd "$unpack_dir"
		apt-get download -qq $missing_unpacked >/dev/null 2>&1 || {
			apt-get update -qq
			apt-get download -qq $missing_unpacked
		}
		for deb in ./*.deb; do
			dpkg -x "$deb" .
			rm "$deb"
		done
	)
	while read -r package path; do
		[ -z "$package" ] || ln -sf "$unpack_dir/$path" "/usr/local/sbin/${path##*/}"
	done <<END
$unpacked
END
}

# modules installs what comes from npm. The lock file is there when all else is.
modules() {
	[ -n "$missing_modules" ] || return 0
	echo "installing from npm for the tests: $missing_modules"
	mkdir -p "$unpack_dir/imapflow"
	cp "$imapflow/package.json" "$imapflow/package-lock.json" "$unpack_dir/imapflow"
	(cd "$unpack_dir/imapflow" && npm ci --silent --ignore-scripts --no-audit --no-fund) || {
		rm "$unpack_dir/imapflow/package-lock.json"
		return 1
	}
}

if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; then
	if [ -z "$missing_packages" ]; then
		unpack
		modules
		exit 0
	fi
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
	unpack
	modules
	exit 0
fi

echo "not installed, tests that use them are skipped:$missing_programs"
echo "(Debian packages:$missing_packages$missing_unpacked)"
[ -z "${CI:-}" ]
