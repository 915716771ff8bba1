package dns_test

import (
	"errors"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
)

func TestUnboundTellsAuthenticFromInsecureAndBogus(t *testing.T) {
	t.Parallel()
	auth := testkit.NewAuthority(t,
		testkit.SignedZone{
			Origin: "signed.example",
			Records: `
host.signed.example            A     192.0.2.1
host.signed.example            TXT   "one " "two \000\255"
signed.example                 MX    10 host.signed.example
_25._tcp.host.signed.example   TLSA  3 1 1 133b919c9d65d8b1488157315327334ead8d83372db57465ecabf53ee5748aee
alias.signed.example           CNAME host.signed.example
out.signed.example             CNAME host.plain.signed.example
forged.signed.example          A     192.0.2.2
forged.signed.example          TXT   "x"
expired.signed.example         A     192.0.2.3
stripped.signed.example        A     192.0.2.4
toforged.signed.example        CNAME forged.signed.example
forgedalias.signed.example     CNAME host.signed.example
`,
			Faults: map[string]testkit.SignatureFault{
				"forged.signed.example":      testkit.SignatureForged,
				"forgedalias.signed.example": testkit.SignatureForged,
				"expired.signed.example":     testkit.SignatureExpired,
				"stripped.signed.example":    testkit.SignatureMissing,
				"denied.signed.example":      testkit.SignatureForged,
			},
		},
		testkit.SignedZone{Origin: "below.signed.example", Records: "host.below.signed.example A 192.0.2.5\n"},
		testkit.SignedZone{Origin: "plain.signed.example", Unsigned: true, Records: `
host.plain.signed.example  A     192.0.2.6
_25._tcp.host.plain.signed.example TLSA 3 1 1 133b919c9d65d8b1488157315327334ead8d83372db57465ecabf53ee5748aee
back.plain.signed.example  CNAME host.signed.example
`},
	)
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{testkit.StartUnbound(t, testkit.UnboundOptions{Authority: auth}).Addr}})
	if err != nil {
		t.Fatal(err)
	}
	ip := func(name string) (int, dns.Result, error) {
		l, res, err := r.LookupIP(t.Context(), "ip4", name)
		return len(l), res, err
	}
	txt := func(name string) (int, dns.Result, error) {
		l, res, err := r.LookupTXT(t.Context(), name)
		return len(l), res, err
	}
	tlsa := func(name string) (int, dns.Result, error) {
		l, res, err := r.LookupTLSA(t.Context(), 25, "tcp", name)
		return len(l), res, err
	}
	mx := func(name string) (int, dns.Result, error) {
		l, res, err := r.LookupMX(t.Context(), name)
		return len(l), res, err
	}
	cname := func(name string) (int, dns.Result, error) {
		target, res, err := r.LookupCNAME(t.Context(), name)
		if err != nil || target == name {
			return 0, res, err
		}
		return 1, res, err
	}
	for _, tc := range []struct {
		what      string
		lookup    func(string) (int, dns.Result, error)
		name      string
		n         int
		authentic bool
		err       error
	}{
		{"address", ip, "host.signed.example", 1, true, nil},
		{"text", txt, "host.signed.example", 1, true, nil},
		{"mx", mx, "signed.example", 1, true, nil},
		{"tlsa", tlsa, "host.signed.example", 1, true, nil},
		{"no such name", ip, "absent.signed.example", 0, true, dns.ErrNoDomain},
		{"no such record", tlsa, "signed.example", 0, true, dns.ErrNotFound},
		{"no such record at a name that only has names below", txt, "_tcp.host.signed.example", 0, true, dns.ErrNotFound},
		{"through an alias", ip, "alias.signed.example", 1, true, nil},
		{"alias", cname, "alias.signed.example", 1, true, nil},
		{"no alias", cname, "host.signed.example", 0, true, nil},
		{"zone below", ip, "host.below.signed.example", 1, true, nil},
		{"unsigned zone below", ip, "host.plain.signed.example", 1, false, nil},
		{"unsigned zone below, no such name", ip, "absent.plain.signed.example", 0, false, dns.ErrNotFound},
		{"unsigned zone below, tlsa", tlsa, "host.plain.signed.example", 1, false, nil},
		{"alias to unsigned zone: address", ip, "out.signed.example", 1, false, nil},
		{"alias to unsigned zone: the alias itself", cname, "out.signed.example", 1, true, nil},
		{"alias from unsigned zone: address", ip, "back.plain.signed.example", 1, false, nil},
		{"alias from unsigned zone: the alias itself", cname, "back.plain.signed.example", 1, false, nil},
		{"forged", ip, "forged.signed.example", 0, false, dns.ErrBogus},
		{"forged text", txt, "forged.signed.example", 0, false, dns.ErrBogus},
		{"expired", ip, "expired.signed.example", 0, false, dns.ErrBogus},
		{"signature is missing", ip, "stripped.signed.example", 0, false, dns.ErrBogus},
		{"denial is forged", ip, "denied.signed.example", 0, false, dns.ErrBogus},
		{"alias to forged", ip, "toforged.signed.example", 0, false, dns.ErrBogus},
		{"alias to forged: the alias itself", cname, "toforged.signed.example", 1, true, nil},
		{"forged alias", cname, "forgedalias.signed.example", 0, false, dns.ErrBogus},
		{"forged alias: address", ip, "forgedalias.signed.example", 0, false, dns.ErrBogus},
		{"not served", ip, "other.example", 0, false, dns.ErrTemporary},
	} {
		n, res, err := tc.lookup(tc.name)
		if n != tc.n || res.Authentic != tc.authentic || (err == nil) != (tc.err == nil) || !errors.Is(err, tc.err) {
			t.Errorf("%s: got %d records, authentic %v, %v", tc.what, n, res.Authentic, err)
		}
	}
	if l, _, err := r.LookupTXT(t.Context(), "host.signed.example"); err != nil || len(l) != 1 || l[0] != "one two \x00\xff" {
		t.Errorf("got %q, %v", l, err)
	}
}
