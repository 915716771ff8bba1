package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"mox/internal/lex"
)

// ErrSyntax is matched by errors of [Parse].
var ErrSyntax = errors.New("malformed spf record")

const version = "v=spf1"

// isRecord reports whether the text of a TXT record is an SPF record,
// RFC 7208 §4.5.
func isRecord(txt string) bool {
	return len(txt) >= len(version) && strings.EqualFold(txt[:len(version)], version) &&
		(len(txt) == len(version) || txt[len(version)] == ' ')
}

var (
	nameChar = lex.LetDig.Union(lex.Bytes("-_."))
	termChar = lex.VChar
	space    = lex.Bytes(" ")
)

// Parse parses a record, RFC 7208 §12. The error is about the first term that is
// malformed and matches [ErrSyntax].
func Parse(txt string) (Record, error) {
	p := parser{Scanner: lex.NewLimit(txt, MaxRecord)}
	var r Record
	if !isRecord(txt) {
		p.Fail("expected %q and a space", version)
	}
	p.NeedFold(version)
	for p.OK() && !p.End() {
		if p.Take(space) == "" {
			p.Fail("expected a visible character of ASCII")
		}
		if !p.End() {
			p.term(&r)
		}
	}
	if err := p.Err(); err != nil {
		if p.word != "" {
			return Record{}, fmt.Errorf("%w: term %q: %w", ErrSyntax, clip(p.word), err)
		}
		return Record{}, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return r, nil
}

// parser parses one record.
type parser struct {
	*lex.Scanner
	word  string // Term being parsed.
	start int    // Where it starts.
}

// term parses a directive or modifier. What has a "=" right after its name is a
// modifier, RFC 7208 §4.6.1.
func (p *parser) term(r *Record) {
	p.start = p.Pos()
	p.word = p.NeedRun(termChar, "a term")
	if p.OK() && !p.End() && !p.PeekIs(space) {
		p.Fail("expected a visible character of ASCII")
	}
	if !p.OK() {
		return
	}
	if name := p.word[:nameChar.Span(p.word)]; name != "" && lex.Alpha.Has(name[0]) && strings.HasPrefix(p.word[len(name):], "=") {
		p.modifier(r, name, p.word[len(name)+1:])
	} else {
		p.directive(r)
	}
	if p.OK() {
		p.word = ""
	}
}

// failAt records an error at an offset in the term.
func (p *parser) failAt(offset int, format string, args ...any) {
	p.FailAt(p.start+offset, format, args...)
}

// modifier parses the value of a modifier, RFC 7208 §6.
func (p *parser) modifier(r *Record, name, value string) {
	var dst *string
	switch strings.ToLower(name) {
	case "redirect":
		dst = &r.Redirect
	case "exp":
		dst = &r.Exp
	default:
		if _, err := parseMacros(value, macroLetters+macroLettersExp); err != nil {
			p.failAt(len(name)+1+err.offset, "%s", err.text)
		}
		r.Modifiers = append(r.Modifiers, Modifier{name, value})
		return
	}
	if *dst != "" {
		p.failAt(0, "second modifier of this name")
	}
	*dst = p.domain(len(name)+1, value)
}

// directive parses a directive, RFC 7208 §4.6.1.
func (p *parser) directive(r *Record) {
	d := Directive{Qualifier: Pass}
	rest := p.word
	if strings.IndexByte("+-~?", rest[0]) >= 0 {
		d.Qualifier = Qualifier(rest[0])
		rest = rest[1:]
	}
	offset := len(p.word) - len(rest)
	name := rest[:lex.LetDig.Span(rest)]
	d.Mechanism = Mechanism(strings.ToLower(name))
	offset += len(name)
	arg := rest[len(name):]
	switch d.Mechanism {
	case All:
		p.noArgument(offset, arg)
	case Include, Exists:
		if value, ok := strings.CutPrefix(arg, ":"); ok {
			d.Domain = p.domain(offset+1, value)
		} else {
			p.failAt(offset, `expected ":" and a domain`)
		}
	case PTR:
		p.optionalDomain(offset, arg, &d)
	case A, MX:
		arg = p.cidr(offset, arg, &d)
		p.optionalDomain(offset, arg, &d)
	case IP4, IP6:
		if value, ok := strings.CutPrefix(arg, ":"); ok {
			d.Net = p.network(offset+1, value, d.Mechanism)
		} else {
			p.failAt(offset, `expected ":" and an address`)
		}
	default:
		p.failAt(offset-len(name), "unknown mechanism")
	}
	r.Directives = append(r.Directives, d)
}

func (p *parser) noArgument(offset int, arg string) {
	if arg != "" {
		p.failAt(offset, "expected a space")
	}
}

func (p *parser) optionalDomain(offset int, arg string, d *Directive) {
	if value, ok := strings.CutPrefix(arg, ":"); ok {
		d.Domain = p.domain(offset+1, value)
		return
	}
	p.noArgument(offset, arg)
}

// cidr takes a dual-cidr-length off the end of arg, RFC 7208 §5.6. A domain can
// have "/" in it, and cannot end with such a length: its last label is none.
func (p *parser) cidr(offset int, arg string, d *Directive) string {
	if i, n, ok := cutLength(arg); ok && i > 0 && arg[i-1] == '/' {
		d.IP6Len = p.length(offset+i+1, n, 128)
		arg = arg[:i-1]
	}
	if i, n, ok := cutLength(arg); ok {
		d.IP4Len = p.length(offset+i+1, n, 32)
		arg = arg[:i]
	}
	return arg
}

// cutLength finds "/" with digits at the end of s.
func cutLength(s string) (slash int, digits string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 || !lex.Digit.All(s[i+1:]) {
		return 0, "", false
	}
	return i, s[i+1:], true
}

// length parses the digits of ip4-cidr-length or ip6-cidr-length, RFC 7208 §5.6:
// without leading zeros.
func (p *parser) length(offset int, digits string, max int) *int {
	n, err := strconv.Atoi(digits)
	if err != nil || n > max || len(digits) > 1 && digits[0] == '0' || !lex.Digit.All(digits) {
		p.failAt(offset, "expected a prefix length from 0 to %d", max)
	}
	return &n
}

// network parses an address with an optional length, RFC 7208 §5.6.
func (p *parser) network(offset int, s string, m Mechanism) netip.Prefix {
	text, digits, hasLen := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil || ip.Zone() != "" || ip.Is4() != (m == IP4):
		p.failAt(offset, "expected an address of %s", map[Mechanism]string{IP4: "IPv4", IP6: "IPv6"}[m])
		return netip.Prefix{}
	case !hasLen:
		return netip.PrefixFrom(ip, ip.BitLen())
	}
	return netip.PrefixFrom(ip, *p.length(offset+len(text)+1, digits, ip.BitLen()))
}

// domain checks a domain-spec, RFC 7208 §7.1: it ends with a macro, or with a label
// that can be that of a top-level domain after a dot.
func (p *parser) domain(offset int, s string) string {
	parts, err := parseMacros(s, macroLetters)
	if err != nil {
		p.failAt(offset+err.offset, "%s", err.text)
		return s
	}
	if len(parts) == 0 {
		p.failAt(offset, "expected a domain")
		return s
	}
	last := parts[len(parts)-1]
	if last.letter != 0 || last.percent {
		return s
	}
	literal := strings.TrimSuffix(last.literal, ".")
	i := strings.LastIndexByte(literal, '.')
	if i < 0 || !isTopLabel(literal[i+1:]) {
		p.failAt(offset+len(s)-len(last.literal), "expected a domain that ends with a dot and the name of a top-level domain")
	}
	return s
}

// isTopLabel reports whether s matches toplabel, RFC 7208 §7.1.
func isTopLabel(s string) bool {
	return lex.LDH.All(s) && s[0] != '-' && s[len(s)-1] != '-' && !lex.Digit.All(s)
}

// clip keeps what others made up short in errors.
func clip(s string) string {
	const max = 100
	if len(s) > max {
		return s[:max] + "..."
	}
	return s
}
