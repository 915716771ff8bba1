package dns

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"mox/internal/lex"
)

// Limits of names, RFC 1035 §2.3.4. A name of 255 octets on the wire has 253
// characters when written without its trailing dot.
const (
	MaxLabelLen = 63
	MaxNameLen  = 253
)

// maxUnicodeLen bounds the work for input that is not ASCII yet: each character
// of an internationalised name takes at least one byte of its ASCII form and at
// most four bytes in UTF-8.
const maxUnicodeLen = 4 * MaxNameLen

// Errors of [ParseDomain], to be matched with errors.Is.
var (
	ErrEmptyLabel  = errors.New("dns: empty label")
	ErrTooLong     = errors.New("dns: name or label too long")
	ErrTrailingDot = errors.New("dns: name ends with a dot")
	ErrIPAddress   = errors.New("dns: ip address instead of a name")
	ErrBadName     = errors.New("dns: malformed name")
)

// A Domain is a domain name with one or more labels, without trailing dot, in
// lower case. Domains are equal if they compare with ==. The zero value stands
// for no domain.
type Domain struct {
	// ASCII is the form used in DNS, with A-labels ("xn--...") for labels that are
	// internationalised.
	ASCII string

	// Unicode is the form with U-labels, in Unicode normalisation form C. It is
	// empty if it would be equal to ASCII.
	Unicode string
}

// Name returns the Unicode form if there is one, otherwise the ASCII form.
func (d Domain) Name() string {
	if d.Unicode != "" {
		return d.Unicode
	}
	return d.ASCII
}

// XName returns the Unicode form, as [Domain.Name], if utf8 is set, otherwise the
// ASCII form. Protocols that have negotiated an internationalised extension, such
// as SMTPUTF8, pass true.
func (d Domain) XName(utf8 bool) string {
	if utf8 {
		return d.Name()
	}
	return d.ASCII
}

// String returns the name for people who need to see both forms, such as
// operators reading logs: "☺.example/xn--74h.example", or just the ASCII form if
// there is one form only.
func (d Domain) String() string {
	if d.Unicode == "" {
		return d.ASCII
	}
	return d.Unicode + "/" + d.ASCII
}

// LogValue returns [Domain.String].
func (d Domain) LogValue() slog.Value {
	return slog.StringValue(d.String())
}

// IsZero reports whether d stands for no domain.
func (d Domain) IsZero() bool {
	return d == Domain{}
}

// ParseDomain parses a domain name in ASCII or Unicode, and with A-labels or
// U-labels, which may be mixed. Names with characters beyond ASCII and names with
// A-labels are checked and mapped as RFC 5891 §5 says for lookups (with the
// mapping of upper case and width of Unicode Technical Standard 46, without its
// transitional processing). Other labels must be letters, digits and inner
// hyphens. IP addresses, and all names whose last label is a number, are refused
// (RFC 3696 §2), as is a trailing dot.
func ParseDomain(s string) (Domain, error) {
	return parseDomain(s, false)
}

// ParseDomainLax is [ParseDomain] that also takes underscores anywhere in a label,
// and hyphens at the start and end of one, as are found in names that are not
// host names ("_dmarc.example.org", "selector_1._domainkey.example.org") and in
// what some senders call themselves.
func ParseDomainLax(s string) (Domain, error) {
	return parseDomain(s, true)
}

func parseDomain(s string, lax bool) (Domain, error) {
	if err := checkWhole(s); err != nil {
		return Domain{}, fmt.Errorf("%w: %q", err, clip(s))
	}
	ascii, idn := lowerASCII(s)
	if idn {
		var err error
		ascii, err = profile(lax).ToASCII(s)
		if err != nil {
			return Domain{}, fmt.Errorf("%w: %q: %s", ErrBadName, clip(s), cause(err))
		}
		// Mapping can produce an address or a dot, such as from full-width characters.
		if err := checkWhole(ascii); err != nil {
			return Domain{}, fmt.Errorf("%w: %q", err, clip(s))
		}
	}
	if err := checkLabels(ascii, lax); err != nil {
		return Domain{}, fmt.Errorf("%w: %q", err, clip(s))
	}
	d := Domain{ASCII: ascii}
	if idn {
		u, err := profile(lax).ToUnicode(ascii)
		if err != nil {
			return Domain{}, fmt.Errorf("%w: %q: %s", ErrBadName, clip(s), cause(err))
		}
		if u != ascii {
			d.Unicode = u
		}
	}
	return d, nil
}

