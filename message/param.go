package message

import (
	"strings"

	"mox/internal/lex"
)

// Param is a parameter of Content-Type or Content-Disposition, with the
// continuations and charsets of RFC 2231 taken care of.
type Param struct {
	Name  string // In lower case, without the "*" of an extended one.
	Value string // Unquoted. As written, but for an extended one, which is in UTF-8.
	// Extended says that the value came percent-encoded with a charset, as in
	// name*=utf-8''value.
	Extended bool
}

// maxSegments is the number of segments of parameters read from a field: names with
// continuations have several each.
const maxSegments = 4 * MaxParams

// segment is a parameter as it is on the wire.
type segment struct {
	name    string // In lower case, without index and final "*".
	index   int    // Of a continuation, -1 if it is none.
	encoded bool   // The name has a final "*".
	value   string
}

// ParseParams splits the unfolded value of Content-Type, Content-Disposition and
// the like into what comes before the parameters, and the parameters. Accepted
// too are a missing semicolon, spaces in an unquoted value, a missing closing quote,
// and empty parameters. Of parameters of one name, the first counts. At most
// MaxParams are returned, each with a value of at most MaxValue bytes.
func ParseParams(s string) (value string, params []Param) {
	p := paramParser{s: s}
	value = p.main()
	var segs []segment
	for len(segs) < maxSegments {
		seg, ok := p.segment()
		if !ok {
			break
		}
		if seg.name != "" {
			segs = append(segs, seg)
		}
	}
	return value, joinSegments(segs)
}

type paramParser struct {
	s   string
	pos int
	// noQuote is set when no closing quote is ahead, so that it is looked for only
	// once.
	noQuote bool
}

// skip passes white space, comments and, with semicolons set, those.
func (p *paramParser) skip(semicolons bool) {
	t := tokens{s: p.s, pos: p.pos}
	for {
		t.skip()
		if !semicolons || t.pos == len(p.s) || p.s[t.pos] != ';' {
			break
		}
		t.pos++
	}
	p.pos = t.pos
}

// main reads what comes before the parameters: no more than one word with slashes,
// since the semicolon after it may be missing.
func (p *paramParser) main() string {
	p.skip(false)
	start := p.pos
	for p.pos < len(p.s) && p.s[p.pos] != ';' && p.s[p.pos] != '(' && !isSpace(p.s[p.pos]) {
		p.pos++
	}
	value := p.s[start:p.pos]
	// White space around the slash.
	for {
		mark := p.pos
		p.skip(false)
		if p.pos == len(p.s) || p.s[p.pos] != '/' && !strings.HasSuffix(value, "/") || p.s[p.pos] == ';' {
			p.pos = mark
			return value
		}
		start = p.pos
		for p.pos < len(p.s) && p.s[p.pos] != ';' && p.s[p.pos] != '(' && !isSpace(p.s[p.pos]) {
			p.pos++
		}
		if p.pos == start {
			return value
		}
		value += p.s[start:p.pos]
		if strings.Count(value, "/") > 1 {
			return value
		}
	}
}

// nameEnd are the bytes that end the name of a parameter.
var nameEnd = lex.Bytes("=; \t\"(")

// segment reads the next parameter; one without a name was not a parameter.
func (p *paramParser) segment() (seg segment, ok bool) {
	p.skip(true)
	if p.pos == len(p.s) {
		return seg, false
	}
	start := p.pos
	for p.pos < len(p.s) && !nameEnd.Has(p.s[p.pos]) {
		p.pos++
	}
	name := p.s[start:p.pos]
	p.skip(false)
	if p.pos == len(p.s) || p.s[p.pos] != '=' {
		if p.pos == start {
			p.pos++
		}
		return seg, true
	}
	p.pos++
	p.skip(false)
	value := p.value()
	if len(name) > 128 {
		return seg, true
	}
	seg = splitName(strings.ToLower(name))
	seg.value = value
	return seg, true
}

// splitName takes the index and the mark of RFC 2231 off a name.
func splitName(name string) segment {
	seg := segment{name: name, index: -1}
	if s, ok := strings.CutSuffix(name, "*"); ok {
		seg.name, seg.encoded = s, true
	}
	base, digits, ok := strings.Cut(seg.name, "*")
	if !ok || len(digits) == 0 || len(digits) > 4 || !lex.Digit.All(digits) {
		return seg
	}
	n := 0
	for i := range len(digits) {
		n = n*10 + int(digits[i]-'0')
	}
	seg.name, seg.index = base, n
	return seg
}

