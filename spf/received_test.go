package spf

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/lex"
	"mox/smtp"
)

func testArgs() Args {
	return Args{
		RemoteIP:      net.ParseIP("192.0.2.1"),
		MailFrom:      smtp.Path{Localpart: "myname", IPDomain: dns.IPDomain{Domain: dns.Domain{ASCII: "example.com"}}},
		HELO:          dns.IPDomain{Domain: dns.Domain{ASCII: "foo.example.com"}},
		LocalHostname: dns.Domain{ASCII: "mybox.example.org"},
	}
}

func TestReceivedSPFFieldsHaveTheFormOfTheRFC(t *testing.T) {
	t.Parallel()
	domain := dns.Domain{ASCII: "example.com"}
	for _, tc := range []struct {
		name string
		r    Result
		edit func(*Args)
		want string
	}{
		{"pass", Result{Status: StatusPass, Identity: IdentityMailFrom, Domain: domain, Mechanism: "ip4:192.0.2.1"}, nil,
			"Received-SPF: pass (example.com permits 192.0.2.1) client-ip=192.0.2.1;\r\n" +
				"\tenvelope-from=\"myname@example.com\"; helo=foo.example.com;\r\n" +
				"\treceiver=mybox.example.org; identity=mailfrom; mechanism=\"ip4:192.0.2.1\"\r\n"},
		{"default", Result{Status: StatusNeutral, Identity: IdentityMailFrom, Domain: domain, Mechanism: "default"}, nil,
			"Received-SPF: neutral (example.com says nothing about 192.0.2.1)\r\n" +
				"\tclient-ip=192.0.2.1; envelope-from=\"myname@example.com\";\r\n" +
				"\thelo=foo.example.com; receiver=mybox.example.org; identity=mailfrom;\r\n" +
				"\tmechanism=default\r\n"},
		{"null reverse-path, IPv6, address literal, nothing to check", Result{Status: StatusNone, Identity: IdentityHELO, Problem: `no "name"`}, func(a *Args) {
			*a = Args{RemoteIP: net.ParseIP("2001:db8::1"), HELO: dns.IPDomain{IP: net.ParseIP("2001:db8::1")}}
		},
			"Received-SPF: none (no domain has no policy) client-ip=\"2001:db8::1\";\r\n" +
				"\thelo=\"[IPv6:2001:db8::1]\"; identity=helo; problem=\"no \\\"name\\\"\"\r\n"},
		{"nothing is known", Result{Status: StatusTemperror, Identity: IdentityHELO, Problem: "x"}, func(a *Args) { *a = Args{} },
			"Received-SPF: temperror (no domain could not be evaluated for <nil>)\r\n\tclient-ip=\"<nil>\"; identity=helo; problem=x\r\n"},
		{"internationalised", Result{Status: StatusFail, Identity: IdentityMailFrom, Domain: dns.Domain{ASCII: "xn--bcher-kva.example", Unicode: "bücher.example"}, Mechanism: "all"}, func(a *Args) {
			*a = Args{RemoteIP: a.RemoteIP, MailFrom: smtp.Path{Localpart: "grå", IPDomain: dns.IPDomain{Domain: dns.Domain{ASCII: "xn--bcher-kva.example", Unicode: "bücher.example"}}}}
		},
			"Received-SPF: fail (xn--bcher-kva.example does not permit 192.0.2.1)\r\n" +
				"\tclient-ip=192.0.2.1; envelope-from=\"grå@xn--bcher-kva.example\";\r\n" +
				"\tidentity=mailfrom; mechanism=all\r\n"},
	} {
		args := testArgs()
		if tc.edit != nil {
			tc.edit(&args)
		}
		got := tc.r.ReceivedSPF(args)
		if got != tc.want {
			t.Errorf("%s: got\n%s\nexpected\n%s", tc.name, got, tc.want)
		}
		checkReceived(t, got)
	}
}

