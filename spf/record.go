package spf

import (
	"net/netip"
	"strconv"
	"strings"
)

// A Record is the policy of a domain, RFC 7208 §3. Domains in it are in the form of
// domain-spec, RFC 7208 §7.1, with macros.
type Record struct {
	Directives []Directive // In order of evaluation.
	Redirect   string      // Domain whose record decides if no directive matches, or empty.
	Exp        string      // Domain of the explanation for a fail, or empty.
	Modifiers  []Modifier  // Others, which have no meaning here.
}

// A Mechanism says what a [Directive] compares the client with.
type Mechanism string

// Mechanisms, RFC 7208 §5.
const (
	All     Mechanism = "all"
	Include Mechanism = "include"
	A       Mechanism = "a"
	MX      Mechanism = "mx"
	PTR     Mechanism = "ptr"
	IP4     Mechanism = "ip4"
	IP6     Mechanism = "ip6"
	Exists  Mechanism = "exists"
)

// A Qualifier is the result when a [Directive] matches, RFC 7208 §4.6.2. The zero
// value is [Pass].
type Qualifier byte

// Qualifiers, as in records.
const (
	Pass     Qualifier = '+'
	Fail     Qualifier = '-'
	Softfail Qualifier = '~'
	Neutral  Qualifier = '?'
)

// Status returns the result that q stands for.
func (q Qualifier) Status() Status {
	switch q {
	case Fail:
		return StatusFail
	case Softfail:
		return StatusSoftfail
	case Neutral:
		return StatusNeutral
	}
	return StatusPass
}

// A Directive is a mechanism with the result when it matches, RFC 7208 §4.6.1.
type Directive struct {
	Qualifier Qualifier
	Mechanism Mechanism

	// Domain is a domain-spec, required for Include and Exists. For A, MX and PTR it
	// may be empty, which stands for the domain of the record.
	Domain string

	// Net has the addresses of IP4 and IP6.
	Net netip.Prefix

	// IP4Len and IP6Len are lengths in bits of the networks around the addresses of A
	// and MX that match. Nil is the address alone.
	IP4Len, IP6Len *int
}

// A Modifier is a name with a value, RFC 7208 §6.
type Modifier struct {
	Name  string // As in the record. Case has no meaning.
	Value string // A macro-string.
}

// String returns the text of the record, "v=spf1 mx -all". Modifiers come last.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString("v=spf1")
	for _, d := range r.Directives {
		b.WriteString(" ")
		b.WriteString(d.String())
	}
	if r.Redirect != "" {
		b.WriteString(" redirect=" + r.Redirect)
	}
	if r.Exp != "" {
		b.WriteString(" exp=" + r.Exp)
	}
	for _, m := range r.Modifiers {
		b.WriteString(" " + m.Name + "=" + m.Value)
	}
	return b.String()
}

// String returns the text of the directive. A qualifier "+" is left out.
func (d Directive) String() string {
	if d.Qualifier == 0 || d.Qualifier == Pass {
		return d.text()
	}
	return string(d.Qualifier) + d.text()
}

// text returns the directive without its qualifier.
func (d Directive) text() string {
	s := string(d.Mechanism)
	if d.Domain != "" {
		s += ":" + d.Domain
	}
	if d.Net.IsValid() {
		s += ":" + d.Net.Addr().String()
		if !d.Net.IsSingleIP() {
			s += "/" + strconv.Itoa(d.Net.Bits())
		}
	}
	if d.IP4Len != nil {
		s += "/" + strconv.Itoa(*d.IP4Len)
	}
	if d.IP6Len != nil {
		s += "//" + strconv.Itoa(*d.IP6Len)
	}
	return s
}
