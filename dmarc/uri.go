package dmarc

import (
	"errors"
	"net/url"
	"strings"

	"mox/dns"
	"mox/internal/lex"
	"mox/smtp"
)

// A URI says where reports go, without the obsolete limit on their size. The
// scheme may be one that is not supported; see [URI.Address].
type URI string

// Errors of URIs.
var (
	errURI         = errors.New("not a uri")
	errURISize     = errors.New("malformed after the exclamation mark, where a size can be")
	errMailto      = errors.New("mailto uri without one mail address")
	errUnsupported = errors.New("only mailto is supported")
)

var (
	uriScheme = lex.LetDig.Union(lex.Bytes("+-."))
	// uriChar has unreserved and reserved characters of RFC 3986 §2, without the comma
	// and exclamation mark, and the percent sign.
	uriChar = lex.LetDig.Union(lex.Bytes("-._~:/?#[]@$&'()*+;=%"))
)

// parseURI parses an element of a list of URIs, and tells whether it had a size:
//
//	obs-dmarc-uri         = dmarc-uri obs-dmarc-report-size
//	obs-dmarc-report-size = "!" 1*DIGIT [ "k" / "m" / "g" / "t" ]
func parseURI(text string) (u URI, sized bool, err error) {
	s := lex.New(text)
	raw := s.Take(lex.Bytes("!").Not())
	if s.TryByte('!') {
		sized = true
		if _, ok := s.TryRun(lex.Digit); !ok {
			return "", false, errURISize
		}
		s.TryOne(lex.Bytes("kmgtKMGT"))
		if !s.End() {
			return "", false, errURISize
		}
	}
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || !uriScheme.All(scheme) || !lex.Alpha.Has(scheme[0]) || !uriChar.All(rest) || !validEscapes(rest) {
		return "", false, errURI
	}
	if _, err := url.Parse(raw); err != nil {
		return "", false, errURI
	}
	u = URI(raw)
	if u.Scheme() == "mailto" {
		if _, err := u.Address(); err != nil {
			return "", false, err
		}
	}
	return u, sized, nil
}

// validEscapes reports whether two hexadecimal digits follow each percent sign.
func validEscapes(s string) bool {
	for i := range len(s) {
		if s[i] == '%' && (i+2 >= len(s) || !lex.HexDig.Has(s[i+1]) || !lex.HexDig.Has(s[i+2])) {
			return false
		}
	}
	return true
}

// Scheme returns the scheme in lower case, such as "mailto".
func (u URI) Scheme() string {
	scheme, _, _ := strings.Cut(string(u), ":")
	return strings.ToLower(scheme)
}

// Address returns the address to mail reports to. The error says that the URI is
// of another scheme, which must be ignored (RFC 9989 §4.7), or has no single
// address.
func (u URI) Address() (smtp.Address, error) {
	if u.Scheme() != "mailto" {
		return smtp.Address{}, errUnsupported
	}
	_, to, _ := strings.Cut(string(u), ":")
	to, _, _ = strings.Cut(to, "?")
	to, err := url.PathUnescape(to)
	if err != nil {
		return smtp.Address{}, errMailto
	}
	a, err := smtp.ParseAddress(to, smtp.Strict)
	if err != nil {
		return smtp.Address{}, errMailto
	}
	return a, nil
}

// Host returns the domain that reports go to: that of the address of a mailto URI,
// or the host of another one. The error says that there is no domain name.
func (u URI) Host() (dns.Domain, error) {
	if u.Scheme() == "mailto" {
		a, err := u.Address()
		return a.Domain, err
	}
	p, err := url.Parse(string(u))
	if err != nil {
		return dns.Domain{}, errURI
	}
	return dns.ParseDomain(strings.TrimSuffix(p.Hostname(), "."))
}
