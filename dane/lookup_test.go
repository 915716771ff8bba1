package dane_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mox/dane"
	"mox/dns"
	"mox/internal/testkit"
	"mox/tlsrpt"
)

const sum = "abababababababababababababababababababababababababababababababab"

// zone has, besides others, the example of RFC 7672 §3.2.2.
const zone = `
exchange.example.org          CNAME mail.example.org
mail.example.org              CNAME example.com
example.com                   MX    20 mx20.example.com
example.com                   MX    15 mx15.example.com
example.com                   MX    10 mx10.example.com
mx10.example.com              A     192.0.2.10
_25._tcp.mx10.example.com     TLSA  2 0 1 ` + sum + `
mx15.example.com              CNAME mxbackup.example.com
mxbackup.example.com          A     192.0.2.15
_25._tcp.mx15.example.com     TLSA  2 0 1 ` + sum + `
mx20.example.com              CNAME mxbackup.example.net
mxbackup.example.net          A     198.51.100.20
_25._tcp.mxbackup.example.net TLSA  2 0 1 ` + sum + `

nomx.example                  A     192.0.2.1
_25._tcp.nomx.example         TLSA  3 1 1 ` + sum + `
alias.nomx.example            CNAME nomx.example
null.example                  MX    0 .
same.example                  MX    10 mx10.example.com
same.example                  MX    10 nomx.example
same.example                  MX    10 MX10.example.com
badmx.example                 MX    10 a\ b.example
someok.example                MX    10 1.2.3.4
someok.example                MX    20 nomx.example
onlybad.example               MX    10 1.2.3.4
dangling.example              CNAME absent.example
loop1.example                 CNAME loop2.example
loop2.example                 CNAME loop1.example

plain.example                 A     192.0.2.2
mixed.example                 A     192.0.2.3
_25._tcp.mixed.example        TLSA  3 1 1 ab
_25._tcp.mixed.example        TLSA  1 1 1 ` + sum + `
_25._tcp.mixed.example        TLSA  3 1 1 ` + sum + `
unusable.example              A     192.0.2.4
_25._tcp.unusable.example     TLSA  3 1 1 ab
_25._tcp.unusable.example     TLSA  0 1 1 ` + sum + `
tlsacname.example             A     192.0.2.5
_25._tcp.tlsacname.example    CNAME tlsa201._dane.example
tlsa201._dane.example         TLSA  2 0 1 ` + sum + `
tlsaaway.example              A     192.0.2.5
_25._tcp.tlsaaway.example     CNAME tlsa.insecure.example
tlsa.insecure.example         TLSA  2 0 1 ` + sum + `
both.example                  CNAME nomx.example
_25._tcp.both.example         TLSA  3 1 2 ` + sum + sum + `
middle1.example               CNAME middle2.example
middle2.example               CNAME plain.example
_25._tcp.middle2.example      TLSA  3 1 1 ` + sum + `

host.insecure.example         A     192.0.2.6
_25._tcp.host.insecure.example TLSA 3 1 1 ` + sum + `
alias.insecure.example        CNAME nomx.example
_25._tcp.alias.insecure.example TLSA 3 1 1 ` + sum + `
out.example                   CNAME host.insecure.example
_25._tcp.out.example          TLSA  3 1 1 ` + sum + `
outin.example                 CNAME alias.insecure.example
outnone.example               CNAME host.insecure.example
insecure.example              MX    10 nomx.example
partial.insecure.example      MX    10 nomx.example

boguship.example              A     192.0.2.7
bogus.example                 A     192.0.2.8
servfail.example              A     192.0.2.9
hidden.example                CNAME nomx.example
chain0.example                CNAME chain1.example
chain1.example                CNAME chain2.example
chain2.example                CNAME chain3.example
chain3.example                CNAME chain4.example
chain4.example                CNAME chain5.example
chain5.example                CNAME chain6.example
chain6.example                CNAME chain7.example
chain7.example                CNAME chain8.example
chain8.example                CNAME chain9.example
chain9.example                CNAME chain10.example
chain10.example               CNAME nomx.example
`

