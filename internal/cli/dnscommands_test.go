package cli

import (
	"strings"
	"testing"

	"mox/internal/testkit"
)

const commandZone = `
example.org MX 10 mail.example.org
example.org MX 20 xn--bcher-kva.example.org
example.org NS ns.example.org
example.org TXT "v=spf1 mx " "include:_spf.example.org exp=why.example.org ~all"
example.org TXT "a\"b\\c\007\255"
_spf.example.org TXT "v=spf1 ip4:192.0.2.0/28 ptr ?all"
why.example.org TXT "%{i} is not one of %{d}'s"
fail.example.org TXT "v=spf1 exists:%{l}.%{h}.user.example.org -all exp=why.example.org"
ann.host.example.org.user.example.org A 127.0.0.1
loop.example.org TXT "v=spf1 redirect=loop.example.org"
bad.example.org TXT "v=spf1 moo"
two.example.org TXT "v=spf1 -all"
two.example.org TXT "v=spf1 +all"
mail.example.org A 192.0.2.1
mail.example.org AAAA 2001:db8::1
alias.example.org CNAME mail.example.org
xn--bcher-kva.example A 192.0.2.2
insecure.example A 192.0.2.3
_imaps._tcp.example.org SRV 1 2 993 mail.example.org
_25._tcp.mail.example.org TLSA 3 1 1 0102030405060708091011121314151617181920212223242526272829303132
1.2.0.192.in-addr.arpa PTR mail.example.org
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mail.example.org
`

// dnsServer starts a server with commandZone and more lines, and returns the flag for
// commands to use it.
func dnsServer(t *testing.T, more string) string {
	t.Helper()
	s := testkit.NewDNS(t, testkit.DNSOptions{
		Zone:      commandZone + more,
		Authentic: true,
		Insecure:  []string{"insecure.example"},
		Faults:    map[string]testkit.DNSFault{"down.example": testkit.DNSServFail, "bogus.example": testkit.DNSBogus},
	})
	return "-dns=" + s.Addr
}

// A commandCase is a command line with what it prints, as texts that are contained.
type commandCase struct {
	args string // Separated by "|".
	code int
	out  string
	err  string
}

// check runs the command with a DNS server.
func (tc commandCase) check(t *testing.T, server string) {
	t.Helper()
	t.Run(tc.args, func(t *testing.T) {
		mox(t, "", append([]string{server}, strings.Split(tc.args, "|")...)...).want(t, tc.code, tc.out, tc.err)
	})
}

func TestDNSLookupPrintsAnswersAndDNSSEC(t *testing.T) {
	t.Parallel()
	server := dnsServer(t, "")
	const verified = "DNSSEC: verified\n"
	for _, tc := range []commandCase{
		{"dns|lookup|mx|example.org", 0, "10 mail.example.org\n20 bücher.example.org/xn--bcher-kva.example.org\n" + verified, ""},
		{"dns|lookup|MX|Example.ORG.", 0, "10 mail.example.org\n", ""},
		{"dns|lookup|a|mail.example.org", 0, "192.0.2.1\n" + verified, ""},
		{"dns|lookup|aaaa|mail.example.org", 0, "2001:db8::1\n" + verified, ""},
		{"dns|lookup|ip|mail.example.org", 0, "192.0.2.1\n2001:db8::1\n" + verified, ""},
		{"dns|lookup|a|bücher.example", 0, "192.0.2.2\n" + verified, ""},
		{"dns|lookup|a|insecure.example", 0, "192.0.2.3\nDNSSEC: not verified\n", ""},
		{"dns|lookup|addr|192.0.2.1", 0, "mail.example.org\n" + verified, ""},
		{"dns|lookup|ptr|2001:db8::1", 0, "mail.example.org\n" + verified, ""},
		{"dns|lookup|cname|alias.example.org", 0, "mail.example.org\n" + verified, ""},
		{"dns|lookup|cname|mail.example.org", 0, "mail.example.org (no alias)\n" + verified, ""},
		{"dns|lookup|ns|example.org", 0, "ns.example.org\n" + verified, ""},
		{"dns|lookup|srv|_imaps._tcp.example.org", 0, "1 2 993 mail.example.org\n" + verified, ""},
		{"dns|lookup|tlsa|_25._tcp.mail.example.org", 0, "3 1 1 0102030405060708091011121314151617181920212223242526272829303132\n" + verified, ""},
		{"dns|lookup|txt|example.org", 0, `"v=spf1 mx include:_spf.example.org exp=why.example.org ~all"` + "\n", ""},
		{"dns|lookup|txt|example.org", 0, `"a\"b\\c\007\255"` + "\n", ""},

		{"dns|lookup|a|nosuch.example.org", 1, "", "no such record"},
		{"dns|lookup|a|nosuch.example.org", 1, "", "(DNSSEC: verified)"},
		{"dns|lookup|a|down.example", 1, "", "temporary lookup failure"},
		{"dns|lookup|a|bogus.example", 1, "", "dnssec verification failed"},
		{"dns|lookup|mx|192.0.2.1", 2, "", `"192.0.2.1" is an address, of which type addr finds the names`},
		{"dns|lookup|mx|a..b", 2, "", "empty label"},
		{"dns|lookup|addr|mail.example.org", 2, "", `"mail.example.org" is not an IP address`},
		{"dns|lookup|any|example.org", 2, "", `unknown type "any", use a, aaaa`},
		{"dns|lookup|mx", 2, "", "usage: mox dns lookup type name"},
	} {
		tc.check(t, server)
	}
}

