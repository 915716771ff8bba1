package inbound

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"

	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/internal/metrics"
	"mox/internal/testkit"
	"mox/message"
	"mox/smtp"
	"mox/spf"
)

// An origin is a domain with a key, in a zone.
type origin struct {
	t        *testing.T
	key      ed25519.PrivateKey
	zone     string
	selector dns.Domain
}

func newOrigin(t *testing.T, zone string) *origin {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := dkim.NewRecord(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sel, err := dkim.ParseSelector("s1")
	if err != nil {
		t.Fatal(err)
	}
	zone += "\ns1._domainkey.signer.example TXT \"" + rec.String() + "\"\n"
	return &origin{t, key, zone, sel}
}

// authenticator returns one that asks a server with the zone.
func (o *origin) authenticator() *Authenticator {
	o.t.Helper()
	srv := testkit.NewDNS(o.t, testkit.DNSOptions{Zone: o.zone})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		o.t.Fatal(err)
	}
	return NewAuthenticator(AuthenticatorOptions{Resolver: r})
}

// sign returns a message with a signature by signer.example.
func (o *origin) sign(msg string) string {
	o.t.Helper()
	d := parseDomain(o.t, "signer.example")
	h, err := dkim.Sign(strings.NewReader(msg), int64(len(msg)), d, []dkim.Selector{{Name: o.selector, Key: o.key}}, dkim.SignOptions{})
	if err != nil {
		o.t.Fatal(err)
	}
	return h + msg
}

