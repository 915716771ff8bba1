package config

import (
	"strings"
	"testing"

	"mox/dns"
)

// withRuleset gives bob.s@example.org in testDynamic a ruleset.
func withRuleset(t *testing.T, fields ...string) string {
	t.Helper()
	s := "\t\t\t\tMailbox: Lists\n\t\t\t\tRulesets:\n\t\t\t\t\t-\n"
	for _, f := range fields {
		s += "\t\t\t\t\t\t" + f + "\n"
	}
	return change(t, testDynamic, "\t\t\t\tMailbox: Lists\n", s)
}

func TestRulesetsAreCompiled(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, withRuleset(t,
		`SMTPMailFromRegexp: ^list-.*@lists\.example\.org$`,
		"MsgFromRegexp: @Example",
		"VerifiedDomain: lists.example.org",
		"HeadersRegexp:", `	^list-id$: <x\.\S+>`, "	^a: b",
		"ListAllowDomain: ☺.example",
		"AcceptRejectsToMailbox: Rejected",
		"Mailbox: inbox/x",
		"Comment: Mine"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.LookupAddress(parsePath(t, "bob.s@example.org"))
	if err != nil || len(r.Destination.Rulesets) != 1 {
		t.Fatalf("got %+v, error %v", r, err)
	}
	rs := r.Destination.Rulesets[0]
	if !rs.MailFrom.MatchString("list-bounces@lists.example.org") || rs.MailFrom.MatchString("list-x@lists.example.org.uk") || !rs.MsgFrom.MatchString("x@Example.org") {
		t.Errorf("got %v and %v", rs.MailFrom, rs.MsgFrom)
	}
	if rs.VerifiedDomain != (dns.Domain{ASCII: "lists.example.org"}) || rs.ListAllowDomain.Name() != "☺.example" || rs.IsForward || rs.AcceptRejectsToMailbox != "Rejected" || rs.Mailbox != "Inbox/x" || rs.Comment != "Mine" {
		t.Errorf("got %+v", rs)
	}
	if len(rs.Headers) != 2 || !rs.Headers[0].Name.MatchString("a") || !rs.Headers[1].Name.MatchString("list-id") || !rs.Headers[1].Value.MatchString("<x.example>") {
		t.Errorf("got %v", rs.Headers)
	}
}

func TestRulesetsAreChecked(t *testing.T) {
	t.Parallel()
	const line, field = "domains.conf:30: ", "Accounts.bob.Destinations.bob.s@example.org.Rulesets[0]"
	for _, tc := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"no matcher", []string{"Mailbox: x", "ListAllowDomain: example.org"}, "domains.conf:29: " + field + ": at least one of SMTPMailFromRegexp, MsgFromRegexp, VerifiedDomain and HeadersRegexp is needed, or all messages would match"},
		{"no mailbox", []string{"Mailbox: ", "MsgFromRegexp: x"}, line + field + ".Mailbox: "},
		{"syntax", []string{"MsgFromRegexp: (", "Mailbox: x"}, line + field + ".MsgFromRegexp: missing closing ): `(`"},
		{"too long", []string{"SMTPMailFromRegexp: " + strings.Repeat("x", maxRegexp+1), "Mailbox: x"}, line + field + ".SMTPMailFromRegexp: regular expression is longer than 1000 bytes"},
		{"too large", []string{"MsgFromRegexp: (x{1000}){11}", "Mailbox: x"}, line + field + ".MsgFromRegexp: "},
		{"too large with alternatives", []string{"MsgFromRegexp: " + strings.Repeat("x{1000}", 11), "Mailbox: x"}, line + field + `.MsgFromRegexp: regular expression "` + strings.Repeat("x{1000}", 11) + `" is too large once its repetitions are written out`},
		{"upper case in name", []string{"HeadersRegexp:", "	^List-Id$: x", "Mailbox: x"}, "domains.conf:31: " + field + `.HeadersRegexp.^List-Id$: regular expression "^List-Id$" has upper case, but is for text in lower case`},
		{"upper case in value", []string{"HeadersRegexp:", "	^list-id$: (a|[b]X)", "Mailbox: x"}, "domains.conf:31: " + field + `.HeadersRegexp.^list-id$: regular expression "(a|[b]X)" has upper case, but is for text in lower case`},
		{"empty value", []string{"HeadersRegexp:", "	^list-id$: ", "Mailbox: x"}, "domains.conf:31: " + field + ".HeadersRegexp.^list-id$: regular expressions for name and value cannot be empty"},
		{"forward without address", []string{"IsForward: true", "VerifiedDomain: example.org", "Mailbox: x"}, line + field + ".IsForward: needs SMTPMailFromRegexp and VerifiedDomain, so that not everyone can claim to forward"},
		{"forward without domain", []string{"IsForward: true", "SMTPMailFromRegexp: x", "Mailbox: x"}, line + field + ".IsForward: needs SMTPMailFromRegexp and VerifiedDomain, so that not everyone can claim to forward"},
		{"forward and list", []string{"ListAllowDomain: example.org", "IsForward: true", "SMTPMailFromRegexp: x", "VerifiedDomain: example.org", "Mailbox: x"}, line + field + ".ListAllowDomain: cannot be set together with IsForward"},
		{"rejects to Inbox", []string{"AcceptRejectsToMailbox: INBOX", "MsgFromRegexp: x", "Mailbox: x"}, line + field + ".AcceptRejectsToMailbox: cannot be Inbox"},
		{"verified domain", []string{"VerifiedDomain: Example.org", "Mailbox: x"}, line + field + `.VerifiedDomain: domain "Example.org" must be written in unicode and lower case, as "example.org"`},
		{"list domain", []string{"ListAllowDomain: x y", "MsgFromRegexp: x", "Mailbox: x"}, line + field + ".ListAllowDomain: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := testLoad(testStatic, withRuleset(t, tc.fields...))
			if got := errorLines(t, err); !strings.HasPrefix(got, tc.want) || strings.Count(got, "\n") != 1 {
				t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
			}
		})
	}
}