func server(t *testing.T, extra string) (*testkit.DNSServer, *dns.StrictResolver) {
	t.Helper()
	srv := testkit.NewDNS(t, testkit.DNSOptions{
		Zone:      zone + extra,
		Authentic: true,
		Insecure:  []string{"insecure.example"},
		Faults: map[string]testkit.DNSFault{
			"boguship.example":               testkit.DNSBogus,
			"_25._tcp.bogus.example":         testkit.DNSBogus,
			"_25._tcp.servfail.example":      testkit.DNSServFail,
			"MX servfailmx.example":          testkit.DNSServFail,
			"MX bogusmx.example":             testkit.DNSBogus,
			"CNAME hidden.example":           testkit.DNSBogus,
			"CNAME partial.insecure.example": testkit.DNSServFail,
			"_25._tcp.host.insecure.example": testkit.DNSServFail, // RFC 7672 §2.2.2: such servers exist.
		},
	})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return srv, r
}

func names(l []dns.Domain) string {
	var s []string
	for _, d := range l {
		s = append(s, d.ASCII)
	}
	return strings.Join(s, " ")
}

func TestDestinationsAreFound(t *testing.T) {
	t.Parallel()
	_, r := server(t, "")
	for _, tc := range []struct {
		domain, expanded string
		authentic, mx    bool
		hosts            string
		errs             []error
	}{
		{"example.com", "example.com", true, true, "mx10.example.com mx15.example.com mx20.example.com", nil},
		{"exchange.example.org", "example.com", true, true, "mx10.example.com mx15.example.com mx20.example.com", nil},
		{"nomx.example", "nomx.example", true, false, "nomx.example", nil},
		{"alias.nomx.example", "nomx.example", true, false, "nomx.example", nil},
		{"insecure.example", "insecure.example", false, true, "nomx.example", nil},
		{"out.example", "host.insecure.example", false, false, "host.insecure.example", nil},
		{"outin.example", "nomx.example", false, false, "nomx.example", nil},
		{"someok.example", "someok.example", true, true, "nomx.example", nil},
		{domain: "null.example", errs: []error{dane.ErrNullMX}},
		{domain: "badmx.example", errs: []error{dane.ErrMX, dns.ErrInvalid}},
		{domain: "onlybad.example", errs: []error{dane.ErrMX, dns.ErrInvalid}},
		{domain: "absent.example", errs: []error{dane.ErrMX, dns.ErrNoDomain}},
		{domain: "dangling.example", errs: []error{dane.ErrMX, dns.ErrNoDomain}},
		{domain: "servfailmx.example", errs: []error{dane.ErrMX, dns.ErrTemporary}},
		{domain: "bogusmx.example", errs: []error{dane.ErrMX, dns.ErrBogus}},
		{domain: "hidden.example", errs: []error{dane.ErrMX, dns.ErrBogus}},
		{domain: "loop1.example", errs: []error{dane.ErrMX}},
		// Without DNSSEC, an alias that cannot be asked for does not matter.
		{"partial.insecure.example", "partial.insecure.example", false, true, "nomx.example", nil},
	} {
		d, err := dane.LookupDestination(t.Context(), nil, r, domain(t, tc.domain))
		if (err == nil) != (tc.errs == nil) {
			t.Errorf("%s: got %+v, %v", tc.domain, d, err)
		}
		for _, want := range tc.errs {
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, expected %v", tc.domain, err, want)
			}
		}
		if err == nil && (d.Expanded.ASCII != tc.expanded || d.Authentic != tc.authentic || d.MX != tc.mx || names(d.Hosts) != tc.hosts || d.Domain.ASCII != tc.domain) {
			t.Errorf("%s: got %+v", tc.domain, d)
		}
	}
}

func TestHostsWithTheSamePreferenceAreInAnyOrder(t *testing.T) {
	t.Parallel()
	_, r := server(t, "")
	seen := map[string]bool{}
	for range 1000 {
		d, err := dane.LookupDestination(t.Context(), nil, r, domain(t, "same.example"))
		if err != nil {
			t.Fatal(err)
		}
		seen[names(d.Hosts)] = true
		if len(seen) == 2 {
			break
		}
	}
	if !seen["mx10.example.com nomx.example"] || !seen["nomx.example mx10.example.com"] || len(seen) != 2 {
		t.Errorf("got %v", seen)
	}
}

