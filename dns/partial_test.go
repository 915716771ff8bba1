package dns_test

import (
	"errors"
	"net"
	"testing"

	mdns "github.com/miekg/dns"

	"mox/dns"
	"mox/internal/testkit"
)

func TestFailureOfOneQuestionIsNotHiddenByOthers(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{
		Zone: `
only4.example A 10.0.0.1
only6.example AAAA 2001:db8::1
alias.example CNAME only4.example
nothing.example TXT x
`,
		Authentic: true,
		Faults: map[string]testkit.DNSFault{
			"AAAA only4.example":    testkit.DNSBogus,
			"A only6.example":       testkit.DNSServFail,
			"CNAME only6.example":   testkit.DNSBogus,
			"CNAME alias.example":   testkit.DNSServFail,
			"AAAA nothing.example":  testkit.DNSBogus,
			"CNAME nothing.example": testkit.DNSRefused,
		},
	})
	r := resolver(t, srv, nil)
	for _, tc := range []struct {
		name   string
		lookup func() (dns.Result, error)
		want   error
	}{
		{"addresses, bogus for one family", func() (dns.Result, error) {
			_, res, err := r.LookupIP(t.Context(), "ip", "only4.example")
			return res, err
		}, dns.ErrBogus},
		{"addresses, failure for one family", func() (dns.Result, error) {
			_, res, err := r.LookupIP(t.Context(), "ip", "only6.example")
			return res, err
		}, dns.ErrTemporary},
		{"addresses, none and bogus", func() (dns.Result, error) {
			_, res, err := r.LookupIP(t.Context(), "ip", "nothing.example")
			return res, err
		}, dns.ErrBogus},
		{"addresses of one family", func() (dns.Result, error) {
			_, res, err := r.LookupIP(t.Context(), "ip4", "only4.example")
			return res, err
		}, nil},
		{"alias, bogus, with address", func() (dns.Result, error) {
			_, res, err := r.LookupCNAME(t.Context(), "only6.example")
			return res, err
		}, dns.ErrBogus},
		{"alias, failure, with address", func() (dns.Result, error) {
			_, res, err := r.LookupCNAME(t.Context(), "alias.example")
			return res, err
		}, dns.ErrTemporary},
		{"alias, failure, no address", func() (dns.Result, error) {
			_, res, err := r.LookupCNAME(t.Context(), "nothing.example")
			return res, err
		}, dns.ErrTemporary},
		{"alias, bogus for one family of its target", func() (dns.Result, error) {
			_, res, err := r.LookupCNAME(t.Context(), "only4.example")
			return res, err
		}, nil},
	} {
		for range 50 { // Whichever answer comes first.
			res, err := tc.lookup()
			if !errors.Is(err, tc.want) || err != nil && errors.Is(err, dns.ErrNotFound) || (err == nil) != (tc.want == nil) {
				t.Fatalf("%s: got %v, %v, expected %v", tc.name, res, err, tc.want)
			}
			if err == nil && !res.Authentic {
				t.Fatalf("%s: not authentic", tc.name)
			}
		}
	}
}

func TestTXTWithBinaryDataIsReturnedAsIs(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: `binary.example TXT "\000\001\"\\" "\255\128\195" ""` + "\n"})
	got, _, err := resolver(t, srv, nil).LookupTXT(t.Context(), "binary.example")
	if err != nil || len(got) != 1 || got[0] != "\x00\x01\"\\\xff\x80\xc3" {
		t.Errorf("got %q, %v", got, err)
	}
}

// raw answers each question with a TLSA record of some bytes.
type raw string

func (r raw) ServeDNS(w mdns.ResponseWriter, req *mdns.Msg) {
	resp := new(mdns.Msg)
	resp.SetReply(req)
	hdr := mdns.RR_Header{Name: req.Question[0].Name, Rrtype: mdns.TypeTLSA, Class: mdns.ClassINET}
	resp.Answer = []mdns.RR{&mdns.RFC3597{Hdr: hdr, Rdata: string(r)}}
	_ = w.WriteMsg(resp) // The client may be gone.
}

func TestTLSARecordsThatAreTooShortFailTheLookup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		data raw
		want error
	}{
		{"0301", dns.ErrTemporary}, // Malformed replies are lookup failures, RFC 7672 §2.1.2.
		{"", dns.ErrTemporary},
		{"030101", nil}, // Not usable, which is for package dane to say.
	} {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{})
		srv := &mdns.Server{PacketConn: pc, Handler: tc.data, NotifyStartedFunc: func() { close(started) }}
		done := make(chan error, 1)
		go func() { done <- srv.ActivateAndServe() }()
		<-started
		r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{pc.LocalAddr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := r.LookupTLSA(t.Context(), 25, "tcp", "short.example")
		if !errors.Is(err, tc.want) || err == nil && (tc.want != nil || len(l) != 1 || len(l[0].CertAssoc) != 0) {
			t.Errorf("%q: got %v, %v", tc.data, l, err)
		}
		if err := srv.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done // The error is about the socket being closed.
	}
}
