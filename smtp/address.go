package smtp

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"

	"mox/dns"
	"mox/internal/lex"
)

// Address is a mailbox at a domain. Addresses compare with ==. The zero value is
// no address.
type Address struct {
	Localpart Localpart
	Domain    dns.Domain
}

// NewAddress returns an address for its parts.
func NewAddress(localpart Localpart, domain dns.Domain) Address {
	return Address{localpart, domain}
}

// ParseAddress parses an address with a domain name, such as in configuration and
// forms: "user@example.org". It is not for header fields, which have comments and
// display names.
func ParseAddress(s string, mode Mode) (Address, error) {
	p, err := ParseMailbox(s, mode)
	if err != nil {
		return Address{}, err
	}
	if !p.IPDomain.IsDomain() {
		sc := lex.New(s)
		sc.Fail("address literal instead of a domain")
		return Address{}, sc.Err()
	}
	return Address{p.Localpart, p.IPDomain.Domain}, nil
}

// IsZero reports whether a is no address.
func (a Address) IsZero() bool {
	return a == Address{}
}

// Path returns the address as a path.
func (a Address) Path() Path {
	return Path{a.Localpart, dns.IPDomain{Domain: a.Domain}}
}

// String returns the address with the domain in Unicode, for people. It is empty
// for the zero value.
func (a Address) String() string {
	return a.XString(true)
}

// XString returns the address with the domain in Unicode if utf8 is set, and else
// with the domain in ASCII. A local-part beyond ASCII has no other form and stays
// as it is, see [Localpart.IsInternational].
func (a Address) XString(utf8 bool) string {
	if a.IsZero() {
		return ""
	}
	return a.Localpart.String() + "@" + a.Domain.XName(utf8)
}

// LogValue returns [Address.String].
func (a Address) LogValue() slog.Value {
	return slog.StringValue(a.String())
}

// Path is a reverse-path or forward-path: where a message comes from or goes to,
// in the envelope. The zero value is the null reverse-path, "<>". A path with
// local-part "postmaster", in any case, and neither domain nor address is the
// special forward-path "<Postmaster>".
type Path struct {
	Localpart Localpart
	IPDomain  dns.IPDomain
}

// IsZero reports whether p is the null reverse-path.
func (p Path) IsZero() bool {
	return p.Localpart == "" && p.IPDomain.IsZero()
}

// IsPostmaster reports whether p is "<Postmaster>", without a domain,
// RFC 5321 §4.5.1.
func (p Path) IsPostmaster() bool {
	return p.IPDomain.IsZero() && strings.EqualFold(string(p.Localpart), "postmaster")
}

// Address returns p as an address, and whether it is one: a path with a domain
// name.
func (p Path) Address() (Address, bool) {
	if !p.IPDomain.IsDomain() {
		return Address{}, false
	}
	return Address{p.Localpart, p.IPDomain.Domain}, true
}

// Equal reports whether two paths are the same.
func (p Path) Equal(o Path) bool {
	return p.Localpart == o.Localpart && p.IPDomain.Domain == o.IPDomain.Domain && p.IPDomain.IP.Equal(o.IPDomain.IP)
}

// String returns [Path.XString] in Unicode, in angle brackets.
func (p Path) String() string {
	return "<" + p.XString(true) + ">"
}

// XString returns the path without angle brackets, with the domain in Unicode or
// in ASCII as for [Address.XString], and an address literal in square brackets. It
// is empty for the null reverse-path.
func (p Path) XString(utf8 bool) string {
	switch {
	case p.IsZero():
		return ""
	case p.IPDomain.IsZero():
		return p.Localpart.String()
	}
	return p.Localpart.String() + "@" + FormatDomain(p.IPDomain, utf8)
}

// LogValue returns [Path.String].
func (p Path) LogValue() slog.Value {
	return slog.StringValue(p.String())
}

// IsInternational reports whether p needs SMTPUTF8 even when its domain is
// written in ASCII.
func (p Path) IsInternational() bool {
	return p.Localpart.IsInternational()
}

