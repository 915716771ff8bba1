package mtasts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mox/dns"
	"mox/internal/lex"
)

// A Mode says what a policy is for, RFC 8461 §5.
type Mode string

// Modes.
const (
	ModeEnforce Mode = "enforce" // Do not deliver to hosts that fail the policy.
	ModeTesting Mode = "testing" // Deliver, and report failures.
	ModeNone    Mode = "none"    // The domain has, or is about to have, no policy.
)

// An MX is a pattern for the names of hosts, RFC 8461 §3.2.
type MX struct {
	// Wildcard is set for "*." and Domain: it stands for exactly one label.
	Wildcard bool
	Domain   dns.Domain
}

// String returns the pattern as it is in a policy.
func (m MX) String() string {
	if m.Wildcard {
		return "*." + m.Domain.ASCII
	}
	return m.Domain.ASCII
}

// Matches reports whether host is one of those that the pattern is for, RFC 8461
// §4.1.
func (m MX) Matches(host dns.Domain) bool {
	if host.IsZero() || m.Domain.IsZero() {
		return false
	}
	if !m.Wildcard {
		return host.ASCII == m.Domain.ASCII
	}
	_, parent, _ := strings.Cut(host.ASCII, ".")
	return parent == m.Domain.ASCII
}

// A Policy says how mail for a domain is to be delivered, RFC 8461 §3.2.
type Policy struct {
	Mode Mode

	// MX are the hosts that may receive mail. There is at least one, unless Mode is
	// ModeNone.
	MX []MX

	// MaxAge is for how long the policy holds after it was fetched, in whole seconds,
	// at most the constant MaxAge.
	MaxAge time.Duration

	// Extensions are fields that this package does not know, in the order of the
	// policy.
	Extensions []Pair
}

// Matches reports whether the policy allows a host to receive mail for its domain.
// In mode none, each host may.
func (p Policy) Matches(host dns.Domain) bool {
	return p.Mode == ModeNone || slices.ContainsFunc(p.MX, func(m MX) bool { return m.Matches(host) })
}

// Lines returns the policy as lines without line ends, for "policy-string" in TLS
// reports (RFC 8460 §4.5).
func (p Policy) Lines() []string {
	l := []string{"version: STSv1", "mode: " + string(p.Mode)}
	for _, mx := range p.MX {
		l = append(l, "mx: "+mx.String())
	}
	l = append(l, fmt.Sprintf("max_age: %d", p.MaxAge/time.Second))
	for _, e := range p.Extensions {
		l = append(l, e.Name+": "+e.Value)
	}
	return l
}

// String returns the policy in the form in which it is served, with CRLF.
func (p Policy) String() string {
	return strings.Join(p.Lines(), "\r\n") + "\r\n"
}

// ParsePolicy parses a policy. It keeps to the grammar of RFC 8461 §3.2, with two
// exceptions in favour of having a policy at all: there may be empty lines at the
// end, and a max_age that is too large is taken as the constant MaxAge. Of fields
// other than mx that are repeated only the first counts. Errors match
// ErrPolicySyntax and name the line.
func ParsePolicy(text string) (Policy, error) {
	if len(text) > MaxPolicySize {
		return Policy{}, fmt.Errorf("%w: larger than %d bytes", ErrPolicySyntax, MaxPolicySize)
	}
	var p Policy
	seen := map[string]bool{}
	text = strings.TrimRight(text, "\r\n")
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		s := lex.New(strings.TrimSuffix(line, "\r"))
		p.field(s, seen)
		if err := s.Err(); err != nil {
			return Policy{}, fmt.Errorf("%w: line %d: %w", ErrPolicySyntax, n, err)
		}
	}
	if err := p.complete(seen); err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrPolicySyntax, err)
	}
	return p, nil
}

// complete checks that fields that must be there are.
func (p *Policy) complete(seen map[string]bool) error {
	for _, name := range []string{"version", "mode", "max_age"} {
		if !seen[name] {
			return fmt.Errorf("no field %s", name)
		}
	}
	if len(p.MX) == 0 && p.Mode != ModeNone {
		return errors.New("no field mx")
	}
	return nil
}

// field parses a line:
//
//	sts-policy-field       = name sts-policy-field-delim value *WSP
//	sts-policy-field-delim = ":" *WSP
func (p *Policy) field(s *lex.Scanner, seen map[string]bool) {
	defer s.In("sts-policy-field")()
	name := fieldName(s)
	s.NeedByte(':')
	s.Take(lex.WSP)
	defer s.In(name)()
	pos := s.Pos()
	value := strings.TrimRight(s.TakeRest(), " \t")
	if !s.OK() {
		return
	}
	if problem := checkValue(value); problem != "" {
		s.FailAt(pos, "%s", problem)
		return
	}
	first := !seen[name]
	seen[name] = true
	if !first && name != "mx" {
		return
	}
	if problem := p.set(name, value); problem != "" {
		s.FailAt(pos, "%s", problem)
	}
}

// sts-policy-ext-value = sts-policy-vchar [*(%x20 / sts-policy-vchar) sts-policy-vchar]
//
// Values of fields that are known are subsets of it.
func checkValue(v string) string {
	switch {
	case v == "":
		return "expected a value"
	case !utf8.ValidString(v):
		return "value is not utf-8"
	case lex.CTL.Index(v) >= 0:
		return "control character in value"
	}
	return ""
}

// set sets a field and returns what is wrong with its value, if anything is.
func (p *Policy) set(name, value string) (problem string) {
	switch name {
	case "version":
		if value != "STSv1" {
			return "version is not STSv1"
		}
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != ModeEnforce && p.Mode != ModeTesting && p.Mode != ModeNone {
			return "mode is none of enforce, testing, none"
		}
	case "max_age":
		return p.setMaxAge(value)
	case "mx":
		return p.addMX(value)
	default:
		p.Extensions = append(p.Extensions, Pair{name, value})
	}
	return ""
}

// maxAgeDigits: sts-policy-max-age-value = 1*10(DIGIT)
const maxAgeDigits = 10

func (p *Policy) setMaxAge(value string) string {
	s := lex.New(value)
	seconds := s.NeedUint(9_999_999_999)
	if !s.NeedEnd() || len(value) > maxAgeDigits {
		return "max_age is not a number of at most 10 digits"
	}
	p.MaxAge = time.Duration(min(seconds, uint64(MaxAge/time.Second))) * time.Second
	return ""
}

// sts-policy-mx-value = ["*."] Domain
//
// Internationalised names must be A-labels. Case does not matter (RFC 4343).
func (p *Policy) addMX(value string) string {
	name, wildcard := strings.CutPrefix(value, "*.")
	if lex.NonASCII.Index(name) >= 0 {
		return "mx is not in ascii"
	}
	d, err := dns.ParseDomain(name)
	if err != nil {
		return "mx is neither a host name nor one after \"*.\""
	}
	p.MX = append(p.MX, MX{wildcard, d})
	return ""
}