func TestRulesetsAreLimited(t *testing.T) {
	t.Parallel()
	c := &checker{}
	if l := c.rulesets("x", make([]RulesetFields, maxRulesets+1)); l != nil || len(c.errs) != 1 {
		t.Errorf("got %d rulesets, errors %v", len(l), c.errs)
	}
	c = &checker{}
	f := RulesetFields{Mailbox: "x", HeadersRegexp: map[string]string{}}
	for i := range maxHeaderMatches + 1 {
		f.HeadersRegexp[strings.Repeat("x", i+1)] = "y"
	}
	if r := c.ruleset("x", f); len(r.Headers) != 0 || len(c.errs) != 1 {
		t.Errorf("got %d header fields, errors %v", len(r.Headers), c.errs)
	}
}

func TestDestinationCanRequireThatTheSenderIsProven(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, change(t, testDynamic, "Mailbox: Lists", "MessageAuthRequiredSMTPError: prove it"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.LookupAddress(parsePath(t, "bob.s@example.org"))
	if e := r.Destination.MessageAuthRequired; err != nil || e == nil || e.Code != 550 || e.Enhanced != "5.7.26" || e.Text != "prove it" {
		t.Fatalf("got %v, error %v", e, err)
	}
	if r, _ := s.LookupAddress(parsePath(t, "ann@example.org")); r.Destination.MessageAuthRequired != nil {
		t.Fatalf("got %v without the field", r.Destination.MessageAuthRequired)
	}
	for text, want := range map[string]string{
		"für alle":               "text can only have printable ASCII characters",
		strings.Repeat("x", 256): "text is longer than 255 characters",
	} {
		_, err := testLoad(testStatic, change(t, testDynamic, "Mailbox: Lists", "MessageAuthRequiredSMTPError: "+text))
		if got, want := errorLines(t, err), "domains.conf:27: Accounts.bob.Destinations.bob.s@example.org.MessageAuthRequiredSMTPError: "+want+"\n"; got != want {
			t.Errorf("got:\n%s\nexpected:\n%s", got, want)
		}
	}
}

func TestDestinationThatRefusesHasNoRulesets(t *testing.T) {
	t.Parallel()
	_, err := testLoad(testStatic, change(t, testDynamic, "SMTPError: 421", "SMTPError: 421\n\t\t\t\tRulesets:\n\t\t\t\t\t-\n\t\t\t\t\t\tMsgFromRegexp: x\n\t\t\t\t\t\tMailbox: x"))
	want := "domains.conf:34: Accounts.bob.Destinations.away@example.org.SMTPError: cannot be set together with Mailbox, Rulesets or ForwardTo\n"
	if got := errorLines(t, err); got != want {
		t.Fatalf("got:\n%s\nexpected:\n%s", got, want)
	}
}
