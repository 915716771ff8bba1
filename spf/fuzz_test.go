package spf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// FuzzCheck evaluates made-up records, split by line, in a zone where the names are
// d0.example and so on, and which has a few hosts.
func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 include:d1.example -all exp=%{ir}.d2.example\nv=spf1 redirect=d0.example\n%{s} %{p}", "user", "helo", "192.0.2.1")
	f.Add("v=spf1 redirect=d0.example", "u", "h", "::1")
	f.Add("v=spf1 ?include:%{d} ptr mx a/0//0 exists:%{L}.%{h}.%{p3r-}", "a@b", "%", "2001:db8::1")
	f.Add("v=spf1 mx:many.example a:host.example/24 ptr:example\nv=spf1 a:%{o} ~all", "é", "\x00", "::ffff:192.0.2.1")
	f.Add("v=spf1 -all exp=d1.example\n\xff", "", "", "10.0.0.1")
	f.Fuzz(func(t *testing.T, records, local, helo, addr string) {
		ip, err := netip.ParseAddr(addr)
		if err != nil || len(records) > 10_000 {
			return
		}
		z := newZone("host.example A 192.0.2.1\nhost.example AAAA 2001:db8::1\n1.2.0.192.in-addr.arpa PTR host.example\n")
		for i := range 10 {
			z.add("many.example", "MX", fmt.Sprintf("%d n%d.example", i, i))
		}
		for i, txt := range strings.Split(records, "\n") {
			z.add(fmt.Sprintf("d%d.example", i), "TXT", txt)
		}
		r := checkHost(t.Context(), nil, z, ip, identity{local, "d0.example"}, helo, "r.example")
		checkResult(t, r)
		// One term takes one lookup, and one for each host or name. The names of the
		// client are looked up once, and there is a first record and an explanation.
		if most := 2 + MaxTerms*(1+MaxMX) + 1 + MaxPTR; len(z.queries) > most {
			t.Fatalf("%d lookups", len(z.queries))
		}
		again := checkHost(t.Context(), nil, z, ip, identity{local, "d0.example"}, helo, "r.example")
		if again.Status != r.Status || again.Mechanism != r.Mechanism || again.Problem != r.Problem {
			t.Fatalf("got %+v, and then %+v", r, again)
		}
	})
}