func TestHostsHaveTheStatusOfTheirRecords(t *testing.T) {
	t.Parallel()
	_, r := server(t, "")
	for _, tc := range []struct {
		name            string
		domain, host    string
		status          dane.Status
		expanded, names string // Names with the base first.
		records         int
		errs            []error
	}{
		{name: "records at the host", domain: "exchange.example.org", host: "mx10.example.com",
			status: dane.StatusUsable, names: "mx10.example.com exchange.example.org example.com", records: 1},
		{name: "secure alias, records at the host itself", domain: "exchange.example.org", host: "mx15.example.com",
			status: dane.StatusUsable, expanded: "mxbackup.example.com", names: "mx15.example.com exchange.example.org example.com", records: 1},
		{name: "secure alias, records at its target", domain: "exchange.example.org", host: "mx20.example.com",
			status: dane.StatusUsable, expanded: "mxbackup.example.net", names: "mxbackup.example.net exchange.example.org example.com", records: 1},
		{name: "secure alias, records at both", domain: "example.com", host: "both.example",
			status: dane.StatusUsable, expanded: "nomx.example", names: "nomx.example example.com", records: 1},
		{name: "names in between do not count", domain: "example.com", host: "middle1.example", status: dane.StatusNone, expanded: "plain.example"},
		{name: "no mx", domain: "nomx.example", host: "nomx.example", status: dane.StatusUsable, names: "nomx.example", records: 1},
		{name: "no mx, alias", domain: "alias.nomx.example", host: "nomx.example", status: dane.StatusUsable, names: "nomx.example alias.nomx.example", records: 1},
		{name: "alias for tlsa, which does not change the base", domain: "example.com", host: "tlsacname.example",
			status: dane.StatusUsable, names: "tlsacname.example example.com", records: 1},
		{name: "alias for tlsa to where there is no dnssec", domain: "example.com", host: "tlsaaway.example", status: dane.StatusNone},
		{name: "no records", domain: "example.com", host: "plain.example", status: dane.StatusNone},
		{name: "some usable", domain: "example.com", host: "mixed.example", status: dane.StatusUsable, names: "mixed.example example.com", records: 3},
		{name: "none usable", domain: "example.com", host: "unusable.example", status: dane.StatusUnusable, names: "unusable.example example.com", records: 2},
		{name: "mx records are not secure", domain: "insecure.example", host: "nomx.example", status: dane.StatusNone},
		{name: "host is not secure, and its tlsa records are not asked for", domain: "example.com", host: "host.insecure.example", status: dane.StatusNone},
		{name: "alias is not secure", domain: "example.com", host: "alias.insecure.example", status: dane.StatusNone},
		{name: "secure alias to where there is no dnssec, records at the host", domain: "example.com", host: "out.example",
			status: dane.StatusUsable, names: "out.example example.com", records: 1},
		{name: "secure alias to where there is no dnssec, no records", domain: "example.com", host: "outnone.example", status: dane.StatusNone},
		{name: "secure alias to one that is not secure", domain: "example.com", host: "outin.example", status: dane.StatusNone},

		{name: "bogus addresses", domain: "example.com", host: "boguship.example", errs: []error{dane.ErrAddresses, dns.ErrBogus}},
		{name: "bogus alias", domain: "example.com", host: "hidden.example", errs: []error{dane.ErrAddresses, dns.ErrBogus}},
		{name: "bogus tlsa", domain: "example.com", host: "bogus.example", errs: []error{dane.ErrTLSA, dns.ErrBogus}},
		{name: "failing tlsa", domain: "example.com", host: "servfail.example", errs: []error{dane.ErrTLSA, dns.ErrTemporary}},
		{name: "no such host", domain: "example.com", host: "absent.example", errs: []error{dane.ErrAddresses, dns.ErrNotFound}},
		{name: "alias to no such host", domain: "example.com", host: "dangling.example", errs: []error{dane.ErrAddresses, dns.ErrNotFound}},
		{name: "no addresses", domain: "example.com", host: "null.example", errs: []error{dane.ErrAddresses, dns.ErrNotFound}},
		{name: "ten aliases", domain: "example.com", host: "chain1.example", status: dane.StatusUsable, expanded: "nomx.example", names: "nomx.example example.com", records: 1},
		{name: "eleven aliases", domain: "example.com", host: "chain0.example", errs: []error{dane.ErrAddresses, dane.ErrAliases}},
		{name: "a loop", domain: "example.com", host: "loop1.example", errs: []error{dane.ErrAddresses}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, err := dane.LookupDestination(t.Context(), nil, r, domain(t, tc.domain))
			if err != nil {
				t.Fatal(err)
			}
			h, err := dane.LookupHost(t.Context(), nil, r, d, domain(t, tc.host), 25)
			if (err == nil) != (tc.errs == nil) {
				t.Errorf("got %+v, %v", h, err)
			}
			for _, want := range tc.errs {
				if !errors.Is(err, want) {
					t.Errorf("got %v, expected %v", err, want)
				}
			}
			if errors.Is(err, dane.ErrTLSA) != (len(h.IPs) > 0 && err != nil) {
				t.Errorf("got addresses %v with error %v", h.IPs, err)
			}
			if err != nil {
				return
			}
			if tc.expanded == "" {
				tc.expanded = tc.host
			}
			base, _, _ := strings.Cut(tc.names, " ")
			if h.Status != tc.status || h.Expanded.ASCII != tc.expanded || names(h.Names) != tc.names || h.Base.ASCII != base || len(h.Records) != tc.records || len(h.IPs) != 1 {
				t.Errorf("got %+v", h)
			}
		})
	}
}