func TestReceivedSPFTakesNothingFromSendersAsSyntax(t *testing.T) {
	t.Parallel()
	args := testArgs()
	args.MailFrom.Localpart = "a\r\nBcc: x\"\\;)(\x00\xff\u0085" + smtp.Localpart(strings.Repeat("\"", 2000))
	r := Result{Status: StatusPermerror, Identity: IdentityMailFrom, Domain: dns.Domain{ASCII: "a)b(c\\\r\nd"}, Problem: "x\"; y=z\r\n(", Mechanism: strings.Repeat("\\", 5000)}
	checkReceived(t, r.ReceivedSPF(args))

	// A record can have a long name without a place to fold in it.
	z := newZone("")
	z.add("example.com", "TXT", "v=spf1 exists:"+strings.Repeat("x", 3000)+".y")
	z.add("example.com", "A", "192.0.2.1")
	r = Check(t.Context(), nil, z, testArgs())
	if r.Status != StatusNeutral {
		t.Fatalf("got %+v", r)
	}
	checkReceived(t, r.ReceivedSPF(testArgs()))
	r = Result{Status: StatusPermerror, Identity: IdentityMailFrom, Problem: problem(errors.New(strings.Repeat("\"(", 2000)))}
	checkReceived(t, r.ReceivedSPF(testArgs()))
}

// receivedSPF is the form of the field after unfolding, RFC 7208 §9.1.
var receivedSPF = regexp.MustCompile(`^Received-SPF: (pass|fail|softfail|neutral|none|temperror|permerror)` +
	`[ \t](\(([^()\\]|\\[ -~])*\)[ \t])` +
	`([a-z-]+=([^ \t";()]+|"([^"\\]|\\.)*")(;[ \t]|\r\n$))+$`)

// checkReceived checks that a field is well-formed, RFC 7208 §9.1 and RFC 5322 §2.1.1
// and §2.2.3.
func checkReceived(t *testing.T, field string) {
	t.Helper()
	if !strings.HasSuffix(field, "\r\n") {
		t.Fatalf("no line end: %q", field)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.TrimSpace(line) == "" {
			t.Errorf("line of %d bytes: %q", len(line), line)
		}
	}
	unfolded := strings.ReplaceAll(strings.TrimSuffix(field, "\r\n"), "\r\n\t", "\t")
	if strings.ContainsAny(unfolded, "\r\n\x00") || !receivedSPF.MatchString(unfolded+"\r\n") {
		t.Errorf("malformed: %q", field)
	}
	if strings.ToValidUTF8(field, "") != field || lex.CTL.Without(lex.Bytes("\t")).Index(unfolded) >= 0 {
		t.Errorf("bad characters: %q", field)
	}
}

func FuzzReceivedSPF(f *testing.F) {
	f.Add("myname", "example.com", "foo.example.com", "ip4:192.0.2.1", "")
	f.Add("a\"b\\", "e)x(", "[1.2.3.4]", "exists:%{l}", "record of \"x\": (bad)")
	f.Add("grå\x80", "\r\nX: y", "\x00", ";;", strings.Repeat("\\", 500))
	f.Fuzz(func(t *testing.T, local, domain, helo, mechanism, text string) {
		d := dns.Domain{ASCII: domain}
		args := Args{
			RemoteIP: net.IP("\x7f\x00\x00\x01"),
			MailFrom: smtp.Path{Localpart: smtp.Localpart(local), IPDomain: dns.IPDomain{Domain: d}},
			HELO:     dns.IPDomain{Domain: dns.Domain{ASCII: helo}},
		}
		for _, s := range []Status{StatusPass, StatusFail, StatusSoftfail, StatusNeutral, StatusNone, StatusTemperror, StatusPermerror} {
			r := Result{Status: s, Identity: IdentityMailFrom, Domain: d, Mechanism: mechanism, Problem: text}
			checkReceived(t, r.ReceivedSPF(args))
		}
	})
}
