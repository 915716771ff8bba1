package smtpserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/smtp"
)

func mustDomain(t *testing.T, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatalf("domain %q: %v", s, err)
	}
	return d
}

func mustPath(t *testing.T, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParseForwardPath(s, smtp.Lenient)
	if err != nil {
		t.Fatalf("path %q: %v", s, err)
	}
	return p
}

func TestReceivedField(t *testing.T) {
	t.Parallel()
	host := mustDomain(t, "mx.example.org")
	smile := mustDomain(t, "☺.example")
	when := time.Date(2026, 1, 2, 15, 4, 5, 0, time.FixedZone("", 3600))
	ip4, ip6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	tls13 := &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	one := []recipient{{path: mustPath(t, "<ann@example.org>")}}
	tests := []struct {
		name  string
		s     session
		txn   transaction
		rname string
		want  string
	}{
		{
			"plain", session{remoteIP: ip4, localIP: netip.MustParseAddr("198.51.100.1"), hello: hello{name: dns.IPDomain{Domain: mustDomain(t, "client.example")}}},
			transaction{recipients: one}, "",
			"from client.example ([192.0.2.1]) by mx.example.org ([198.51.100.1]) via tcp with SMTP id ID for <ann@example.org>; Fri, 2 Jan 2026 15:04:05 +0100",
		},
		{
			"tls and a reverse name, several recipients", session{remoteIP: ip6, tls: tls13, hello: hello{esmtp: true, name: dns.IPDomain{Domain: mustDomain(t, "client.example")}}},
			transaction{recipients: append(one, one...)}, "host.example",
			"from client.example (host.example [IPv6:2001:db8::1]) by mx.example.org via tcp with ESMTPS id ID (TLS1.3 TLS_AES_128_GCM_SHA256); Fri, 2 Jan 2026 15:04:05 +0100",
		},
		{
			"reverse name is the name", session{remoteIP: ip4, hello: hello{esmtp: true, name: dns.IPDomain{Domain: mustDomain(t, "client.example")}}},
			transaction{recipients: one}, "client.example",
			"from client.example ([192.0.2.1]) by mx.example.org via tcp with ESMTP id ID for <ann@example.org>; Fri, 2 Jan 2026 15:04:05 +0100",
		},
		{
			"unicode", session{remoteIP: ip4, hello: hello{esmtp: true, name: dns.IPDomain{Domain: smile}}},
			transaction{mail: smtp.MailCommand{SMTPUTF8: true}, recipients: []recipient{{path: mustPath(t, "<ann@☺.example>")}}}, "",
			"from ☺.example ([192.0.2.1]) (xn--74h.example) by mx.example.org via tcp with UTF8SMTP id ID for <ann@☺.example>; Fri, 2 Jan 2026 15:04:05 +0100",
		},
		{
			"unicode in ascii", session{remoteIP: ip4, hello: hello{esmtp: true, name: dns.IPDomain{Domain: smile}}},
			transaction{recipients: []recipient{{path: mustPath(t, "<ann@☺.example>")}}}, "",
			"from xn--74h.example ([192.0.2.1]) by mx.example.org via tcp with ESMTP id ID for <ann@xn--74h.example>; Fri, 2 Jan 2026 15:04:05 +0100",
		},
		{
			"address literal", session{remoteIP: ip4, hello: hello{esmtp: true, name: dns.IPDomain{IP: net.ParseIP("2001:db8::2")}}},
			transaction{recipients: one}, "",
			"from [IPv6:2001:db8::2] ([192.0.2.1]) by mx.example.org via tcp with ESMTP id ID for <ann@example.org>; Fri, 2 Jan 2026 15:04:05 +0100",
		},
		{
			"no address", session{hello: hello{esmtp: true}},
			transaction{recipients: one}, "",
			"from unknown by mx.example.org via tcp with ESMTP id ID for <ann@example.org>; Fri, 2 Jan 2026 15:04:05 +0100",
		},
		{
			"submission does not tell the client", session{lis: &listener{ListenerOptions: ListenerOptions{Kind: Submission, Hostname: host}}, login: &login{}, remoteIP: ip4, tls: tls13, hello: hello{esmtp: true, name: dns.IPDomain{IP: net.ParseIP("192.0.2.1")}}},
			transaction{mail: smtp.MailCommand{SMTPUTF8: true}, recipients: one}, "host.example",
			"from mx.example.org by mx.example.org via tcp with UTF8SMTPSA id ID (TLS1.3 TLS_AES_128_GCM_SHA256) for <ann@example.org>; Fri, 2 Jan 2026 15:04:05 +0100",
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := tc.s
			s.id = "ID"
			if s.lis == nil {
				s.lis = &listener{ListenerOptions: ListenerOptions{Hostname: host}}
			}
			got := string(s.receivedField(&tc.txn, when, tc.rname))
			if !strings.HasSuffix(got, "\r\n") || strings.Contains(strings.ReplaceAll(strings.TrimSuffix(got, "\r\n"), "\r\n\t", ""), "\r") {
				t.Errorf("malformed field %q", got)
			}
			for line := range strings.Lines(got) {
				if len(line) > 78+2 {
					t.Errorf("long line %q", line)
				}
			}
			unfolded := strings.TrimSuffix(strings.ReplaceAll(got, "\r\n\t", " "), "\r\n")
			if unfolded != "Received: "+tc.want {
				t.Errorf("got  %q\nwant %q", unfolded, "Received: "+tc.want)
			}
		})
	}
}

