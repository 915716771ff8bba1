package spf

import (
	"strconv"
	"strings"

	"mox/dns"
	"mox/internal/lex"
)

// nameKind is what came of expanding a domain-spec.
type nameKind int

const (
	nameOK        nameKind = iota
	nameMalformed          // Cannot be in DNS.
	nameNonASCII           // Has a local-part that cannot be in DNS, RFC 8616 §4.
)

// keepTail is how much of the end of a name that is being expanded is kept at least:
// more than what is not cut off, RFC 7208 §7.3.
const keepTail = 4 * dns.MaxNameLen

// expandDomain returns the name for a domain-spec in a term, RFC 7208 §4.8. Each
// macro "p" counts as a term.
func (e *evaluation) expandDomain(f *frame, term, spec string) (string, nameKind, error) {
	parts, merr := parseMacros(spec, macroLetters)
	if merr != nil {
		// A parsed record has none of these.
		return "", nameMalformed, nil
	}
	for _, p := range parts {
		if p.letter == 'p' {
			if err := e.count(f, term); err != nil {
				return "", nameMalformed, err
			}
		}
	}
	name, kind := e.name(f.domain, parts)
	if err := e.ctx.Err(); err != nil {
		return "", nameMalformed, &Error{StatusTemperror, f.domain, term, err}
	}
	return name, kind, nil
}

// name expands macros in a name to look up.
func (e *evaluation) name(domain string, parts []part) (string, nameKind) {
	var b []byte
	for _, p := range parts {
		if (p.letter == 'l' || p.letter == 's') && !isASCII(e.sender.local) {
			return "", nameNonASCII
		}
		b = append(b, e.expandPart(domain, p)...)
		if len(b) > 2*keepTail {
			b = append(b[:0], b[len(b)-keepTail:]...)
		}
	}
	name := strings.TrimSuffix(string(b), ".")
	for len(name) > dns.MaxNameLen {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	if !isName(name) {
		return name, nameMalformed
	}
	return name, nameOK
}

// expandPart returns the value of a literal or macro, for a <domain>.
func (e *evaluation) expandPart(domain string, p part) string {
	if p.letter == 0 {
		return p.literal
	}
	return p.transform(e.value(domain, p.letter))
}

// value returns the value for a macro letter, RFC 7208 §7.2.
func (e *evaluation) value(domain string, letter byte) string {
	switch letter {
	case 's':
		return e.sender.local + "@" + e.sender.domain
	case 'l':
		return e.sender.local
	case 'o':
		return e.sender.domain
	case 'd':
		return domain
	case 'i':
		return dotted(e.ip)
	case 'p':
		return e.clientName(domain)
	case 'v':
		if e.ip.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return e.helo
	case 'c':
		return e.ip.String()
	case 'r':
		return e.receiver
	case 't':
		return strconv.FormatInt(e.now.Unix(), 10)
	}
	return ""
}

// explain returns the explanation of the record in f, or nothing if there is any
// problem with it, RFC 7208 §6.2. No limits of the evaluation apply, since the result
// is known; a lookup of one TXT record and of the names of the client is bounded.
func (e *evaluation) explain(f *frame) string {
	authentic := e.authentic
	defer func() { e.authentic = authentic }()

	parts, merr := parseMacros(f.record.Exp, macroLetters)
	if merr != nil {
		return ""
	}
	name, kind := e.name(f.domain, parts)
	if kind != nameOK {
		return ""
	}
	txts, res, err := e.resolver.LookupTXT(e.ctx, name)
	if _, err := e.note(len(txts), res, err); err != nil || len(txts) != 1 {
		return ""
	}
	return e.explanation(f.domain, txts[0])
}

// explanation expands an explain-string, RFC 7208 §7.1.
func (e *evaluation) explanation(domain, text string) string {
	parts, merr := parseMacroText(text, macroLetters+macroLettersExp, macroLiteral.Union(space))
	if merr != nil {
		return ""
	}
	var b []byte
	for _, p := range parts {
		b = append(b, e.expandPart(domain, p)...)
		if len(b) > MaxExplanation {
			b = b[:MaxExplanation]
			break
		}
	}
	return toASCII(string(b))
}

// printable are the characters of one line of text.
var printable = lex.VChar.Union(space)

// toASCII returns s with question marks for bytes that are not printable ASCII.
func toASCII(s string) string {
	if printable.Span(s) == len(s) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if !printable.Has(c) {
			b[i] = '?'
		}
	}
	return string(b)
}

func isASCII(s string) bool {
	return lex.NonASCII.Index(s) < 0
}
