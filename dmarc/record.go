package dmarc

import "strings"

// A Policy is what the owner of a domain asks for messages that fail, RFC 9989
// §4.7. The empty policy stands for none given.
type Policy string

// Policies.
const (
	PolicyNone       Policy = "none"       // No preference.
	PolicyQuarantine Policy = "quarantine" // The message is suspicious.
	PolicyReject     Policy = "reject"     // The use of the domain is not valid.
)

// InTest returns what is to be applied instead of p if the owner is testing: one
// level lower (RFC 9989 §4.7, tag t).
func (p Policy) InTest() Policy {
	switch p {
	case PolicyReject:
		return PolicyQuarantine
	case PolicyQuarantine:
		return PolicyNone
	}
	return p
}

// An AlignMode says how alike domains must be, RFC 9989 §4.4.
type AlignMode string

// Modes.
const (
	ModeRelaxed AlignMode = "r" // The same organizational domain.
	ModeStrict  AlignMode = "s" // The same domain.
)

// A PSD says whether a domain is a public suffix, RFC 9989 §4.7.
type PSD string

// Values of the tag psd.
const (
	PSDYes     PSD = "y" // A public suffix domain.
	PSDNo      PSD = "n" // None, and the organizational domain of all below it.
	PSDUnknown PSD = "u" // None; the tree walk finds the organizational domain.
)

// FailureOptions say when to send failure reports, RFC 9989 §4.7. All may not be
// set together with Any. The zero value stands for All.
type FailureOptions struct {
	All  bool // "0": when no mechanism gives an aligned pass.
	Any  bool // "1": when a mechanism gives none.
	DKIM bool // "d": when a signature fails, whatever its domain.
	SPF  bool // "s": when SPF fails, whatever the domain.
}

// String returns the value of the tag fo.
func (o FailureOptions) String() string {
	var l []string
	if o.Any {
		l = append(l, "1")
	} else if o.All || o == (FailureOptions{}) {
		l = append(l, "0")
	}
	if o.DKIM {
		l = append(l, "d")
	}
	if o.SPF {
		l = append(l, "s")
	}
	return strings.Join(l, ":")
}

// A Note is about a part of a record that has been ignored.
type Note struct {
	Tag  string // In lower case. Empty if there is none.
	Text string // For a person.
}

// String returns the tag and the text.
func (n Note) String() string {
	if n.Tag == "" {
		return n.Text
	}
	return n.Tag + ": " + n.Text
}

// A Record is a policy record, RFC 9989 §4.7. Fields for tags that are absent or
// not valid have their defaults.
type Record struct {
	// Policy is what p says. It is empty if the record is of no use as a policy, see
	// Usable.
	Policy Policy

	// SubdomainPolicy and NonexistentPolicy are what sp and np say. If empty, see
	// [Record.ForSubdomain]. They have no meaning in a record of the From domain
	// itself.
	SubdomainPolicy   Policy
	NonexistentPolicy Policy

	PSD     PSD
	Testing bool      // t=y.
	ADKIM   AlignMode // For domains of DKIM signatures.
	ASPF    AlignMode // For the domain of SPF.

	Failure FailureOptions // fo. Without meaning if there is no ruf.
	RUA     []URI          // Where aggregate reports go.
	RUF     []URI          // Where failure reports go. See FailureURIs.

	// Assumed is set if p was absent or p, sp or np not valid, and Policy is none for
	// that reason (RFC 9989 §4.10.1).
	Assumed bool

	// Notes say what has been ignored, at most MaxNotes.
	Notes []Note
}

// DefaultRecord returns what a record without any tags means, which is not of use
// as a policy.
func DefaultRecord() Record {
	return Record{PSD: PSDUnknown, ADKIM: ModeRelaxed, ASPF: ModeRelaxed, Failure: FailureOptions{All: true}}
}

// Usable reports whether the record has a policy. A record with an invalid or no
// p, or an invalid sp or np, is treated as one with p=none if it has a valid URI
// in rua, and otherwise DMARC is not applied to the message (RFC 9989 §4.10.1).
func (r Record) Usable() bool {
	return r.Policy != ""
}

// ForSubdomain returns the policy for a domain below that of the record, which
// must be that of an organizational domain or public suffix, and the tag that says
// so: np, sp or p (RFC 9989 §4.10.1).
func (r Record) ForSubdomain(exists bool) (policy Policy, tag string) {
	switch {
	case !exists && r.NonexistentPolicy != "":
		return r.NonexistentPolicy, "np"
	case r.SubdomainPolicy != "":
		return r.SubdomainPolicy, "sp"
	}
	return r.Policy, "p"
}

// FailureURIs returns where failure reports may go: for the record of a public
// suffix nowhere, since its operator must get aggregate reports only (RFC 9991
// §2).
func (r Record) FailureURIs() []URI {
	if r.PSD == PSDYes {
		return nil
	}
	return r.RUF
}

// String returns the record for DNS. Tags with default values are left out.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString("v=DMARC1")
	add := func(tag, value, def string) {
		if value != def {
			b.WriteString("; " + tag + "=" + value)
		}
	}
	add("p", string(r.Policy), "")
	add("sp", string(r.SubdomainPolicy), "")
	add("np", string(r.NonexistentPolicy), "")
	if r.PSD != PSDUnknown {
		add("psd", string(r.PSD), "")
	}
	if r.Testing {
		add("t", "y", "n")
	}
	if r.ADKIM != ModeRelaxed {
		add("adkim", string(r.ADKIM), "")
	}
	if r.ASPF != ModeRelaxed {
		add("aspf", string(r.ASPF), "")
	}
	add("fo", r.Failure.String(), "0")
	add("rua", joinURIs(r.RUA), "")
	add("ruf", joinURIs(r.RUF), "")
	return b.String()
}

func joinURIs(l []URI) string {
	var texts []string
	for _, u := range l {
		texts = append(texts, string(u))
	}
	return strings.Join(texts, ",")
}
