package publicsuffix

import (
	"strings"

	"golang.org/x/net/publicsuffix"

	"mox/dns"
)

// Version says which version of the list is used, for people.
func Version() string {
	return publicsuffix.List.String()
}

// A Section is a part of the list.
type Section int

// Sections.
const (
	Unlisted Section = iota // No rule: the suffix is the last label.
	ICANN                   // Delegated by ICANN or part of the root zone, and below that by registries.
	Private                 // Submitted by the owner of a domain.
)

// String returns "unlisted", "icann" or "private".
func (s Section) String() string {
	return [...]string{"unlisted", "icann", "private"}[s]
}

// Suffix returns the public suffix of a domain, and in which section of the list it
// is. With private unset, rules of that section do not count. The suffix of a domain
// that is one is the domain itself.
func Suffix(d dns.Domain, private bool) (dns.Domain, Section) {
	if d.IsZero() {
		return dns.Domain{}, Unlisted
	}
	suffix, icann := publicsuffix.PublicSuffix(d.ASCII)
	for {
		switch {
		case icann:
			return last(d, suffix), ICANN
		case !strings.Contains(suffix, "."):
			// A private suffix has a registry above it.
			return last(d, suffix), Unlisted
		case private:
			return last(d, suffix), Private
		}
		// A rule for a longer name would have been found before this one.
		_, parent, _ := strings.Cut(suffix, ".")
		suffix, icann = publicsuffix.PublicSuffix(parent)
	}
}

// Organization returns the organisational domain of a domain: its public suffix with
// one more label. It returns false if the domain is itself a public suffix. See
// [Suffix] for private.
func Organization(d dns.Domain, private bool) (dns.Domain, bool) {
	suffix, _ := Suffix(d, private)
	if suffix == d {
		return dns.Domain{}, false
	}
	rest := strings.TrimSuffix(d.ASCII, "."+suffix.ASCII)
	label := rest[strings.LastIndexByte(rest, '.')+1:]
	return last(d, label+"."+suffix.ASCII), true
}

// last returns d with only the labels at its end that ascii has, in both forms.
func last(d dns.Domain, ascii string) dns.Domain {
	r := dns.Domain{ASCII: ascii}
	unicode := d.Unicode
	for range strings.Count(d.ASCII, ".") - strings.Count(ascii, ".") {
		_, unicode, _ = strings.Cut(unicode, ".")
	}
	if unicode != ascii {
		r.Unicode = unicode
	}
	return r
}
