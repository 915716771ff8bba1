package config

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"mox/dns"
)

// Limits of rulesets. Regular expressions take time linear to the text they are
// matched with, times the size of their program.
const (
	maxRegexp        = 1000  // Length of a regular expression, in bytes.
	maxRegexpProgram = 10000 // Instructions it is compiled to: (.{1000}) has as many.
	maxRulesets      = 1000  // Of a destination.
	maxHeaderMatches = 20    // Of a ruleset.
)

// Ruleset says what becomes of the messages it matches: those for which all of
// MailFrom, MsgFrom, VerifiedDomain and Headers match that are there.
type Ruleset struct {
	MailFrom       *regexp.Regexp // For the address in MAIL FROM. Can be nil, as all expressions.
	MsgFrom        *regexp.Regexp // For the address in the From header.
	VerifiedDomain dns.Domain     // This or a domain below it must be proven. Can be zero.
	Headers        []HeaderMatch

	IsForward              bool       // By a server whose own marks do not count.
	ListAllowDomain        dns.Domain // Messages are taken if this or a domain below it is proven. Can be zero.
	AcceptRejectsToMailbox string     // Where messages go that would be refused. Empty: they are refused.
	Mailbox                string     // In the form in which mailbox names are stored.
	Comment                string
}

// HeaderMatch matches a message with a header field of which name and value, both in
// lower case and without space around them, match.
type HeaderMatch struct {
	Name, Value *regexp.Regexp
}

func (c *checker) rulesets(field string, l []RulesetFields) []Ruleset {
	if len(l) > maxRulesets {
		c.addf(field, "%d rulesets are more than the %d that are possible", len(l), maxRulesets)
		return nil
	}
	var rulesets []Ruleset
	for i, f := range l {
		rulesets = append(rulesets, c.ruleset(fmt.Sprintf("%s[%d]", field, i), f))
	}
	return rulesets
}

func (c *checker) ruleset(field string, f RulesetFields) Ruleset {
	r := Ruleset{
		MailFrom:  c.regexp(field+".SMTPMailFromRegexp", f.SMTPMailFromRegexp, false),
		MsgFrom:   c.regexp(field+".MsgFromRegexp", f.MsgFromRegexp, false),
		IsForward: f.IsForward,
		Mailbox:   c.mailbox(field+".Mailbox", f.Mailbox),
		Comment:   f.Comment,
	}
	if f.VerifiedDomain != "" {
		r.VerifiedDomain = c.domain(field+".VerifiedDomain", f.VerifiedDomain)
	}
	if f.ListAllowDomain != "" {
		r.ListAllowDomain = c.domain(field+".ListAllowDomain", f.ListAllowDomain)
	}
	if f.AcceptRejectsToMailbox != "" {
		r.AcceptRejectsToMailbox = c.otherMailbox(field+".AcceptRejectsToMailbox", f.AcceptRejectsToMailbox)
	}
	if len(f.HeadersRegexp) > maxHeaderMatches {
		c.addf(field+".HeadersRegexp", "%d header fields are more than the %d that are possible", len(f.HeadersRegexp), maxHeaderMatches)
		return r
	}
	for _, name := range slices.Sorted(maps.Keys(f.HeadersRegexp)) {
		hf, value := join(field+".HeadersRegexp", name), f.HeadersRegexp[name]
		if name == "" || value == "" {
			c.addf(hf, "regular expressions for name and value cannot be empty")
		}
		r.Headers = append(r.Headers, HeaderMatch{c.regexp(hf, name, true), c.regexp(hf, value, true)})
	}
	if f.SMTPMailFromRegexp == "" && f.MsgFromRegexp == "" && f.VerifiedDomain == "" && len(f.HeadersRegexp) == 0 {
		c.addf(field, "at least one of SMTPMailFromRegexp, MsgFromRegexp, VerifiedDomain and HeadersRegexp is needed, or all messages would match")
	}
	if f.IsForward && (f.SMTPMailFromRegexp == "" || f.VerifiedDomain == "") {
		c.addf(field+".IsForward", "needs SMTPMailFromRegexp and VerifiedDomain, so that not everyone can claim to forward")
	}
	if f.IsForward && f.ListAllowDomain != "" {
		c.addf(field+".ListAllowDomain", "cannot be set together with IsForward")
	}
	return r
}

// regexp compiles a regular expression. The empty one is nil. If lower, it is for
// texts in lower case.
func (c *checker) regexp(field, s string, lower bool) *regexp.Regexp {
	if s == "" {
		return nil
	}
	if len(s) > maxRegexp {
		c.addf(field, "regular expression is longer than %d bytes", maxRegexp)
		return nil
	}
	parsed, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		c.addf(field, "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil
	}
	if lower && upper(parsed) {
		c.addf(field, "regular expression %q has upper case, but is for text in lower case", s)
		return nil
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(prog.Inst) > maxRegexpProgram {
		c.addf(field, "regular expression %q is too large once its repetitions are written out", s)
		return nil
	}
	re, err := regexp.Compile(s)
	if err != nil {
		c.addf(field, "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil
	}
	return re
}

// upper reports whether an expression has an upper-case letter to be matched as such.
func upper(re *syntax.Regexp) bool {
	if re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0 && slices.ContainsFunc(re.Rune, unicode.IsUpper) {
		return true
	}
	return slices.ContainsFunc(re.Sub, upper)
}