func TestSPFCommandsExplainRecordsAndResults(t *testing.T) {
	t.Parallel()
	server := dnsServer(t, "")
	for _, tc := range []commandCase{
		{"spf|parse|v=spf1 mx/24//64 include:_spf.example.org -all", 0, "" +
			"mx/24//64                 pass: addresses of the MX hosts of the domain and their networks (/24 for IPv4, /64 for IPv6)\n" +
			"include:_spf.example.org  pass: addresses that pass for _spf.example.org\n" +
			"-all                      fail: any address\n" +
			"terms that need DNS lookups: 2 here, of at most 10 with those in records it refers to\n", ""},
		{"spf|parse|v=spf1|ip4:192.0.2.1|?ip6:2001:db8::9/32|a:x.example|exists:%{ir}.example|x=y|exp=e.example", 0, "" +
			"ip4:192.0.2.1         pass: address 192.0.2.1\n" +
			"?ip6:2001:db8::9/32   neutral: addresses in 2001:db8::/32\n" +
			"a:x.example           pass: addresses of x.example\n" +
			"exists:%{ir}.example  pass: any address, if %{ir}.example has an A record\n" +
			"exp=e.example         a text for a fail is in the TXT record of e.example\n" +
			"x=y                   unknown, ignored\n" +
			"terms that need DNS lookups: 2 here", ""},
		{"spf|parse|v=spf1 ptr", 0, "note: ptr is slow and unreliable", ""},
		{"spf|parse|v=spf1 ptr", 0, "note: without all at the end, other addresses are neutral\n", ""},
		{"spf|parse|v=spf1 all mx redirect=b.example", 0, "note: all hosts of the world may send for this domain\nnote: what follows all is never used\nnote: redirect is ignored next to all\n", ""},
		{"spf|parse|v=spf1 redirect=b.example", 0, "if nothing matches, the record of b.example decides\nterms that need DNS lookups: 1 here", ""},
		{"spf|parse|v=spf1 moo", 1, "", `malformed spf record: term "moo": unknown mechanism at column 8`},
		{"spf|parse", 2, "", "usage: mox spf parse record"},

		{"spf|lookup|example.org", 0, "example.org TXT \"v=spf1 mx include:_spf.example.org exp=why.example.org ~all\"\nDNSSEC: verified\n\nmx ", ""},
		{"spf|lookup|bad.example.org", 1, "bad.example.org TXT \"v=spf1 moo\"\nDNSSEC: verified\n", "record of bad.example.org: malformed spf record"},
		{"spf|lookup|two.example.org", 1, "", "record of two.example.org: several spf records"},
		{"spf|lookup|mail.example.org", 1, "", "record of mail.example.org: no spf record"},
		{"spf|lookup|down.example", 1, "", "record of down.example: looking up txt for"},
		{"spf|lookup|a b.example", 2, "", "malformed name"},
		{"spf|lookup", 2, "", "usage: mox spf lookup domain"},

		{"spf|check|example.org|192.0.2.1", 0, "pass\nbecause of: mx\nDNSSEC: verified\n", ""},
		{"spf|check|example.org|192.0.2.9", 0, "pass\nbecause of: include:_spf.example.org\n", ""},
		{"spf|check|example.org|203.0.113.1", 0, "softfail\nbecause of: all\n", ""},
		{"spf|check|ann@fail.example.org|203.0.113.1", 0, "fail\nbecause of: all\nfail.example.org explains: 203.0.113.1 is not one of fail.example.org's\nDNSSEC: verified\n", ""},
		{"spf|check|-ehlo|host.example.org|ann@fail.example.org|203.0.113.1", 0, "pass\nbecause of: exists:%{l}.%{h}.user.example.org\n", ""},
		{"spf|check|loop.example.org|203.0.113.1", 0, "permerror\nproblem: record of loop.example.org: term \"redirect=loop.example.org\": more than 10 terms that need dns lookups\n", ""},
		{"spf|check|nosuch.example.org|203.0.113.1", 0, "none\nproblem: record of nosuch.example.org: no spf record\n", ""},
		{"spf|check|down.example|::1", 0, "temperror\nproblem: record of down.example: looking up txt for", ""},
		{"spf|check|example.org|mail.example.org", 2, "", `"mail.example.org" is not an IP address`},
		{"spf|check|a b|::1", 2, "", `"a b" is not a domain or address`},
		{"spf|check|-ehlo|a b|example.org|::1", 2, "", "flag -ehlo: "},
		{"spf|check|example.org", 2, "", "usage: mox spf check [-ehlo name] domain ip"},
	} {
		tc.check(t, server)
	}
}