// FormatDomain returns a domain name, in Unicode if utf8 is set, or an address as
// address literal in square brackets, as in EHLO and in paths.
func FormatDomain(d dns.IPDomain, utf8 bool) string {
	if !d.IsIP() {
		return d.Domain.XName(utf8)
	}
	if ip := d.IP.To4(); ip != nil {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + d.IP.String() + "]"
}

// ParseMailbox parses a Mailbox: a path without angle brackets and source route,
// with a domain or address literal.
func ParseMailbox(s string, mode Mode) (Path, error) {
	return parseAll(s, func(sc *lex.Scanner) Path { return scanMailbox(sc, mode) })
}

// ParseReversePath parses a reverse-path with its angle brackets. The null
// reverse-path "<>" gives the zero Path.
func ParseReversePath(s string, mode Mode) (Path, error) {
	return parseAll(s, func(sc *lex.Scanner) Path { return scanReversePath(sc, mode) })
}

// ParseForwardPath parses a forward-path with its angle brackets, or
// "<Postmaster>" in any case.
func ParseForwardPath(s string, mode Mode) (Path, error) {
	return parseAll(s, func(sc *lex.Scanner) Path { return scanForwardPath(sc, mode) })
}

// ParseEHLO parses the argument of EHLO, a domain or an address literal,
// RFC 5321 §4.1.1.1. The argument of HELO is the same, less address literals.
func ParseEHLO(s string, mode Mode) (dns.IPDomain, error) {
	sc := lex.NewLimit(s, MaxPath)
	defer sc.In("ehlo")()
	d := scanIPDomain(sc, mode)
	if mode == Lenient {
		sc.Take(lex.WSP)
	}
	if !d.IsIP() || mode == Strict {
		sc.NeedEnd()
	}
	if err := sc.Err(); err != nil {
		return dns.IPDomain{}, err
	}
	return d, nil
}

func parseAll(s string, scan func(*lex.Scanner) Path) (Path, error) {
	sc := lex.NewLimit(s, MaxPath)
	p := scan(sc)
	sc.NeedEnd()
	if err := sc.Err(); err != nil {
		return Path{}, err
	}
	return p, nil
}

// scanReversePath parses:
//
//	Reverse-path = Path / "<>"
func scanReversePath(s *lex.Scanner, mode Mode) Path {
	if s.Try("<>") {
		return Path{}
	}
	return scanPath(s, mode)
}

// scanForwardPath parses, by RFC 5321 §4.1.1.3:
//
//	"<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path
func scanForwardPath(s *lex.Scanner, mode Mode) Path {
	start := s.Pos()
	if s.TryFold("<postmaster>") {
		return Path{Localpart: Localpart(s.Since(start)[1 : len("<postmaster>")-1])}
	}
	return scanPath(s, mode)
}

// scanPath parses the production below. The source route is ignored, as RFC 5321
// §4.1.1.3 says.
//
//	Path      = "<" [ A-d-l ":" ] Mailbox ">"
//	A-d-l     = At-domain *( "," At-domain )
//	At-domain = "@" Domain
func scanPath(s *lex.Scanner, mode Mode) Path {
	defer s.In("path")()
	start := s.Pos()
	s.NeedByte('<')
	if s.PeekIs(lex.Bytes("@")) {
		for {
			s.NeedByte('@')
			scanDomain(s, mode)
			if !s.TryByte(',') {
				break
			}
		}
		s.NeedByte(':')
	}
	p := scanMailbox(s, mode)
	s.NeedByte('>')
	if s.OK() && s.Pos()-start > MaxPath {
		s.FailAt(start, "path longer than %d octets", MaxPath)
	}
	return p
}

// scanMailbox parses:
//
//	Mailbox = Local-part "@" ( Domain / address-literal )
func scanMailbox(s *lex.Scanner, mode Mode) Path {
	var p Path
	p.Localpart = scanLocalpart(s, mode)
	s.NeedByte('@')
	p.IPDomain = scanIPDomain(s, mode)
	return p
}

func scanIPDomain(s *lex.Scanner, mode Mode) dns.IPDomain {
	if s.PeekIs(lex.Bytes("[")) {
		return dns.IPDomain{IP: scanLiteral(s, mode)}
	}
	return dns.IPDomain{Domain: scanDomain(s, mode)}
}

// domainChars ends a domain where a path would go on; package dns has the grammar.
var domainChars = lex.LDH.Union(lex.NonASCII, lex.Bytes("._"))

func scanDomain(s *lex.Scanner, mode Mode) dns.Domain {
	defer s.In("domain")()
	start := s.Pos()
	name := s.NeedRun(domainChars, "domain")
	if !s.OK() {
		return dns.Domain{}
	}
	parse := dns.ParseDomain
	if mode == Lenient {
		parse = dns.ParseDomainLax
	}
	d, err := parse(name)
	if err != nil {
		s.FailAt(start, "invalid domain")
		return dns.Domain{}
	}
	return d
}

// scanLiteral parses an address-literal. No General-address-literal has ever been
// defined, so there is none to support.
//
//	address-literal      = "[" ( IPv4-address-literal / IPv6-address-literal /
//	                       General-address-literal ) "]"
//	IPv4-address-literal = Snum 3("."  Snum)
//	IPv6-address-literal = "IPv6:" IPv6-addr
func scanLiteral(s *lex.Scanner, mode Mode) net.IP {
	defer s.In("address-literal")()
	s.NeedByte('[')
	start := s.Pos()
	v6 := s.TryFold("IPv6:")
	text := s.NeedRun(literalChars, "address")
	s.NeedByte(']')
	if !s.OK() {
		return nil
	}
	if !v6 {
		if ip := parseIPv4(text); ip != nil {
			return ip
		}
		if mode == Strict {
			s.FailAt(start, "invalid address")
			return nil
		}
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.Is6() {
		s.FailAt(start, "invalid address")
		return nil
	}
	// An IPv4 address in IPv6 form is the same host. It has one form here.
	return net.IP(ip.Unmap().AsSlice())
}

var literalChars = lex.HexDig.Union(lex.Bytes(".:"))

// parseIPv4 parses numbers of one to three digits each, with leading zeros allowed
// and decimal always: Snum of RFC 5321 §4.1.3. It returns nil if s is not that.
func parseIPv4(s string) net.IP {
	parts := strings.Split(s, ".")
	if len(parts) != net.IPv4len {
		return nil
	}
	ip := make(net.IP, 0, net.IPv4len)
	for _, part := range parts {
		if len(part) > 3 || !lex.Digit.All(part) {
			return nil
		}
		n := 0
		for _, c := range []byte(part) {
			n = 10*n + int(c-'0')
		}
		if n > 255 {
			return nil
		}
		ip = append(ip, byte(n))
	}
	return slices.Clip(ip)
}