func parseDomain(t *testing.T, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parsePath(t *testing.T, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParseReversePath(s, smtp.Strict)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const authZone = `
2.2.0.192.in-addr.arpa PTR mail.signer.example
mail.signer.example A 192.0.2.2
signer.example TXT "v=spf1 ip4:192.0.2.2 -all"
_dmarc.signer.example TXT "v=DMARC1; p=reject; adkim=s"
soft.example TXT "v=spf1 ~all"
_dmarc.soft.example TXT "v=DMARC1; p=quarantine"
none.example TXT "v=spf1 -all"
plain.example A 192.0.2.9
`

// arrival is from the host that may send for signer.example.
func arrival(t *testing.T, mailFrom string) Arrival {
	t.Helper()
	return Arrival{
		RemoteIP: netip.MustParseAddr("192.0.2.2"),
		EHLO:     dns.IPDomain{Domain: parseDomain(t, "mail.signer.example")},
		MailFrom: parsePath(t, mailFrom),
		Hostname: parseDomain(t, "mx.example.org"),
	}
}

func TestMessagesAreAuthenticatedAndDecidedAbout(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, authZone)
	a := o.authenticator()
	const body = "To: <ann@example.org>\r\nSubject: hi\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-Id: <x@y.example>\r\n\r\nhello\r\n"
	good := "From: Joe <joe@signer.example>\r\n" + body
	for _, tc := range []struct {
		name     string
		mailFrom string
		msg      string
		spf      spf.Status
		dmarc    dmarc.Status
		code     int // 0 if it is accepted.
		reason   string
		junk     bool
	}{
		{"all passes", "<joe@signer.example>", o.sign(good), spf.StatusPass, dmarc.StatusPass, 0, ReasonNoBadSignals, false},
		{"forwarded with signature", "<x@none.example>", o.sign(good), spf.StatusFail, dmarc.StatusPass, 0, ReasonNoBadSignals, false},
		{"null reverse-path", "<>", o.sign(good), spf.StatusNone, dmarc.StatusPass, 0, ReasonNoBadSignals, false},
		{"spf alone", "<joe@signer.example>", good, spf.StatusPass, dmarc.StatusPass, 0, ReasonNoBadSignals, false},
		{"forged", "<x@plain.example>", good, spf.StatusNone, dmarc.StatusFail, 550, ReasonDMARC, false},
		{"changed", "<x@plain.example>", strings.Replace(o.sign(good), "hello", "money", 1), spf.StatusNone, dmarc.StatusFail, 550, ReasonDMARC, false},
		{"quarantine", "<x@plain.example>", "From: <a@soft.example>\r\n" + body, spf.StatusNone, dmarc.StatusFail, 0, ReasonDMARCQuarantine, true},
		{"spf fails", "<x@none.example>", "From: <a@plain.example>\r\n" + body, spf.StatusFail, dmarc.StatusNone, 451, ReasonSPF, false},
		{"spf softfails", "<x@soft.example>", "From: <a@plain.example>\r\n" + body, spf.StatusSoftfail, dmarc.StatusNone, 451, ReasonSPF, false},
		{"nothing known", "<x@plain.example>", "From: <a@plain.example>\r\n" + body, spf.StatusNone, dmarc.StatusNone, 0, ReasonNoBadSignals, false},
		{"no From", "<x@plain.example>", body, spf.StatusNone, dmarc.StatusPermerror, 0, ReasonNoBadSignals, false},
		{"two From, one forged", "<x@plain.example>", "From: <a@plain.example>\r\nFrom: <joe@signer.example>\r\n" + body, spf.StatusNone, dmarc.StatusFail, 550, ReasonDMARC, false},
		{"group with a forged one", "<x@plain.example>", "From: us: <a@plain.example>, <joe@signer.example>;\r\n" + body, spf.StatusNone, dmarc.StatusFail, 550, ReasonDMARC, false},
		{"encoded word as address", "<x@plain.example>", "From: =?utf-8?q?joe=40signer=2Eexample?= <a@plain.example>\r\n" + body, spf.StatusNone, dmarc.StatusFail, 550, ReasonDMARC, false},
		{"encoded word as address in brackets", "<x@plain.example>", "From: =?utf-8?b?PGpvZUBzaWduZXIuZXhhbXBsZT4=?= <a@plain.example>\r\n" + body, spf.StatusNone, dmarc.StatusFail, 550, ReasonDMARC, false},
		{"encoded word with text", "<x@plain.example>", "From: =?utf-8?q?joe=40signer=2Eexample_via_list?= <a@plain.example>\r\n" + body, spf.StatusNone, dmarc.StatusNone, 0, ReasonNoBadSignals, false},
		{"NUL in From", "<x@plain.example>", "From: <joe@signer.example\x00.plain.example>\r\n" + body, spf.StatusNone, dmarc.StatusPermerror, 550, ReasonFrom, false},
		{"carriage return in From", "<x@plain.example>", "From: <a@plain.example>\r <joe@signer.example>\r\n" + body, spf.StatusNone, dmarc.StatusFail, 550, ReasonDMARC, false},
		{"not an address", "<x@plain.example>", "From: joe@\r\n" + body, spf.StatusNone, dmarc.StatusPermerror, 550, ReasonFrom, false},
		{"many domains", "<x@plain.example>", "From: a@a.example, a@b.example, a@c.example, a@d.example, a@e.example\r\n" + body, spf.StatusNone, dmarc.StatusPermerror, 550, ReasonFrom, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			auth, err := a.Authenticate(context.Background(), arrival(t, tc.mailFrom), strings.NewReader(tc.msg), int64(len(tc.msg)))
			if err != nil {
				t.Fatal(err)
			}
			if auth.SPF.Status != tc.spf || auth.DMARC.Status != tc.dmarc {
				t.Errorf("spf %s, dmarc %s (%v)", auth.SPF.Status, auth.DMARC.Status, auth.DMARC.Err)
			}
			v := New(Options{}).Decide(context.Background(), Facts{Recipient: config.Recipient{Account: "ann"}, Auth: auth})
			if v.Accept != (tc.code == 0) || v.Reason != tc.reason || v.Junk != tc.junk || v.Err != nil && v.Err.Code != tc.code || len(v.Reasons) == 0 {
				t.Errorf("verdict %+v, error %v", v, v.Err)
			}
		})
	}
}