func TestUnusableRecordsOfHostsAreProblems(t *testing.T) {
	t.Parallel()
	_, r := server(t, "")
	d := dane.Destination{Domain: domain(t, "relay.example"), Authentic: true}
	h, err := dane.LookupHost(t.Context(), nil, r, d, domain(t, "unusable.example"), 25)
	if err != nil || len(h.Problems) != 2 || !errors.Is(h.Problems[0], dane.ErrUnusable) {
		t.Fatalf("got %+v, %v", h, err)
	}
	text := fmt.Sprint(h.Problems)
	for _, want := range []string{`tlsa record "3 1 1 ab": dane: unusable tlsa record: 1 bytes of data`, "usage pkix-ta(0) is not for this protocol"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, expected %s", text, want)
		}
	}
	// Any certificate will do then, and SNI is the base domain.
	leaf := issue(t, nil, false, nil)
	sni := make(chan string, 1)
	srv := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leaf.key}},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { sni <- h.ServerName; return nil, nil }}
	if err := connect(t, srv, h.TLSConfig(nil, nil)); err != nil || <-sni != "unusable.example" {
		t.Errorf("got %v", err)
	}
	if _, err := h.Verify(tls.ConnectionState{}); !errors.Is(err, dane.ErrUnusable) {
		t.Errorf("got %v", err)
	}
}

func TestAddressesAreLookedUpBeforeTLSA(t *testing.T) {
	t.Parallel()
	srv, r := server(t, "")
	d := dane.Destination{Domain: domain(t, "example.com"), Authentic: true}
	for _, tc := range []struct {
		host string
		tlsa bool
	}{{"nomx.example", true}, {"host.insecure.example", false}} {
		srv.Queries()
		if _, err := dane.LookupHost(t.Context(), nil, r, d, domain(t, tc.host), 25); err != nil {
			t.Fatal(err)
		}
		q := srv.Queries()
		a := slices.Index(q, "A "+tc.host+".")
		i := slices.IndexFunc(q, func(s string) bool { return strings.HasPrefix(s, "TLSA ") })
		if a < 0 || tc.tlsa != (i > a) || !tc.tlsa && i >= 0 {
			t.Errorf("%s: got %v", tc.host, q)
		}
	}
}