const listZone = `
2.0.0.127.good.example A 127.0.0.2
1.2.0.192.good.example A 127.0.0.2
1.2.0.192.good.example A 127.0.0.10
1.2.0.192.good.example TXT "see http://good.example"
2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.six.example A 127.0.0.2
2.0.0.127.six.example A 127.0.0.2
*.refuses.example A 127.255.255.254
*.parked.example A 203.0.113.1
9.2.0.192.in-addr.arpa PTR other.example.org
9.2.0.192.in-addr.arpa PTR mail.example.org
`

func TestDNSBLAndIPRevCommandsSayWhatIsKnown(t *testing.T) {
	t.Parallel()
	server := dnsServer(t, listZone)
	for _, tc := range []commandCase{
		{"dnsbl|check|good.example|six.example|192.0.2.1", 0, "good.example: listed with [127.0.0.2 127.0.0.10] (DNSSEC: verified)\ngood.example explains: see http://good.example\nsix.example: not listed (DNSSEC: verified)\n", ""},
		{"dnsbl|check|refuses.example|192.0.2.1", 1, "refuses.example: no answer: zone refuses.example: list refuses the query with 127.255.255.254: it was asked through a public resolver\n", "a list gave no answer"},
		{"dnsbl|check|parked.example|192.0.2.1", 1, "answer is no listing code: 203.0.113.1\n", "a list gave no answer"},
		{"dnsbl|check|192.0.2.1|good.example", 2, "", `"good.example" is not an IP address`},
		{"dnsbl|check|192.0.2.1|192.0.2.1", 2, "", `"192.0.2.1" is an address where the name of a blocklist is needed`},
		{"dnsbl|check|a..b|192.0.2.1", 2, "", "name of blocklist: dns: empty label"},
		{"dnsbl|check|good.example", 2, "", "usage: mox dnsbl check zone ... ip"},

		{"dnsbl|checkhealth|six.example|good.example", 0, "six.example: IPv4 works\nsix.example: IPv6 works\ngood.example: IPv4 works\ngood.example: IPv6 does not work: zone does not work as a list: test entry ::ffff:127.0.0.2 is not listed\n", ""},
		{"dnsbl|checkhealth|refuses.example", 1, "refuses.example: IPv4 is unknown: zone refuses.example: list refuses", "a list does not work"},
		{"dnsbl|checkhealth|parked.example", 1, "parked.example: IPv4 does not work: ", "a list does not work"},
		{"dnsbl|checkhealth", 2, "", "usage: mox dnsbl checkhealth zone ..."},

		{"iprev|check|192.0.2.1", 0, "pass\nname: mail.example.org (has the address)\nDNSSEC: verified\n", ""},
		{"iprev|check|192.0.2.9", 0, "fail\nname: other.example.org\nname: mail.example.org\nproblem: no name of the address has the address: 192.0.2.9\n", ""},
		{"iprev|check|192.0.2.77", 0, "permerror\nproblem: address has no name: 192.0.2.77\n", ""},
		{"iprev|check|here", 2, "", `"here" is not an IP address`},
		{"iprev|check", 2, "", "usage: mox iprev check ip"},
	} {
		tc.check(t, server)
	}
}
