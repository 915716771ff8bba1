package dane_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"mox/dane"
	"mox/dns"
	"mox/internal/testkit"
	"mox/internal/testkit/peers"
	"mox/smtpclient"
)

// A verdict is what a client makes of a server.
type verdict string

const (
	verified    verdict = "verified"
	notVerified verdict = "not verified"  // There are usable records and the server does not match them.
	allUnusable verdict = "all unusable"  // There are records and none is usable.
	noRecords   verdict = "no records"    // DANE does not apply.
	failed      verdict = "lookup failed" // The server must not be used.
)

// An interopCase is a next hop whose hosts are all the same Postfix.
type interopCase struct {
	name    string
	nexthop string // "[host]" without looking up MX records.
	want    verdict
}

var interopCases = []interopCase{
	{"right key", "[right.signed.example]", verified},
	{"right key, through mx", "ee.signed.example", verified},
	{"wrong key", "[wrong.signed.example]", notVerified},
	{"whole certificate, sha512", "[cert512.signed.example]", verified},
	{"whole certificate, in full", "[certfull.signed.example]", verified},
	{"whole key, in full", "[keyfull.signed.example]", verified},
	{"unusable: length", "[short.signed.example]", allUnusable},
	{"unusable: usages for public authorities", "[pkix.signed.example]", allUnusable},
	{"unusable: unknown parameters", "[unknown.signed.example]", allUnusable},
	{"one unusable, one right", "[mixed.signed.example]", verified},
	{"rolled over: old and new", "[rollover.signed.example]", verified},
	{"rolled over: only old", "[old.signed.example]", notVerified},
	{"stronger digest wrong, weaker one right", "[agility.signed.example]", notVerified},
	{"authority", "[mail.signed.example]", verified},
	{"authority, another name", "[othername.signed.example]", notVerified},
	{"authority, name of next hop", "nexthop.signed.example", verified},
	{"authority, name of neither", "another.signed.example", notVerified},
	{"authority, in full", "[tafull.signed.example]", notVerified},
	{"authority, in full, through mx", "tafull.nexthop.signed.example", notVerified},
	{"key of authority, in full", "[takeyfull.signed.example]", notVerified},
	{"wrong authority", "[wrongta.signed.example]", notVerified},
	{"behind a secure alias, records at its target", "[alias.signed.example]", verified},
	{"behind a secure alias, records at both", "[aliasboth.signed.example]", verified},
	{"behind a secure alias, records at the alias", "[aliasown.signed.example]", verified},
	{"behind an insecure alias", "[alias.plain.signed.example]", noRecords},
	{"behind a secure alias to an unsigned zone, records at the alias", "[out.signed.example]", verified},
	{"behind a secure alias to an unsigned zone, no records", "[outnone.signed.example]", noRecords},
	{"alias of tlsa records", "[tlsaalias.signed.example]", verified},
	{"no records", "[none.signed.example]", noRecords},
	{"unsigned", "[host.plain.signed.example]", noRecords},
	{"bogus records", "[bogus.signed.example]", failed},
	{"bogus denial of records", "[denied.signed.example]", failed},
	{"expired signature of address", "[expired.signed.example]", failed},
}

// interopZones are for a Postfix with a certificate for mail.signed.example and
// nexthop.signed.example.
func interopZones(t *testing.T, port string, ca *testkit.CA, cert tls.Certificate) []testkit.SignedZone {
	leaf, anchor := &pair{Certificate: cert.Leaf}, &pair{Certificate: ca.Cert}
	other := issueNow(t, nil, true)
	var b strings.Builder
	host := func(name string, records ...dane.Record) {
		fmt.Fprintf(&b, "%s.signed.example A 127.0.0.1\n", name)
		for _, r := range records {
			fmt.Fprintf(&b, "_%s._tcp.%s.signed.example TLSA %s\n", port, name, r.Record())
		}
	}
	text := func(s string) dane.Record { return parse(t, s) }
	right, wrong := tlsa(3, 1, 1, leaf), tlsa(3, 1, 1, other)
	host("right", right)
	host("wrong", wrong)
	host("cert512", tlsa(3, 0, 2, leaf))
	host("certfull", tlsa(3, 0, 0, leaf))
	host("keyfull", tlsa(3, 1, 0, leaf))
	host("short", text("3 1 1 "+sum[2:]), text("3 1 2 "+sum))
	host("pkix", tlsa(1, 1, 1, leaf), tlsa(0, 0, 1, anchor))
	host("unknown", text("3 9 1 "+sum), text("3 1 9 "+sum), text("9 1 1 "+sum))
	host("mixed", text("3 1 1 "+sum[2:]), right)
	host("rollover", wrong, right)
	host("old", wrong)
	host("agility", tlsa(3, 1, 2, other), right)
	host("mail", tlsa(2, 0, 1, anchor))
	host("othername", tlsa(2, 0, 1, anchor))
	host("tafull", tlsa(2, 0, 0, anchor))
	host("takeyfull", tlsa(2, 1, 0, anchor))
	host("wrongta", tlsa(2, 0, 1, other), tlsa(2, 1, 1, leaf))
	host("none")
	host("bogus", right)
	host("denied")
	host("expired", right)
	fmt.Fprintf(&b, `
ee.signed.example             MX    10 right.signed.example
nexthop.signed.example        MX    10 othername.signed.example
another.signed.example        MX    10 othername.signed.example
tafull.nexthop.signed.example MX    10 tafull.signed.example
alias.signed.example          CNAME right.signed.example
aliasboth.signed.example      CNAME right.signed.example
_%[1]s._tcp.aliasboth.signed.example TLSA %[3]s
aliasown.signed.example       CNAME none.signed.example
_%[1]s._tcp.aliasown.signed.example TLSA %[2]s
out.signed.example            CNAME host.plain.signed.example
_%[1]s._tcp.out.signed.example TLSA %[2]s
outnone.signed.example        CNAME host.plain.signed.example
tlsaalias.signed.example      A     127.0.0.1
_%[1]s._tcp.tlsaalias.signed.example CNAME _%[1]s._tcp.right.signed.example
`, port, right.Record(), wrong.Record())
	plain := fmt.Sprintf(`
host.plain.signed.example  A     127.0.0.1
_%[1]s._tcp.host.plain.signed.example TLSA %[2]s
alias.plain.signed.example CNAME right.signed.example
`, port, wrong.Record())
	return []testkit.SignedZone{
		{Origin: "signed.example", Records: b.String(), Faults: map[string]testkit.SignatureFault{
			"_" + port + "._tcp.bogus.signed.example":  testkit.SignatureForged,
			"_" + port + "._tcp.denied.signed.example": testkit.SignatureForged,
			"expired.signed.example":                   testkit.SignatureExpired,
		}},
		{Origin: "plain.signed.example", Records: plain, Unsigned: true},
	}
}

