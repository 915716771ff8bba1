package smtpserver

import (
	"fmt"
	"strings"
	"testing"

	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/internal/inbound"
	"mox/spf"
)

// aliasZone lets us send for example.org.
const aliasZone = originZone + `
example.org TXT "v=spf1 ip4:127.0.0.0/8 ip6:::1 -all"
`

func TestMembersOfAnAliasGetTheMessageInTheirMailboxes(t *testing.T) {
	t.Parallel()
	s := newAuthenticating(t, aliasZone)
	c := dialClient(t, s.delivery)
	c.hello()
	const body = "Subject: hi\r\n\r\nhi\r\n"
	c.message("joe@good.example", []string{"List+x@example.org"}, "From: <joe@good.example>\r\n"+body, "250 ")
	for _, account := range []string{"ann", "bob", "left"} {
		l := s.content(account)
		if len(l) != 1 || !strings.Contains(l[0], "\r\nDelivered-To: "+account+"@example.org\r\n") || !strings.Contains(l[0], "<List+x@example.org>;") {
			t.Errorf("%s: got %q", account, l)
		}
	}
}

func TestMemberWhoIsTheAuthorGetsNoCopyUnlessFromMayBeForged(t *testing.T) {
	t.Parallel()
	s := newAuthenticating(t, aliasZone)
	c := dialClient(t, s.delivery)
	c.hello()
	const content = "From: <bob@example.org>\r\nSubject: hi\r\n\r\nhi\r\n"
	c.message("bob@example.org", []string{"one@example.org"}, content, "250 ")
	c.message("joe@good.example", []string{"bob@example.org"}, content, "250 ")
	c.message("bob@example.org", []string{"list@example.org"}, content, "250 ")
	if a, b := s.content("ann"), s.content("bob"); len(a) != 1 || len(b) != 1 {
		t.Errorf("authentic: ann has %d messages, bob %d", len(a), len(b))
	}
	c.message("joe@other.example", []string{"list@example.org"}, content, "250 ")
	if a, b := s.content("ann"), s.content("bob"); len(a) != 2 || len(b) != 2 {
		t.Errorf("may be forged: ann has %d messages, bob %d", len(a), len(b))
	}
}

func TestRefusedMessageToAnAliasIsKeptForEachMember(t *testing.T) {
	t.Parallel()
	s := newAuthenticating(t, aliasZone)
	c := dialClient(t, s.delivery)
	c.hello()
	c.message("joe@other.example", []string{"list@example.org"}, "From: <joe@good.example>\r\nSubject: hi\r\n\r\nhi\r\n", "550 5.7.26 ")
	for _, account := range []string{"ann", "left"} {
		l := s.contentIn(account, "Rejects")
		if len(l) != 1 || !strings.Contains(l[0], "X-Mox-Reason: dmarc-policy") || !strings.Contains(l[0], "Delivered-To: "+account+"@example.org\r\n") {
			t.Errorf("%s: got %q", account, l)
		}
	}
}

func TestAuthenticFrom(t *testing.T) {
	t.Parallel()
	good, other := dns.Domain{ASCII: "good.example"}, dns.Domain{ASCII: "other.example"}
	signed := func(d dns.Domain, st dkim.Status) []dkim.Result {
		return []dkim.Result{{Status: dkim.StatusFail}, {Status: st, Signature: &dkim.Sig{Domain: d}}}
	}
	for _, tc := range []struct {
		name string
		auth *inbound.Auth
		want bool
	}{
		{"nobody looked", nil, false},
		{"dmarc", &inbound.Auth{From: []dns.Domain{good}, DMARC: dmarc.Result{Status: dmarc.StatusPass}}, true},
		{"several domains", &inbound.Auth{From: []dns.Domain{good, other}, DMARC: dmarc.Result{Status: dmarc.StatusPass}}, false},
		{"not clear", &inbound.Auth{From: []dns.Domain{good}, FromErr: dmarc.ErrFrom, DMARC: dmarc.Result{Status: dmarc.StatusPass}}, false},
		{"nothing", &inbound.Auth{From: []dns.Domain{good}}, false},
		{"spf", &inbound.Auth{From: []dns.Domain{good}, SPF: spf.Result{Status: spf.StatusPass, Identity: spf.IdentityMailFrom, Domain: good}}, true},
		{"spf of ehlo", &inbound.Auth{From: []dns.Domain{good}, SPF: spf.Result{Status: spf.StatusPass, Identity: spf.IdentityHELO, Domain: good}}, false},
		{"spf of another domain", &inbound.Auth{From: []dns.Domain{good}, SPF: spf.Result{Status: spf.StatusPass, Identity: spf.IdentityMailFrom, Domain: other}}, false},
		{"spf fail", &inbound.Auth{From: []dns.Domain{good}, SPF: spf.Result{Status: spf.StatusFail, Identity: spf.IdentityMailFrom, Domain: good}}, false},
		{"dkim", &inbound.Auth{From: []dns.Domain{good}, DKIM: signed(good, dkim.StatusPass)}, true},
		{"dkim of another domain", &inbound.Auth{From: []dns.Domain{good}, DKIM: signed(other, dkim.StatusPass)}, false},
		{"dkim fail", &inbound.Auth{From: []dns.Domain{good}, DKIM: signed(good, dkim.StatusFail)}, false},
	} {
		if got := tc.auth.Authentic(); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

func TestMembersInATransactionAreLimited(t *testing.T) {
	t.Parallel()
	dynamic := testDynamic()
	dests := dynamic.Accounts["ann"].Destinations
	var members []string
	for i := range config.MaxAliasMembers {
		addr := fmt.Sprintf("m%d@example.org", i)
		members, dests[addr] = append(members, addr), config.DestinationFields{}
	}
	for _, name := range []string{"big1", "big2", "big3"} {
		dynamic.Domains["example.org"].Aliases[name] = config.AliasFields{Addresses: members, PostPublic: true}
	}
	snap, err := config.New(testStatic(t.TempDir()), dynamic)
	if err != nil {
		t.Fatal(err)
	}
	ts := newTestServer(t, testSetup{options: func(o *Options) { o.Config = config.NewHolder(snap) }})
	c := dialClient(t, ts.delivery)
	c.hello()
	c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	c.cmd("RCPT TO:<big1@example.org>", "250 ")
	c.cmd("RCPT TO:<big2@example.org>", "250 ")
	c.cmd("RCPT TO:<big3@example.org>", "452 4.5.3 ")
	c.cmd("RCPT TO:<Big2@example.org>", "452 4.5.3 ")
	c.cmd("RCPT TO:<big2@example.org>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd("Subject: x\r\n\r\nx\r\n.", "250 ")
	if n := len(ts.fake.messages()); n != config.MaxAliasMembers+1 {
		t.Errorf("%d messages", n)
	}
}
