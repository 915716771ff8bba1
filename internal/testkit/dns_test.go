package testkit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const testZone = `
example.org        MX    10 mail.example.org
example.org        3600 IN TXT "a" "b"
mail.example.org.  A     10.0.0.1
alias.example.org  CNAME mail.example.org
away.example.org   CNAME insecure.example
loop.example.org   CNAME loop.example.org
insecure.example   A     10.0.0.9
*.wild.example.org A     10.0.0.2
deep.under.wild.example.org TXT "x"
a.b.c.example.org  A     10.0.0.3
`

// ask asks a server one question. With ad set the question has the AD bit.
func ask(t *testing.T, s *DNSServer, network, typ, name string, ad bool) (*dns.Msg, error) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.StringToType[typ])
	m.AuthenticatedData = ad
	m.SetEdns0(1232, false)
	c := &dns.Client{Net: network, Timeout: ProcessTimeout}
	resp, _, err := c.Exchange(m, s.Addr)
	return resp, err
}

// data returns the records of an answer without owner and TTL.
func data(m *dns.Msg) string {
	var l []string
	for _, rr := range m.Answer {
		l = append(l, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(l, ", ")
}

func TestDNSServerAnswersFromItsZone(t *testing.T) {
	t.Parallel()
	s := NewDNS(t, DNSOptions{Zone: testZone, Authentic: true, Insecure: []string{"insecure.example"}})
	for _, network := range []string{"udp", "tcp"} {
		for _, tc := range []struct {
			typ, name, want string
			rcode           int
			authentic       bool
		}{
			{"MX", "example.org", "10 mail.example.org.", dns.RcodeSuccess, true},
			{"MX", "EXAMPLE.ORG", "10 mail.example.org.", dns.RcodeSuccess, true},
			{"TXT", "example.org", `"a" "b"`, dns.RcodeSuccess, true},
			{"A", "example.org", "", dns.RcodeSuccess, true}, // The name exists.
			{"A", "org", "", dns.RcodeSuccess, true},         // An empty non-terminal.
			{"A", "c.example.org", "", dns.RcodeSuccess, true},
			{"A", "absent.example.org", "", dns.RcodeNameError, true},
			{"A", "alias.example.org", "mail.example.org., 10.0.0.1", dns.RcodeSuccess, true},
			{"CNAME", "alias.example.org", "mail.example.org.", dns.RcodeSuccess, true},
			{"A", "away.example.org", "insecure.example., 10.0.0.9", dns.RcodeSuccess, false},
			{"CNAME", "away.example.org", "insecure.example.", dns.RcodeSuccess, true},
			{"A", "x.insecure.example", "", dns.RcodeNameError, false},
			{"A", "any.wild.example.org", "10.0.0.2", dns.RcodeSuccess, true},
			{"A", "x.y.wild.example.org", "10.0.0.2", dns.RcodeSuccess, true},
			{"A", "x.under.wild.example.org", "", dns.RcodeNameError, true}, // Closest encloser is another.
			{"TXT", "any.wild.example.org", "", dns.RcodeSuccess, true},
			{"A", "wild.example.org", "", dns.RcodeSuccess, true},
		} {
			m, err := ask(t, s, network, tc.typ, tc.name, true)
			if err != nil {
				t.Fatal(err)
			}
			if got := data(m); got != tc.want || m.Rcode != tc.rcode || m.AuthenticatedData != tc.authentic {
				t.Errorf("%s %s %s: %q, rcode %d, authentic %v", network, tc.typ, tc.name, got, m.Rcode, m.AuthenticatedData)
			}
		}
	}
	if m, err := ask(t, s, "udp", "MX", "example.org", false); err != nil || m.AuthenticatedData {
		t.Errorf("authentic without being asked: %v, %v", m, err)
	}
	if m, err := ask(t, s, "udp", "A", "loop.example.org", false); err != nil || m.Rcode != dns.RcodeServerFailure {
		t.Errorf("loop: %v, %v", m, err)
	}
}

func TestDNSServerCanChangeAndFail(t *testing.T) {
	t.Parallel()
	s := NewDNS(t, DNSOptions{Zone: testZone})
	if m, err := ask(t, s, "udp", "MX", "example.org", true); err != nil || m.AuthenticatedData {
		t.Errorf("not authentic: %v, %v", m, err)
	}
	s.Set(t, DNSOptions{Zone: `example.org MX 5 other.example.org`, Faults: map[string]DNSFault{
		"fail.example.org":    DNSServFail,
		"refuse.example.org.": DNSRefused,
		"TXT Example.org":     DNSBogus,
		"drop.example.org":    DNSDrop,
	}})
	for _, tc := range []struct {
		typ, name string
		rcode     int
		ede       bool
	}{
		{"MX", "example.org", dns.RcodeSuccess, false},
		{"TXT", "example.org", dns.RcodeServerFailure, true},
		{"A", "fail.example.org", dns.RcodeServerFailure, false},
		{"A", "refuse.example.org", dns.RcodeRefused, false},
	} {
		m, err := ask(t, s, "udp", tc.typ, tc.name, true)
		if err != nil {
			t.Fatal(err)
		}
		ede := slices.ContainsFunc(m.IsEdns0().Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0EDE })
		if m.Rcode != tc.rcode || ede != tc.ede {
			t.Errorf("%s %s: rcode %d, extended error %v", tc.typ, tc.name, m.Rcode, ede)
		}
	}
	m := new(dns.Msg)
	m.SetQuestion("drop.example.org.", dns.TypeA)
	if resp, _, err := (&dns.Client{Timeout: 50 * time.Millisecond}).Exchange(m, s.Addr); err == nil {
		t.Errorf("dropped question was answered: %v", resp)
	}
	want := []string{"MX example.org.", "MX example.org.", "TXT example.org.", "A fail.example.org.", "A refuse.example.org.", "A drop.example.org."}
	if got := s.Queries(); !slices.Equal(got, want) {
		t.Errorf("queries %v, want %v", got, want)
	}
	if got := s.Queries(); len(got) != 0 {
		t.Errorf("queries are not forgotten: %v", got)
	}
}

func TestDNSServerTruncatesLongAnswersOverUDP(t *testing.T) {
	t.Parallel()
	long := `big.example.org TXT "` + strings.Repeat("x", 250) + `"` + strings.Repeat(` "`+strings.Repeat("y", 255)+`"`, 4) + "\n"
	s := NewDNS(t, DNSOptions{Zone: long + "big.example.org TXT short\n"})
	if m, err := ask(t, s, "udp", "TXT", "big.example.org", false); err != nil || !m.Truncated {
		t.Errorf("udp: %v, %v", m, err)
	}
	if m, err := ask(t, s, "tcp", "TXT", "big.example.org", false); err != nil || m.Truncated || len(m.Answer) != 2 {
		t.Errorf("tcp: %v, %v", m, err)
	}
}

func TestMalformedZoneFailsTheTest(t *testing.T) {
	t.Parallel()
	if f := run(t, func(t testing.TB) { (&DNSServer{}).Set(t, DNSOptions{Zone: "example.org NOSUCH x"}) }); f.ended != "fatal" {
		t.Errorf("%+v", f)
	}
}

func TestDNSQuestionsThatAreSentAgainCountOnce(t *testing.T) {
	t.Parallel()
	s := NewDNS(t, DNSOptions{Zone: "example.org A 192.0.2.1\n"})
	c, err := dns.Dial("udp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := new(dns.Msg)
	m.SetQuestion("example.org.", dns.TypeA)
	for range 2 {
		if err := c.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadMsg(); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Queries(); len(got) != 1 {
		t.Errorf("queries %v", got)
	}
}
