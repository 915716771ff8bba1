package smtpserver

import (
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/inbound"
	"mox/internal/testkit"
	"mox/message"
)

// newAuthenticating is newSystem with a server that looks up who messages are from.
func newAuthenticating(t *testing.T, zone string) *system {
	t.Helper()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return newSystem(t, func(o *Options) {
		o.Origins = inbound.NewAuthenticator(inbound.AuthenticatorOptions{Resolver: r})
	})
}

const originZone = `
good.example TXT "v=spf1 ip4:127.0.0.0/8 ip6:::1 -all"
_dmarc.good.example TXT "v=DMARC1; p=reject"
_dmarc.shy.example TXT "v=DMARC1; p=quarantine"
`

func (c *client) deliver(from, msg, code string) {
	c.t.Helper()
	c.cmd("MAIL FROM:<"+from+">", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd(msg+".", code)
}

func TestMessagesOfStrangersAreAuthenticated(t *testing.T) {
	t.Parallel()
	s := newAuthenticating(t, originZone)
	c := dialClient(t, s.delivery)
	c.hello()
	const body = "Subject: hi\r\n\r\nhi\r\n"
	c.deliver("joe@good.example", "From: <joe@good.example>\r\n"+body, "250 ")
	c.deliver("joe@other.example", "From: <joe@good.example>\r\n"+body, "550 5.7.26 ")
	c.deliver("joe@other.example", "From: <joe@shy.example>\r\n"+body, "250 ")
	if l := s.contentIn("ann", "Rejects"); len(l) != 1 || !strings.Contains(l[0], "X-Mox-Reason: dmarc-policy") {
		t.Errorf("copies of refused messages: %q", l)
	}
	inbox, junk := s.content("ann"), s.contentIn("ann", "Junk")
	if len(inbox) != 1 || len(junk) != 1 || !strings.Contains(junk[0], "X-Mox-Reason: dmarc-quarantine") {
		t.Fatalf("inbox %q, junk %q", inbox, junk)
	}
	h := message.ParseHeader([]byte(inbox[0]), message.Limits{})
	var names []string
	for _, f := range h.Fields {
		names = append(names, string(f.Name))
	}
	if got := strings.Join(names, " "); got != "X-Mox-Reason Delivered-To Return-Path Authentication-Results Received-SPF Received From Subject" {
		t.Errorf("fields: %s", got)
	}
	if v := h.Value("Authentication-Results"); !strings.Contains(v, "dmarc=pass") {
		t.Errorf("Authentication-Results: %s", v)
	}
}

func TestFieldsThatPoseAsOursAreRemoved(t *testing.T) {
	t.Parallel()
	s := newAuthenticating(t, originZone)
	c := dialClient(t, s.delivery)
	c.hello()
	forged := "Authentication-Results: mx.example.org; dmarc=pass\r\n\theader.from=bank.example\r\nX-Mox-Reason: trust me\r\n"
	rest := "Authentication-Results: elsewhere.example; spf=none\r\nFrom: <joe@good.example>\r\nSubject: hi\r\n\r\nX-Mox-Reason: body\r\n"
	c.deliver("joe@good.example", forged+rest, "250 ")
	large := rest + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 10_000)
	c.deliver("joe@good.example", forged+large, "250 ")
	got := s.content("ann")
	if len(got) != 2 || !strings.HasSuffix(got[0], "\r\n"+rest) || !strings.HasSuffix(got[1], "\r\n"+large) {
		t.Fatalf("%d messages, the first %q", len(got), got[0])
	}
	for _, msg := range got {
		if strings.Contains(msg, "bank.example") || strings.Contains(msg, "trust me") {
			t.Errorf("forged field stays: %.500q", msg)
		}
	}
}