func TestDialVerifiesServersOfAnyProtocol(t *testing.T) {
	t.Parallel()
	root := issueNow(t, nil, true)
	leaf := issueNow(t, root, false, "service.example")
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, root.Raw}, PrivateKey: leaf.key}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			// The client may have closed it.
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	tlsaAt := func(host string, r dane.Record) string {
		return fmt.Sprintf("_%s._tcp.%s TLSA %s\n", port, host, r.Record())
	}
	extra := strings.NewReplacer("PORT", port).Replace(`
service.example            A     127.0.0.1
other.example              A     127.0.0.1
norecords.example          A     127.0.0.1
service.insecure.example   A     127.0.0.1
toservice.example          CNAME service.example
outservice.example         CNAME service.insecure.example
unusableservice.example    A     127.0.0.1
_PORT._tcp.unusableservice.example TLSA 3 1 1 ab
`) + tlsaAt("service.example", tlsa(2, 0, 1, root)) + tlsaAt("other.example", tlsa(2, 0, 1, root)) +
		tlsaAt("service.insecure.example", tlsa(3, 1, 1, leaf)) + tlsaAt("outservice.example", tlsa(3, 1, 1, leaf))
	_, r := server(t, extra)
	for _, tc := range []struct {
		host   string
		usages []dane.Usage
		want   error
		result tlsrpt.ResultType
	}{
		{"service.example", nil, nil, ""},
		{"toservice.example", nil, nil, ""},  // The base domain is service.example.
		{"outservice.example", nil, nil, ""}, // The base domain is outservice.example.
		{"service.example", []dane.Usage{dane.DANEEE}, dane.ErrUnusable, tlsrpt.ResultTLSAInvalid},
		{"unusableservice.example", nil, dane.ErrUnusable, tlsrpt.ResultTLSAInvalid},
		{"other.example", nil, dane.ErrVerify, tlsrpt.ResultCertificateHostMismatch},
		{"norecords.example", nil, dane.ErrNoRecords, tlsrpt.ResultDANERequired},
		{"service.insecure.example", nil, dane.ErrNoRecords, tlsrpt.ResultDANERequired},
		{"absent.example", nil, dane.ErrAddresses, tlsrpt.ResultValidationFailure},
	} {
		conn, rec, err := dane.Dial(t.Context(), nil, r, "tcp", net.JoinHostPort(tc.host, port), dane.DialOptions{Usages: tc.usages})
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: got %s, %v", tc.host, rec, err)
		}
		if err != nil {
			if got, _ := dane.Classify(err); got != tc.result {
				t.Errorf("%s: got %s for %v", tc.host, got, err)
			}
			continue
		}
		if data, err := io.ReadAll(conn); string(data) != "hello" || err != nil || len(rec.CertAssoc) == 0 {
			t.Errorf("%s: read %q, %v, verified by %s", tc.host, data, err, rec)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, addr := range []string{"service.example", "service.example:0", "service.example:x", "service.example:70000", "127.0.0.1:" + port, ":" + port} {
		if _, _, err := dane.Dial(t.Context(), nil, r, "tcp", addr, dane.DialOptions{}); err == nil {
			t.Errorf("%s: no error", addr)
		}
	}
	if _, _, err := dane.Dial(t.Context(), nil, r, "tcp6", "service.example:"+port, dane.DialOptions{}); !errors.Is(err, dane.ErrAddresses) {
		t.Errorf("got %v", err)
	}
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }
	if _, _, err := dane.Dial(t.Context(), nil, r, "tcp4", "service.example:"+port, dane.DialOptions{Dial: refuse}); !errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
}

var errRefused = errors.New("refused for the test")

// issueNow is issue with a certificate that is valid now, and not in the time of the
// other tests.
func issueNow(t *testing.T, issuer *pair, ca bool, names ...string) *pair {
	return issue(t, issuer, ca, validNow(names...))
}

func TestBogusIsReportedAsSuch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err    error
		want   tlsrpt.ResultType
		reason string
	}{
		{fmt.Errorf("%w: %w", dane.ErrTLSA, dns.ErrBogus), tlsrpt.ResultDNSSECInvalid, "tlsa-bogus"},
		{fmt.Errorf("%w: %w", dane.ErrTLSA, dns.ErrTemporary), tlsrpt.ResultDNSSECInvalid, "tlsa-lookup-failed"},
	} {
		if got, reason := dane.Classify(tc.err); got != tc.want || reason != tc.reason {
			t.Errorf("%v: got %s, %q", tc.err, got, reason)
		}
	}
	if !reflect.DeepEqual(dane.AllUsages()[2:], dane.SMTPUsages()) {
		t.Error("usages for smtp are not 2 and 3")
	}
}