func TestPostfixIsVerifiedAsPosttlsFingerDoes(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "starting postfix and giving posttls-finger a resolver")
	ca := testkit.NewCA(t)
	cert := ca.Issue(t, testkit.ECDSA, "mail.signed.example", "nexthop.signed.example")
	postfix := peers.StartPostfix(t, peers.Options{Hostname: "mail.signed.example", CA: ca, Cert: cert})
	number := int(netip.MustParseAddrPort(postfix.Addr).Port())
	port := strconv.Itoa(number)
	auth := testkit.NewAuthority(t, interopZones(t, port, ca, cert)...)
	unbound := testkit.StartUnbound(t, testkit.UnboundOptions{Authority: auth, Port53: true})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{unbound.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range interopCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if got, err := ourVerdict(ctx, t, r, tc.nexthop, number); got != tc.want {
				t.Errorf("we say %s, %v, expected %s", got, err, tc.want)
			}
			if got, out := posttlsFinger(t, unbound.Command(t, "posttls-finger", "-c", "-l", "dane-only",
				"-o", "dnssec_probe=ns:signed.example", tc.nexthop+":"+port)); got != tc.want {
				t.Errorf("posttls-finger says %s, expected %s:\n%s", got, tc.want, out)
			}
		})
	}
}

// ourVerdict connects as for delivery. The error is the reason for verdicts that have
// one.
func ourVerdict(ctx context.Context, t *testing.T, r dns.Resolver, nexthop string, port int) (verdict, error) {
	var d dane.Destination
	var err error
	if name, ok := strings.CutPrefix(nexthop, "["); ok {
		h := domain(t, strings.TrimSuffix(name, "]"))
		d = dane.Destination{Domain: h, Expanded: h, Authentic: true, Hosts: []dns.Domain{h}}
	} else if d, err = dane.LookupDestination(ctx, nil, r, domain(t, nexthop)); err != nil || !d.Authentic {
		return failed, err
	}
	h, err := dane.LookupHost(ctx, nil, r, d, d.Hosts[0], port)
	if err != nil {
		return failed, err
	}
	opts := smtpclient.Options{
		Hostname: dns.IPDomain{Domain: domain(t, "client.example")},
		TLS:      smtpclient.TLSOptions{Mode: smtpclient.TLSRequired, ServerName: h.Base},
	}
	result := map[dane.Status]verdict{dane.StatusNone: noRecords, dane.StatusUnusable: allUnusable, dane.StatusUsable: verified}[h.Status]
	if h.Status == dane.StatusUsable {
		opts.TLS.Verify = func(cs tls.ConnectionState) error {
			_, err := h.Verify(cs)
			return err
		}
	}
	c, err := smtpclient.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", h.IPs[0], port))
	}, opts)
	if errors.Is(err, dane.ErrVerify) {
		return notVerified, err
	} else if err != nil {
		t.Errorf("connecting to %s: %v", h.Name, err)
		return failed, err
	}
	return result, c.Close()
}

// posttlsFinger returns what posttls-finger says at level dane-only.
func posttlsFinger(t *testing.T, cmd *exec.Cmd) (verdict, string) {
	data, err := cmd.CombinedOutput()
	out := string(data)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running posttls-finger: %v", err)
	}
	for _, s := range []struct {
		text string
		v    verdict
	}{
		{"Failed to establish session", failed},
		{"Destination address lookup failed", failed},
		{"all TLSA records unusable", allUnusable},
		{"no usable TLSA records found", allUnusable},
		{"no TLSA records found", noRecords},
		{"Verified TLS connection established", verified},
		{"Untrusted TLS connection established", notVerified},
		{"Trusted TLS connection established", notVerified}, // Verified but for the name.
	} {
		if strings.Contains(out, s.text) {
			return s.v, out
		}
	}
	return "unknown", out
}
