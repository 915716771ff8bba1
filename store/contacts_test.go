package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mox/smtp"
)

func address(t testing.TB, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s, smtp.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sentTo returns when the account has sent to something.
func (j *judgeTest) sentTo(k ContactKind, value string) (at time.Time) {
	j.Helper()
	err := j.Reputation(ctx, func(r *Reputation) (err error) {
		at, err = r.SentTo(k, value)
		return err
	})
	if err != nil {
		j.Fatal(err)
	}
	return at
}

func TestSentMessagesMakeContacts(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{})
	const data = "From: <mox@localhost>\r\nTo: Ann <Ann@Sub.example.co.uk>, group: <bob@example.net>, <bad@>;\r\nCc: =?utf-8?q?C=C3=A9?= <c@bücher.example>\r\nBcc: <secret@example.com>\r\n\r\nhello\r\n"
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sent := func(change func(m *NewMessage)) Message {
		m := newMessage(t, j.Account, data)
		m.Mailbox, m.Received = "Sent", at
		change(&m)
		l, err := j.Append(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		return l[0]
	}
	known := []struct {
		kind  ContactKind
		value string
	}{
		{ContactAddress, "ann@sub.example.co.uk"}, {ContactAddress, "ANN@sub.example.co.uk"}, {ContactDomain, "sub.example.co.uk"}, {ContactOrg, "example.co.uk"},
		{ContactAddress, "bob@example.net"}, {ContactAddress, "c@bücher.example"}, {ContactDomain, "xn--bcher-kva.example"}, {ContactAddress, "secret@example.com"},
	}
	check := func(what string, want time.Time) {
		t.Helper()
		for _, k := range known {
			if got := j.sentTo(k.kind, k.value); !got.Equal(want) {
				t.Errorf("%s: %s%s: got %v, expected %v", what, k.kind, k.value, got, want)
			}
		}
	}
	m := sent(func(m *NewMessage) { m.Mailbox = "Drafts" })
	check("a draft", time.Time{})
	j.transfer(m, "Sent", false)
	check("moved to Sent", at)
	at = at.Add(time.Hour)
	sent(func(*NewMessage) {})
	check("an hour later", at.Add(-time.Hour))
	at = at.Add(24 * time.Hour)
	sent(func(*NewMessage) {})
	check("a day later", at)
	latest := at
	at = at.Add(-100 * 24 * time.Hour)
	sent(func(*NewMessage) {})
	check("an older message", latest)
	for _, k := range []struct {
		kind  ContactKind
		value string
	}{{ContactDomain, "example.co.uk"}, {ContactOrg, "co.uk"}, {ContactAddress, "other@example.net"}, {ContactAddress, "mox@localhost"}} {
		if got := j.sentTo(k.kind, k.value); !got.IsZero() {
			t.Errorf("%s%s: got %v", k.kind, k.value, got)
		}
	}
}

func TestMessagesToACrowdMakeFewContacts(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{})
	data := "From: <mox@localhost>\r\nTo: <a0@example.org>"
	for i := range maxNoted {
		data += fmt.Sprintf(",\r\n <a%d@example.org>", i+1)
	}
	m := newMessage(t, j.Account, data+"\r\n\r\nhello\r\n")
	m.Mailbox = "Sent"
	if _, err := j.Append(ctx, m); err != nil {
		t.Fatal(err)
	}
	if j.sentTo(ContactAddress, fmt.Sprintf("a%d@example.org", maxNoted-1)).IsZero() || !j.sentTo(ContactAddress, fmt.Sprintf("a%d@example.org", maxNoted)).IsZero() {
		t.Errorf("not as many as there can be")
	}
}

func TestAddContacts(t *testing.T) {
	t.Parallel()
	c := &clock{time.Now()}
	j := newJudgeTest(t, Policy{}, func(o *Options) { o.Now = c.now })
	j.update(func(tx *Tx) error {
		return tx.AddContacts([]smtp.Address{address(t, "ann@example.org"), {Localpart: "postmaster"}}, c.t, true)
	})
	if got := j.sentTo(ContactAddress, "ann@example.org"); !got.Equal(c.t) {
		t.Errorf("got %v, expected %v", got, c.t)
	}
	if got := j.sentTo(ContactAddress, "postmaster"); !got.IsZero() {
		t.Errorf("without domain: got %v", got)
	}
	c.t = c.t.Add(ReputationWindow - 24*time.Hour)
	if err := j.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if j.sentTo(ContactDomain, "example.org").IsZero() {
		t.Errorf("pruned within the window")
	}
	c.t = c.t.Add(70 * 24 * time.Hour)
	if err := j.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if !j.sentTo(ContactDomain, "example.org").IsZero() {
		t.Errorf("not pruned beyond the window")
	}
}

