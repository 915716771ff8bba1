package smtp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"mox/internal/lex"
)

// Mode says how closely parsers keep to the RFCs.
type Mode uint8

// The modes. Lenient is the zero value: it is for mail from the world. In
// comparison with Strict it takes:
//
//   - local-parts up to MaxLocalpartLenient;
//   - empty atoms in local-parts ("a..b@example.org"), as some providers have given
//     out; they are quoted when written;
//   - underscores in domains, see [dns.ParseDomainLax];
//   - address literals for IPv6 without "IPv6:";
//   - spaces after the colon of MAIL FROM and RCPT TO, several spaces between
//     parameters, and spaces at the end;
//   - text after an address literal in EHLO.
const (
	Lenient Mode = iota
	Strict
)

// Localpart is the part of an address before the "@", decoded: without quotes and
// escapes. All quoted forms of a local-part are equivalent, RFC 5321 §4.1.2, and
// have the same value. It is in Unicode normalisation form C and has no control
// characters. It may be empty, for the address `""@example.org`.
type Localpart string

// Character classes with the extensions of RFC 6531 §3.3.
var (
	atextUTF8 = lex.AText.Union(lex.NonASCII)
	qtextUTF8 = lex.QTextSMTP.Union(lex.NonASCII)
	dotAtom   = atextUTF8.Union(lex.Bytes("."))
)

// String returns the local-part for use in an address, quoted only if it must be.
func (l Localpart) String() string {
	if l.isDotString() {
		return string(l)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(l)) + `"`
}

// isDotString reports whether l matches Dot-string of RFC 5321 §4.1.2.
func (l Localpart) isDotString() bool {
	s := string(l)
	return dotAtom.All(s) && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

// IsInternational reports whether l has characters beyond ASCII, so that it can
// only be used with SMTPUTF8.
func (l Localpart) IsInternational() bool {
	return !isASCII(string(l))
}

// ParseLocalpart parses a local-part in the form it has in an address: as
// Dot-string or Quoted-string.
func ParseLocalpart(s string, mode Mode) (Localpart, error) {
	sc := lex.NewLimit(s, MaxPath)
	l := scanLocalpart(sc, mode)
	sc.NeedEnd()
	if err := sc.Err(); err != nil {
		return "", err
	}
	return l, nil
}

// NewLocalpart returns the local-part for a decoded string, normalised, or an
// error if it cannot be in an address.
func NewLocalpart(s string, mode Mode) (Localpart, error) {
	sc := lex.New(s)
	l := checkLocalpart(sc, sc.TakeRest(), 0, mode)
	if err := sc.Err(); err != nil {
		return "", err
	}
	return l, nil
}

// scanLocalpart parses:
//
//	Local-part = Dot-string / Quoted-string
//	Dot-string = Atom *("."  Atom)
func scanLocalpart(s *lex.Scanner, mode Mode) Localpart {
	defer s.In("local-part")()
	start := s.Pos()
	var decoded string
	switch {
	case s.PeekIs(lex.Bytes(`"`)):
		decoded = scanQuoted(s)
	case mode == Lenient:
		decoded = s.NeedRun(dotAtom, "local-part")
	default:
		decoded = s.NeedRun(atextUTF8, "atom")
		for s.TryByte('.') {
			decoded += "." + s.NeedRun(atextUTF8, "atom")
		}
	}
	return checkLocalpart(s, decoded, start, mode)
}

// scanQuoted parses a Quoted-string and returns it decoded:
//
//	Quoted-string   = DQUOTE *QcontentSMTP DQUOTE
//	QcontentSMTP    = qtextSMTP / quoted-pairSMTP
//	quoted-pairSMTP = %d92 %d32-126
func scanQuoted(s *lex.Scanner) string {
	defer s.In("quoted-string")()
	s.NeedByte('"')
	var b strings.Builder
	for s.OK() && !s.TryByte('"') {
		if s.TryByte('\\') {
			b.WriteByte(s.NeedOne(lex.QPairSMTP, "quoted character"))
			continue
		}
		b.WriteString(s.NeedRun(qtextUTF8, "quoted text"))
	}
	return b.String()
}

// checkLocalpart normalises and checks a decoded local-part that started at pos.
func checkLocalpart(s *lex.Scanner, decoded string, pos int, mode Mode) Localpart {
	if !s.OK() {
		return ""
	}
	limit := MaxLocalpartLenient
	if mode == Strict {
		limit = MaxLocalpartStrict
	}
	switch {
	case !utf8.ValidString(decoded):
		s.FailAt(pos, "not UTF-8")
		return ""
	case strings.ContainsFunc(decoded, unicode.IsControl):
		s.FailAt(pos, "control character")
		return ""
	}
	decoded = norm.NFC.String(decoded)
	if len(decoded) > limit {
		s.FailAt(pos, "local-part longer than %d octets", limit)
		return ""
	}
	return Localpart(decoded)
}

func isASCII(s string) bool {
	return lex.NonASCII.Index(s) < 0
}