func TestReverseNameMustLeadBack(t *testing.T) {
	t.Parallel()
	z := parseZone(t, `192.0.2.1 PTR bad..name.
192.0.2.1 PTR other.example.
192.0.2.1 PTR missing.example.
192.0.2.1 PTR host.example.
other.example A 192.0.2.2
host.example A 192.0.2.9
host.example A 192.0.2.1
192.0.2.3 PTR other.example.
192.0.2.4 FAIL`)
	for ip, want := range map[string]string{"192.0.2.1": "host.example", "192.0.2.3": "", "192.0.2.4": "", "192.0.2.5": ""} {
		if got := reverseName(t.Context(), z, net.ParseIP(ip)); got != want {
			t.Errorf("%s: got %q, expected %q", ip, got, want)
		}
	}
}

func TestReverseNamesAreFew(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range maxReverseNames {
		fmt.Fprintf(&b, "192.0.2.1 PTR n%d.example.\n", i)
	}
	b.WriteString("192.0.2.1 PTR host.example.\nhost.example A 192.0.2.1\n")
	if got := reverseName(t.Context(), parseZone(t, b.String()), net.ParseIP("192.0.2.1")); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestReverseNameIsLookedUpOnceAndGivenToTheMessage(t *testing.T) {
	setup := testSetup{options: func(o *Options) {
		o.Resolver = parseZone(t, "192.0.2.1 PTR host.example.\nhost.example A 192.0.2.1\nelsewhere.example MX mx.elsewhere.example")
	}}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		for range 2 {
			c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "250 ")
		}
		for _, m := range ts.fake.messages() {
			if !strings.HasPrefix(m.trace, "Received: from client.example (host.example [192.0.2.1]) by mx.example.org\r\n") {
				t.Errorf("trace %q", m.trace)
			}
		}
	})
}

func TestHandshakeReasons(t *testing.T) {
	t.Parallel()
	handshake := func(send []byte) error {
		a, b := net.Pipe()
		defer func() { _ = b.Close() }()
		if send == nil {
			_ = a.Close()
		}
		go func() { _, _ = a.Write(send) }()
		go func() { _, _ = io.Copy(io.Discard, a) }() // The alert.
		return tls.Server(b, &tls.Config{Certificates: []tls.Certificate{serverCert()}}).Handshake()
	}
	tests := []struct {
		want string
		err  error
	}{
		{"eof", io.EOF},
		{"eof", handshake(nil)},
		{"nottls", handshake([]byte("EHLO client.example\r\n"))},
		{"sslv2", handshake([]byte{0x80, 0x2e, 0x01, 0x03, 0x01, 0, 0x15, 0, 0, 0, 0x10})},
		{"alert-42-badcertificate", fmt.Errorf("x: %w", tls.AlertError(42))},
		{"unsupportedversions", errors.New("tls: client offered only unsupported versions: [302]")},
		{"other", errors.New("something else")},
	}
	for _, tc := range tests {
		if got := handshakeReason(tc.err); got != tc.want {
			t.Errorf("%v: got %q, expected %q", tc.err, got, tc.want)
		}
	}
}