func TestHeaderSaysWhatWasFound(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, authZone)
	msg := o.sign("From: Joe <joe@signer.example>\r\nSubject: hi\r\n\r\nhello\r\n")
	auth, err := o.authenticator().Authenticate(context.Background(), arrival(t, "<joe@signer.example>"), strings.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatal(err)
	}
	h := message.ParseHeader([]byte(auth.Header()), message.Limits{})
	if len(h.Fields) != 2 {
		t.Fatalf("fields:\n%s", auth.Header())
	}
	results := strings.ReplaceAll(h.Value("Authentication-Results"), "\t", " ")
	for _, want := range []string{
		"mx.example.org; iprev=pass (without dnssec) policy.iprev=192.0.2.2", "dkim=pass (without dnssec) header.d=signer.example header.s=s1 header.a=ed25519-sha256 header.b=",
		"spf=pass (without dnssec) smtp.mailfrom=joe@signer.example", "dmarc=pass (without dnssec) header.from=signer.example policy.dmarc=reject",
	} {
		if !strings.Contains(results, want) {
			t.Errorf("%q is not in %q", want, results)
		}
	}
	if s := h.Value("Received-SPF"); !strings.HasPrefix(s, "pass ") || !strings.Contains(s, "receiver=mx.example.org") {
		t.Errorf("Received-SPF: %q", s)
	}
	if l := auth.Passed(); len(l) != 2 {
		t.Errorf("answerable: %v", l)
	}
}

func TestResultOfSPFIsNotLookedUpAgain(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, authZone)
	arr := arrival(t, "<joe@signer.example>")
	arr.SPF = &spf.Result{Status: spf.StatusFail, Identity: spf.IdentityMailFrom, Domain: arr.MailFrom.IPDomain.Domain}
	auth, err := o.authenticator().Authenticate(context.Background(), arr, strings.NewReader("\r\n"), 2)
	if err != nil || auth.SPF.Status != spf.StatusFail {
		t.Errorf("spf %v, %v", auth.SPF.Status, err)
	}
}

func TestErrorsOfReadingAreReturned(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, authZone)
	if _, err := o.authenticator().Authenticate(context.Background(), arrival(t, "<>"), strings.NewReader("From: a@b\r\n"), 100); err == nil {
		t.Error("no error for a message that is cut off")
	}
}

func FuzzShownFrom(f *testing.F) {
	for _, s := range []string{"From: a <b@c.example>\r\n", "From: =?utf-8?q?a=40b.example?= <b@c.example>\r\nFrom: x\r y@z\r\n", "From: \x00@\r\n", "From: g:a@b,c@d;\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := message.ParseHeader(b, message.Limits{})
		l, err := shownFrom(&h)
		if err != nil && len(l) > 0 || len(l) > dmarc.MaxFromDomains {
			t.Errorf("%d domains, %v", len(l), err)
		}
	})
}

// keyPanics is a resolver that panics when keys are looked up.
type keyPanics struct{ dns.Resolver }

func (r keyPanics) LookupTXT(ctx context.Context, name string) ([]string, dns.Result, error) {
	if strings.Contains(name, "._domainkey.") {
		panic("looking up a key")
	}
	return r.Resolver.LookupTXT(ctx, name)
}

// TestPanicInALookupIsAnError is not parallel: it counts panics. Keys of two signatures are
// looked up in goroutines of their own, whose panics would end the server.
func TestPanicInALookupIsAnError(t *testing.T) {
	o := newOrigin(t, authZone)
	a := o.authenticator()
	a.resolver = keyPanics{a.resolver}
	msg := o.sign("From: Joe <joe@signer.example>\r\n\r\nhello\r\n")
	o.selector.ASCII = "s2"
	msg = o.sign(msg)
	before := metrics.PanicCount()
	_, err := a.Authenticate(t.Context(), arrival(t, "<joe@signer.example>"), strings.NewReader(msg), int64(len(msg)))
	if err == nil || !strings.Contains(err.Error(), "panic: looking up a key") || metrics.PanicCount() != before+1 {
		t.Errorf("got %v, %d panics counted", err, metrics.PanicCount()-before)
	}
}
