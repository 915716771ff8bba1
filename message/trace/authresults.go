package trace

import (
	"strings"

	"mox/dns"
)

// FieldName is the name of the header field.
const FieldName = "Authentication-Results"

// Version is the version of the field that this package reads and writes, RFC 8601
// §2.2.
const Version = 1

// AuthResults is the value of an Authentication-Results field, RFC 8601 §2.2.
type AuthResults struct {
	// AuthservID is the name of the service that has checked the message, commonly
	// its host name, without quoting (RFC 8601 §2.5).
	AuthservID string

	// Version is that of the field. Zero stands for one that is not written, which
	// means 1.
	Version int

	// Results are what was found. Without any, nothing was checked: "none".
	Results []Result
}

// A Result is the outcome of one authentication method, "resinfo" in RFC 8601
// §2.2. Several may have the same method, such as one for each DKIM signature.
type Result struct {
	Method  string // Such as "dkim". Names are compared without regard to case.
	Version int    // Of the method. Zero stands for one that is not written, which means 1.
	Result  string // Such as "pass".
	Comment string // For people, after the result.
	Reason  string // Free text for programs that show it.
	Props   []Prop // What the method was applied to.
}

// A Prop is a property of the message that a method was applied to, "propspec" in
// RFC 8601 §2.2, such as "header.d=example.org".
type Prop struct {
	Type     string // "smtp", "header", "body", "policy" or another one. Empty for a name without type, which some software writes.
	Property string // Such as "mailfrom".
	Value    string // Without quoting.
	Comment  string // For people, after the value.
}

// Is reports whether r is about a method.
func (r Result) Is(method string) bool {
	return strings.EqualFold(r.Method, method)
}

// Prop returns the value of the first property of a type and name.
func (r Result) Prop(ptype, property string) (string, bool) {
	for _, p := range r.Props {
		if strings.EqualFold(p.Type, ptype) && strings.EqualFold(p.Property, property) {
			return p.Value, true
		}
	}
	return "", false
}

// Supported reports whether the field has a version that this package
// understands. RFC 8601 §5 wants others to be removed.
func (a AuthResults) Supported() bool {
	return a.Version == 0 || a.Version == Version
}

// SameAuthservID reports whether two authentication service identifiers stand for
// the same service: they are equal without regard to case, or are the same domain
// with A-labels in one and U-labels in the other (RFC 8601 §5).
func SameAuthservID(a, b string) bool {
	a, b = strings.TrimSuffix(a, "."), strings.TrimSuffix(b, ".")
	if strings.EqualFold(a, b) {
		return true
	}
	da, err := dns.ParseDomainLax(a)
	if err != nil {
		return false
	}
	db, err := dns.ParseDomainLax(b)
	return err == nil && da.ASCII == db.ASCII
}