// value reads a quoted string, or what comes before the next semicolon.
func (p *paramParser) value() string {
	rest := p.s[p.pos:]
	if strings.HasPrefix(rest, "\"") {
		if !p.noQuote {
			if text, n, ok := quotedString(rest); ok {
				p.pos += n
				return text
			}
			p.noQuote = true
		}
		rest = rest[1:]
		p.pos++
	}
	n := strings.IndexByte(rest, ';')
	if n < 0 {
		n = len(rest)
	}
	n = unquotedEnd(rest[:n])
	p.pos += n
	return strings.TrimRight(rest[:n], " \t\r\n")
}

// unquotedEnd returns the length of an unquoted value, which may have spaces in it.
// It ends before a comment, and before what looks like the next parameter.
func unquotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		if !isSpace(s[i-1]) || isSpace(s[i]) {
			continue
		}
		if s[i] == '(' {
			return i
		}
		n := lex.Token.Span(s[i:])
		if n > 0 && i+n < len(s) && s[i+n] == '=' {
			return i
		}
		i += max(n-1, 0)
	}
	return len(s)
}

// joinSegments makes parameters of segments, in the order of their first ones.
func joinSegments(segs []segment) []Param {
	var params []Param
	for i, s := range segs {
		if len(params) == MaxParams {
			break
		}
		if s.index < 0 && !s.encoded {
			if !hasParam(params, s.name, false) {
				params = append(params, Param{s.name, clip(s.value, MaxValue), false})
			}
			continue
		}
		if !seenBefore(segs, i) {
			if v, encoded := joinContinuations(segs[i:], s.name); !hasParam(params, s.name, encoded) {
				params = append(params, Param{s.name, clip(v, MaxValue), encoded})
			}
		}
	}
	return params
}

func hasParam(params []Param, name string, extended bool) bool {
	for _, p := range params {
		if p.Name == name && p.Extended == extended {
			return true
		}
	}
	return false
}

// seenBefore says whether a segment of RFC 2231 of the same name came before i.
func seenBefore(segs []segment, i int) bool {
	for _, s := range segs[:i] {
		if s.name == segs[i].name && (s.index >= 0 || s.encoded) {
			return true
		}
	}
	return false
}

// joinContinuations joins the segments of a name in the order of their indexes, up
// to the first that is missing.
func joinContinuations(segs []segment, name string) (value string, encoded bool) {
	var ordered [maxSegments]*segment
	whole := false
	for i := range segs {
		s := &segs[i]
		if s.name != name || s.index < 0 && !s.encoded || s.index >= maxSegments {
			continue
		}
		if n := max(s.index, 0); ordered[n] == nil || s.index < 0 && !whole {
			// One that is complete in itself goes before segments.
			ordered[n] = s
			whole = whole || s.index < 0
		}
	}
	var raw []byte
	charset := ""
	for n, s := range ordered {
		if s == nil || whole && n > 0 || len(raw) > MaxValue {
			break
		}
		v := s.value
		if s.encoded {
			encoded = true
			if n == 0 {
				charset, v = cutCharset(v)
			}
			raw = appendPercentDecoded(raw, v)
			continue
		}
		raw = append(raw, v...)
	}
	if !encoded {
		return string(raw), false
	}
	if v, ok := decodeCharset(charset, raw); ok {
		return v, true
	}
	return validUTF8String(string(raw)), true
}

// cutCharset splits charset'language'value. A value without them is taken whole.
func cutCharset(s string) (charset, value string) {
	charset, rest, ok := strings.Cut(s, "'")
	if !ok {
		return "", s
	}
	_, value, ok = strings.Cut(rest, "'")
	if !ok {
		return "", s
	}
	return charset, value
}

func appendPercentDecoded(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && lex.HexDig.Has(s[i+1]) && lex.HexDig.Has(s[i+2]) {
			dst = append(dst, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

// param returns the value of a parameter, the extended one if there is one.
func param(params []Param, name string) (Param, bool) {
	var found Param
	ok := false
	for _, p := range params {
		if equalFold(p.Name, name) && (!ok || p.Extended) {
			found, ok = p, true
		}
	}
	return found, ok
}

// FormatParam writes a parameter for a header field: as a token if it can be, else
// quoted, else as RFC 2231 has it.
func FormatParam(name, value string) string {
	value = cleanText(value)
	if lex.Token.All(value) {
		return name + "=" + value
	}
	if isASCII(value) {
		return name + "=" + quote(value)
	}
	const hex = "0123456789ABCDEF"
	b := []byte(name + "*=utf-8''")
	for i := range len(value) {
		if c := value[i]; lex.AttributeChar.Has(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
