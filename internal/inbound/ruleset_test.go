package inbound

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/message"
	"mox/spf"
)

func TestRulesetsMatch(t *testing.T) {
	t.Parallel()
	headers := func(pairs ...string) config.RulesetFields {
		r := config.RulesetFields{HeadersRegexp: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			r.HeadersRegexp[pairs[i]] = pairs[i+1]
		}
		return r
	}
	const text = "From: Joe <joe@sender.example>\r\nList-Id: The LIST\r\n\t<list.lists.example>\r\nX-A:   one  \r\nX-A: two\r\nX-B: three\r\n" +
		"X-C: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nTo: <ann@example.org>\r\n\r\nX-D: body\r\n"
	null := func(f *Facts) {
		f.MailFrom.Localpart, f.MailFrom.IPDomain.Domain = "", domainOf("")
		f.Auth.SPF.Identity, f.Auth.SPF.Domain = spf.IdentityHELO, f.EHLO.Domain
	}
	for _, tc := range []struct {
		name  string
		rule  config.RulesetFields
		edit  func(*Facts)
		match bool
	}{
		{"mail from", config.RulesetFields{SMTPMailFromRegexp: "^bounce@sender\\.example$"}, nil, true},
		{"other mail from", config.RulesetFields{SMTPMailFromRegexp: "^joe@"}, nil, false},
		{"null reverse-path", config.RulesetFields{SMTPMailFromRegexp: "^$"}, null, true},
		{"from", config.RulesetFields{MsgFromRegexp: "^joe@sender\\.example$"}, nil, true},
		{"other from", config.RulesetFields{MsgFromRegexp: "^sue@"}, nil, false},
		{"verified", config.RulesetFields{VerifiedDomain: "sender.example"}, nil, true},
		{"verified below", config.RulesetFields{VerifiedDomain: "sender.example"}, func(f *Facts) { f.Auth.SPF.Domain = domainOf("a.b.sender.example") }, true},
		{"verified above", config.RulesetFields{VerifiedDomain: "mail.sender.example"}, nil, false},
		{"verified namesake", config.RulesetFields{VerifiedDomain: "sender.example"}, func(f *Facts) { f.Auth.SPF.Domain = domainOf("xsender.example") }, false},
		{"verified by signature", config.RulesetFields{VerifiedDomain: "list.example"}, func(f *Facts) { sign(f, "list.example") }, true},
		{"verified ehlo", config.RulesetFields{VerifiedDomain: "sender.example"}, null, true},
		{"not verified", config.RulesetFields{VerifiedDomain: "sender.example"}, unproven, false},
		{"nobody looked", config.RulesetFields{VerifiedDomain: "sender.example"}, func(f *Facts) { f.Auth = nil }, false},
		{"header", headers("^x-b$", "^three$"), nil, true},
		{"header, name without value", headers("^x-b$", "^thre$"), nil, false},
		{"header in lower case, unfolded", headers("^list-id$", "^the list <list\\.lists\\.example>$"), nil, true},
		{"second of a name, trimmed", headers("^x-a$", "^two$"), nil, true},
		{"first of a name, trimmed", headers("^x-a$", "^one$"), nil, true},
		{"header that is encoded", headers("^x-c$", "^grüße$"), nil, true},
		{"header as it is", headers("^x-c$", "^=\\?utf-8"), nil, true},
		{"all headers", headers("^x-a$", "two", "^x-b$", "three"), nil, true},
		{"not all headers", headers("^x-a$", "two", "^x-b$", "four"), nil, false},
		{"name and value of different fields", headers("^x-a$", "three"), nil, false},
		{"no header but body", headers("^x-d$", "body"), nil, false},
		{"all conditions", config.RulesetFields{SMTPMailFromRegexp: "bounce", MsgFromRegexp: "joe", VerifiedDomain: "sender.example", HeadersRegexp: map[string]string{"x-b": "three"}}, nil, true},
		{"all but one", config.RulesetFields{SMTPMailFromRegexp: "bounce", MsgFromRegexp: "sue", VerifiedDomain: "sender.example", HeadersRegexp: map[string]string{"x-b": "three"}}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.rule.Mailbox = "R"
			w := newWorld(t, withRuleset(tc.rule))
			f := w.facts(text)
			if tc.edit != nil {
				tc.edit(&f)
			}
			if v := w.decide(f); (v.Destined == "R") != tc.match {
				t.Errorf("mailbox %s, %q", v.Destined, v.Reasons)
			}
		})
	}
}

func TestFirstRulesetThatMatchesCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{destination: func(d *config.DestinationFields) {
		d.Mailbox = "Other"
		d.Rulesets = []config.RulesetFields{{MsgFromRegexp: "sue", Mailbox: "A"}, {MsgFromRegexp: "joe", Mailbox: "Inbox"}, {MsgFromRegexp: "joe", Mailbox: "C"}}
	}})
	if v := w.decide(w.facts(plainText)); v.Mailbox != "Inbox" {
		t.Errorf("mailbox %s", v.Mailbox)
	}
	if v := w.decide(w.facts(strings.Replace(plainText, "joe@", "bob@", 1))); v.Mailbox != "Other" {
		t.Errorf("mailbox %s", v.Mailbox)
	}
}

func TestRulesetsDoNotTakeForEver(t *testing.T) {
	t.Parallel()
	h := message.ParseHeader([]byte("X-A: one\r\n\r\n"), message.Limits{})
	matches := []config.HeaderMatch{{Name: regexp.MustCompile("a"), Value: regexp.MustCompile("one")}}
	if now := time.Now(); !matchHeaders(&h, matches, now.Add(time.Hour)) || matchHeaders(&h, matches, now.Add(-time.Second)) {
		t.Error("the time does not count")
	}

	// The worst there can be: a header as large as possible, for many large expressions.
	var fields strings.Builder
	for fields.Len() < message.MaxHeader-maxMatched {
		fields.WriteString("X-A: " + strings.Repeat("a", maxMatched/2) + "\r\n")
	}
	rules := []config.RulesetFields{}
	for range 50 {
		rules = append(rules, config.RulesetFields{HeadersRegexp: map[string]string{"^x-a$": "a.{900}b.{900}c$"}, Mailbox: "R"})
	}
	w := newWorld(t, wish{destination: func(d *config.DestinationFields) { d.Rulesets = rules }})
	f := w.facts(fields.String() + plainText)
	v := w.d.verdict(func() Facts { f.Share(); return f }())
	chooseMailbox(t.Context(), v)
	if v.Mailbox != "Inbox" || v.matching < maxMatching {
		t.Errorf("mailbox %s, after %v", v.Mailbox, v.matching)
	}
}

func FuzzRulesetHeaders(f *testing.F) {
	matches := []config.HeaderMatch{{Name: regexp.MustCompile("^x-a$"), Value: regexp.MustCompile("(a+)+b|(.*){10}c")}}
	f.Add([]byte("X-A: " + strings.Repeat("a", 5000) + "\r\n\r\n"))
	f.Add([]byte("X-A : b\r\n c\r\nx-a:=?utf-8?q?=62?=\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := message.ParseHeader(b, message.Limits{})
		got := matchHeaders(&h, matches, time.Now().Add(time.Minute))
		if got && !strings.Contains(strings.ToLower(string(b)), "x-a") {
			t.Errorf("match without a field of the name: %q", b)
		}
		if got && len(h.Fields) == 0 {
			t.Error("match without a field")
		}
	})
}