func TestMostSpecificSenderRuleWins(t *testing.T) {
	t.Parallel()
	c := &clock{time.Now().Truncate(time.Second)}
	j := newJudgeTest(t, Policy{}, func(o *Options) { o.Now = c.now })
	rules := map[string]bool{"@example": false, "@example.org": true, "@sub.example.org": false, "ann@sub.example.org": true, "@xn--bcher-kva.example": true}
	for sender, allow := range rules {
		if err := j.SetSenderRule(ctx, sender, !allow); err != nil {
			t.Fatal(err)
		}
	}
	c.t = c.t.Add(time.Hour)
	for sender, allow := range rules {
		if err := j.SetSenderRule(ctx, sender, allow); err != nil { // Said anew.
			t.Fatal(err)
		}
	}
	l, err := j.SenderRules(ctx)
	if err != nil || len(l) != len(rules) {
		t.Fatalf("got %v, %v", l, err)
	}
	for i, r := range l {
		if allow, ok := rules[r.Sender]; !ok || r.Allow != allow || !r.Since.Equal(c.t) || i > 0 && r.Sender <= l[i-1].Sender {
			t.Errorf("got %+v", r)
		}
	}
	tests := []struct{ addr, want string }{
		{"ann@sub.example.org", "ann@sub.example.org"},
		{"ANN@Sub.Example.Org", "ann@sub.example.org"},
		{"bob@sub.example.org", "@sub.example.org"},
		{"bob@deep.sub.example.org", "@sub.example.org"},
		{"ann@example.org", "@example.org"},
		{"ann@xsub.example.org", "@example.org"},
		{"ann@example.net", ""},
		{"ann@myexample", ""},
		{"ann@other.example", "@example"},
		{"x@bücher.example", "@xn--bcher-kva.example"},
	}
	for _, tc := range tests {
		err := j.Reputation(ctx, func(r *Reputation) error {
			rule, ok, err := r.SenderRule(address(t, tc.addr))
			if err != nil || ok != (tc.want != "") || rule.Sender != tc.want || rule.Allow != rules[tc.want] {
				t.Errorf("%s: got %+v, %v, %v", tc.addr, rule, ok, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []bool{true, false} {
		if removed, err := j.RemoveSenderRule(ctx, "@example"); err != nil || removed != want {
			t.Errorf("remove: %v, %v", removed, err)
		}
	}
}

func TestParseSender(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ann@Example.ORG":          "ann@example.org",
		"@Example.ORG":             "@example.org",
		"@bücher.example":          "@xn--bcher-kva.example",
		"Ü@bücher.example":         "ü@xn--bcher-kva.example",
		`"an n"@example.org`:       `"an n"@example.org`,
		"@example":                 "@example",
		"@xn--bcher-kva.example":   "@xn--bcher-kva.example",
		"ann@xn--bcher-kva.exam":   "ann@xn--bcher-kva.exam",
		"":                         "",
		"@":                        "",
		"example.org":              "",
		"ann@":                     "",
		"@ann@example.org":         "",
		"@exa mple.org":            "",
		"ann@example.org, b@c.org": "",
		"<ann@example.org>":        "",
		"@.":                       "",
	} {
		got, err := ParseSender(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v; expected %q", in, got, err, want)
		}
		if want == "" {
			continue
		}
		if again, err := ParseSender(got); again != got || err != nil {
			t.Errorf("%q: got %q, %v the second time", got, again, err)
		}
	}
	if _, err := ParseSender("example.org"); err == nil || !strings.Contains(err.Error(), "write @example.org") {
		t.Errorf("got %v", err)
	}
}

func TestSenderRulesAreLimited(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{})
	j.update(func(tx *Tx) error {
		tx.written = true
		for i := range MaxSenderRules {
			if err := tx.btx.Insert(&senderRule{Sender: fmt.Sprintf("@%d.example", i), Since: tx.now}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := j.SetSenderRule(ctx, "@one.more.example", true); !errors.Is(err, ErrLimit) {
		t.Errorf("one too many: %v", err)
	}
	if err := j.SetSenderRule(ctx, "@1.example", true); err != nil {
		t.Errorf("changing one: %v", err)
	}
}

func TestKeysForSubjectsAreMadeOnce(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{})
	keys := map[string]string{}
	for range 2 {
		for _, addr := range []string{"mox@localhost", "other@localhost"} {
			key, err := j.SubjectPassKey(ctx, addr)
			if err != nil || len(key) != subjectPassKeySize || keys[addr] != "" && keys[addr] != key {
				t.Errorf("%s: got %q, %v", addr, key, err)
			}
			keys[addr] = key
		}
	}
	if keys["mox@localhost"] == keys["other@localhost"] {
		t.Errorf("addresses share a key")
	}
}

func TestOrgDomain(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{"a.b.example.co.uk": "example.co.uk", "example.org": "example.org", "co.uk": "co.uk", "-": "-"} {
		if got := OrgDomain(domain); got != want {
			t.Errorf("%s: got %s, expected %s", domain, got, want)
		}
	}
}
