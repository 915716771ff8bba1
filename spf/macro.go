package spf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mox/internal/lex"
)

// Letters of macros, RFC 7208 §7.2.
const (
	macroLetters    = "slodipvh"
	macroLettersExp = "crt" // In explanations only.
)

// part is a piece of a macro-string, RFC 7208 §7.1: a literal, or a macro.
type part struct {
	literal string // Or what a macro without letter stands for.
	percent bool   // Is one of "%%", "%_" and "%-".

	letter  byte // In lower case, of a macro, else 0.
	escape  bool // Was in upper case.
	keep    int  // Parts on the right that are used. 0 is all.
	reverse bool
	delims  string // Empty for ".".
}

// macroError is what is wrong in a macro-string, and where.
type macroError struct {
	offset int
	text   string
}

var macroLiteral = lex.VChar.Without(lex.Bytes("%"))

// parseMacros parses a macro-string whose macros have one of letters.
func parseMacros(s, letters string) ([]part, *macroError) {
	return parseMacroText(s, letters, macroLiteral)
}

// maxParts is the largest number of parts in a macro that makes a difference: a
// value has fewer.
const maxParts = 1 << 16

func parseMacroText(s, letters string, literal lex.Class) ([]part, *macroError) {
	var l []part
	for i := 0; i < len(s); {
		if n := literal.Span(s[i:]); n > 0 {
			l = append(l, part{literal: s[i : i+n]})
			i += n
			continue
		}
		if s[i] != '%' {
			return nil, &macroError{i, "expected a visible character of ASCII"}
		}
		p := part{percent: true}
		switch {
		case strings.HasPrefix(s[i:], "%%"):
			p.literal = "%"
		case strings.HasPrefix(s[i:], "%_"):
			p.literal = " "
		case strings.HasPrefix(s[i:], "%-"):
			p.literal = "%20"
		case strings.HasPrefix(s[i:], "%{"):
			n, err := parseMacro(s[i:], letters, &p)
			if err != "" {
				return nil, &macroError{i + n, err}
			}
			l = append(l, p)
			i += n
			continue
		default:
			return nil, &macroError{i, `expected "{", "%", "_" or "-" after "%"`}
		}
		l = append(l, p)
		i += 2
	}
	return l, nil
}

// parseMacro parses a macro with a letter at the start of s, and returns its length,
// or where the error is.
func parseMacro(s, letters string, p *part) (int, string) {
	i := len("%{")
	if i == len(s) || strings.IndexByte(letters, s[i]|0x20) < 0 || !lex.Alpha.Has(s[i]) {
		return i, "expected a macro letter"
	}
	p.percent = false
	p.letter = s[i] | 0x20
	p.escape = s[i] != p.letter
	i++
	digits := lex.Digit.Span(s[i:])
	for _, c := range []byte(s[i : i+digits]) {
		p.keep = min(p.keep*10+int(c-'0'), maxParts)
	}
	if digits > 0 && p.keep == 0 {
		return i, "number of parts is zero"
	}
	i += digits
	if i < len(s) && s[i]|0x20 == 'r' {
		p.reverse = true
		i++
	}
	n := lex.Bytes(".-+,/_=").Span(s[i:])
	p.delims = s[i : i+n]
	i += n
	if i == len(s) || s[i] != '}' {
		return i, `expected "}"`
	}
	return i + 1, ""
}

// transform applies what is in the macro besides its letter, RFC 7208 §7.3.
func (p part) transform(value string) string {
	if p.keep > 0 || p.reverse || p.delims != "" {
		delims := p.delims
		if delims == "" {
			delims = "."
		}
		// Consecutive delimiters make empty parts, which are parts too.
		var l []string
		for {
			i := strings.IndexAny(value, delims)
			if i < 0 {
				break
			}
			l = append(l, value[:i])
			value = value[i+1:]
		}
		l = append(l, value)
		if p.reverse {
			slices.Reverse(l)
		}
		if p.keep > 0 && p.keep < len(l) {
			l = l[len(l)-p.keep:]
		}
		value = strings.Join(l, ".")
	}
	if p.escape {
		value = urlEscape(value)
	}
	return value
}

// unreserved are the characters that are not escaped, RFC 3986 §2.3.
var unreserved = lex.LetDig.Union(lex.Bytes("-._~"))

func urlEscape(s string) string {
	if unreserved.Span(s) == len(s) {
		return s
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if unreserved.Has(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// dotted returns an address in the form of macro "i", RFC 7208 §7.3: an IPv6
// address as 32 nibbles.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	var b strings.Builder
	for i, c := range ip.As16() {
		if i > 0 {
			b.WriteByte('.')
		}
		const hex = "0123456789abcdef"
		b.WriteByte(hex[c>>4])
		b.WriteByte('.')
		b.WriteByte(hex[c&0xf])
	}
	return b.String()
}