// cause returns the text of an error of package idna, which repeats the name.
func cause(err error) string {
	return strings.TrimPrefix(err.Error(), "idna: ")
}

// clip keeps names that a peer made up short in errors.
func clip(s string) string {
	if len(s) > MaxNameLen {
		return s[:MaxNameLen] + "..."
	}
	return s
}

// checkWhole checks what concerns the name as a whole and must be known before
// labels are looked at.
func checkWhole(s string) error {
	switch {
	case s == "":
		return ErrEmptyLabel
	case len(s) > maxUnicodeLen:
		return ErrTooLong
	case strings.HasSuffix(s, "."):
		return ErrTrailingDot
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return ErrIPAddress
	}
	return nil
}

const acePrefix = "xn--"

// lowerASCII returns s in lower case, and whether it needs processing for IDNA,
// in which case the returned string has no meaning. An ASCII name without A-labels
// is not subject to the rules for U-labels: "r4---sn.example" is a fine host name.
func lowerASCII(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return "", true
		}
	}
	s = strings.ToLower(s)
	return s, strings.HasPrefix(s, acePrefix) || strings.Contains(s, "."+acePrefix)
}

var (
	labelStrict = lex.LDH
	labelLax    = lex.LDH.Union(lex.Bytes("_"))
)

// checkLabels checks lengths and characters of a name in ASCII.
func checkLabels(ascii string, lax bool) error {
	if len(ascii) > MaxNameLen {
		return ErrTooLong
	}
	class := labelStrict
	if lax {
		class = labelLax
	}
	var label string
	for rest, more := ascii, true; more; {
		label, rest, more = strings.Cut(rest, ".")
		switch {
		case label == "":
			return ErrEmptyLabel
		case len(label) > MaxLabelLen:
			return ErrTooLong
		case !class.All(label):
			return ErrBadName
		case !lax && (label[0] == '-' || label[len(label)-1] == '-'):
			return ErrBadName
		}
	}
	if lex.Digit.All(label) {
		return ErrIPAddress
	}
	return nil
}

var (
	profileStrict = idna.New(
		idna.MapForLookup(),
		idna.BidiRule(),
		idna.CheckJoiners(true),
		idna.CheckHyphens(true),
		idna.StrictDomainName(true),
		idna.Transitional(false),
	)
	profileLax = idna.New(
		idna.MapForLookup(),
		idna.BidiRule(),
		idna.CheckJoiners(true),
		idna.CheckHyphens(false),
		idna.StrictDomainName(false), // checkLabels decides.
		idna.Transitional(false),
	)
)

func profile(lax bool) *idna.Profile {
	if lax {
		return profileLax
	}
	return profileStrict
}

// An IPDomain is an IP address or a domain, never both: the argument of EHLO, the
// host of a delivery. The zero value is neither.
type IPDomain struct {
	IP     net.IP
	Domain Domain
}

// IsIP reports whether d has an address.
func (d IPDomain) IsIP() bool {
	return len(d.IP) > 0
}

// IsDomain reports whether d has a domain.
func (d IPDomain) IsDomain() bool {
	return !d.Domain.IsZero()
}

// IsZero reports whether d has neither an address nor a domain.
func (d IPDomain) IsZero() bool {
	return !d.IsIP() && !d.IsDomain()
}

// String returns the address, or the domain as [Domain.String] does.
func (d IPDomain) String() string {
	if d.IsIP() {
		return d.IP.String()
	}
	return d.Domain.String()
}

// XString returns the address, or the domain as [Domain.XName] does. It does not
// have the brackets of an SMTP address literal.
func (d IPDomain) XString(utf8 bool) string {
	if d.IsIP() {
		return d.IP.String()
	}
	return d.Domain.XName(utf8)
}

// LogValue returns [IPDomain.String].
func (d IPDomain) LogValue() slog.Value {
	return slog.StringValue(d.String())
}
