package trace

import (
	"strings"

	"mox/internal/lex"
)

var (
	// token of RFC 2045 §5.1, with the UTF-8 that RFC 8601 §2.2 takes from RFC 6532.
	token = lex.Token.Union(lex.NonASCII)
	// keyword is Keyword of RFC 5321 §4.1.2, and the underscore, which is seen in
	// names of properties.
	keyword = lex.LDH.Union(lex.Bytes("_"))
	// pvalue are the bytes of a value that is not quoted: those of token, of
	// local-part and of domain-name, and those others that software forgets to quote,
	// such as the slash and equals sign of base64 and the colon of an IPv6 address.
	pvalue = lex.VChar.Union(lex.NonASCII).Without(lex.Bytes(`;()"\`))

	space = lex.Bytes(" \t\r\n")
	// What stands for itself in a quoted string and in a comment, folding included.
	quotedText  = lex.Octet.Without(lex.Bytes("\"\\\r\n\x00"))
	commentText = lex.Octet.Without(lex.Bytes("()\\\r\n\x00"))
	quotedPair  = lex.Octet.Without(lex.Bytes("\r\n\x00"))
)

// Parse reads the value of an Authentication-Results field, folded or not:
//
//	authres-payload = [CFWS] authserv-id
//	         [ CFWS authres-version ]
//	         ( no-result / 1*resinfo ) [CFWS] CRLF
//
// Beyond the grammar of RFC 8601 §2.2 it takes what is common: a semicolon at the
// end, values that should have been quoted, properties without a type. An error is
// a *lex.Error.
func Parse(value string) (AuthResults, error) {
	p := parser{s: lex.NewLimit(value, MaxLen)}
	a := p.payload()
	if err := p.s.Err(); err != nil {
		return AuthResults{}, err
	}
	return a, nil
}

// ParseInstance reads what comes before the payload in an
// ARC-Authentication-Results field, and returns the rest, which is for [Parse]:
//
//	arc-info = instance [CFWS] ";" authres-payload
//	instance = [CFWS] %s"i" [CFWS] "=" [CFWS] position
//	position = 1*2DIGIT
//
// RFC 8617 §4.1.1, §4.2.1. An error is a *lex.Error.
func ParseInstance(value string) (instance int, payload string, err error) {
	p := parser{s: lex.NewLimit(value, MaxLen)}
	s := p.s
	defer s.In("arc-info")()
	p.cfws()
	s.Need("i")
	p.cfws()
	s.NeedByte('=')
	p.cfws()
	instance = int(s.NeedUint(99))
	p.cfws()
	s.NeedByte(';')
	payload = s.Rest()
	if err := s.Err(); err != nil {
		return 0, "", err
	}
	return instance, payload, nil
}

type parser struct {
	s *lex.Scanner
}

func (p *parser) payload() AuthResults {
	s := p.s
	defer s.In("authres-payload")()
	p.cfws()
	a := AuthResults{AuthservID: p.value("authserv-id")}
	p.cfws()
	if s.PeekIs(lex.Digit) {
		a.Version = int(s.NeedUint(1 << 16))
		p.cfws()
	}
	if s.End() {
		s.Fail(`expected ";"`)
	}
	for !s.End() {
		s.NeedByte(';')
		p.cfws()
		if s.End() && len(a.Results) > 0 {
			break // A semicolon at the end.
		}
		if len(a.Results) == 0 && p.none() {
			break
		}
		if len(a.Results) == MaxResults {
			s.Fail("more than %d results", MaxResults)
		}
		a.Results = append(a.Results, p.resinfo())
	}
	return a
}

// none consumes the rest if it says that there are no results.
//
//	no-result = [CFWS] ";" [CFWS] "none"
func (p *parser) none() bool {
	s := p.s
	pos := s.Pos()
	if !s.TryFold("none") {
		return false
	}
	p.cfws()
	if s.TryByte(';') {
		p.cfws()
	}
	if !s.End() {
		s.Seek(pos)
		return false
	}
	return true
}

// resinfo reads a result after its semicolon.
//
//	resinfo    = [CFWS] ";" methodspec [ CFWS reasonspec ]
//	             [ CFWS 1*propspec ]
//	methodspec = [CFWS] method [CFWS] "=" [CFWS] result
//	method     = Keyword [ [CFWS] "/" [CFWS] method-version ]
//	reasonspec = "reason" [CFWS] "=" [CFWS] value
func (p *parser) resinfo() Result {
	s := p.s
	defer s.In("resinfo")()
	var r Result
	r.Method = s.NeedRun(keyword, "method")
	p.cfws()
	if s.TryByte('/') {
		p.cfws()
		r.Version = int(s.NeedUint(1 << 16))
		p.cfws()
	}
	s.NeedByte('=')
	p.cfws()
	r.Result = s.NeedRun(keyword, "result")
	r.Comment = p.cfws()
	for !s.End() && !s.PeekIs(lex.Bytes(";")) {
		p.spec(&r)
	}
	return r
}

// spec reads a reason or a property.
//
//	propspec = ptype [CFWS] "." [CFWS] property [CFWS] "=" pvalue
func (p *parser) spec(r *Result) {
	s := p.s
	defer s.In("propspec")()
	var prop Prop
	prop.Property = s.NeedRun(keyword, "property")
	p.cfws()
	if s.TryByte('.') {
		p.cfws()
		prop.Type = prop.Property
		prop.Property = s.NeedRun(keyword, "property")
		p.cfws()
	}
	s.NeedByte('=')
	p.cfws()
	if prop.Type == "" && r.Reason == "" && strings.EqualFold(prop.Property, "reason") {
		r.Reason = p.value("reason")
		p.cfws()
		return
	}
	prop.Value = p.pvalue()
	prop.Comment = p.cfws()
	if len(r.Props) == MaxProps {
		s.Fail("more than %d properties", MaxProps)
	}
	r.Props = append(r.Props, prop)
}

// value reads a token or quoted string.
func (p *parser) value(what string) string {
	if p.s.PeekIs(lex.Bytes(`"`)) {
		return p.quoted()
	}
	return p.s.NeedRun(token, what)
}

// pvalue reads the value of a property.
//
//	pvalue = [CFWS] ( value / [ [ local-part ] "@" ] domain-name )
//	         [CFWS]
func (p *parser) pvalue() string {
	s := p.s
	if !s.PeekIs(lex.Bytes(`"`)) {
		return s.Take(pvalue) // May be empty: "smtp.mailfrom=" of a null reverse path.
	}
	pos := s.Pos()
	text := p.quoted()
	if !s.PeekIs(lex.Bytes("@")) {
		return text
	}
	// A local-part that is a quoted string keeps its quoting: that is the address.
	local := s.Since(pos)
	return unfold(local) + s.Take(pvalue)
}

// unfold removes line ends, which quoted has found to be part of folding.
func unfold(s string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(s)
}

// quoted reads a quoted string and returns its content.
func (p *parser) quoted() string {
	s := p.s
	defer s.In("quoted-string")()
	s.NeedByte('"')
	var b strings.Builder
	for s.OK() && !s.TryByte('"') {
		if text, ok := s.TryRun(quotedText); ok {
			b.WriteString(text)
		} else if s.TryByte('\\') {
			b.WriteByte(s.NeedOne(quotedPair, "quoted character"))
		} else {
			p.fold()
		}
	}
	return b.String()
}

// fold consumes a line end that is followed by white space.
func (p *parser) fold() {
	s := p.s
	s.TryByte('\r')
	s.NeedByte('\n')
	if !s.PeekIs(lex.WSP) {
		s.Fail("expected white space after line end")
	}
}

// cfws consumes white space and comments and returns the text of the comments.
func (p *parser) cfws() string {
	s := p.s
	s.Take(space)
	if !s.PeekIs(lex.Bytes("(")) {
		return ""
	}
	var texts []string
	for s.PeekIs(lex.Bytes("(")) {
		if text := p.comment(); text != "" {
			texts = append(texts, text)
		}
		s.Take(space)
	}
	return strings.Join(texts, " ")
}

// comment reads a comment, with those inside it, and returns its text with single
// spaces: white space in comments is where they are folded.
func (p *parser) comment() string {
	s := p.s
	defer s.In("comment")()
	var b strings.Builder
	depth := 0
	for {
		switch c, ok := s.Peek(); {
		case !ok:
			s.Fail(`expected ")"`)
			return ""
		case c == '(':
			s.TryByte(c)
			if depth++; depth > MaxCommentDepth {
				s.Fail("comments nested more than %d deep", MaxCommentDepth)
			} else if depth > 1 {
				b.WriteByte(c)
			}
		case c == ')':
			s.TryByte(c)
			if depth--; depth == 0 {
				return strings.Join(strings.Fields(b.String()), " ")
			}
			b.WriteByte(c)
		case c == '\\':
			s.TryByte(c)
			b.WriteByte(s.NeedOne(quotedPair, "quoted character"))
		case c == '\r' || c == '\n':
			p.fold()
		default:
			b.WriteString(s.NeedRun(commentText, "comment text"))
		}
	}
}
