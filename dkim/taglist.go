package dkim

import (
	"encoding/base64"
	"errors"
	"strings"

	"mox/dns"
	"mox/internal/lex"
)

// A Tag is one of a tag list, RFC 6376 §3.2.
type Tag struct {
	Name  string
	Value string // Without white space around it, and with that inside it.

	// Start and End are the byte range in the list of all between "=" and the next
	// ";", or the end: the value with white space around it.
	Start, End int
}

// Tags are a tag list, in order.
type Tags []Tag

// Get returns the tag of a name. Names are compared with case.
func (l Tags) Get(name string) (Tag, bool) {
	for _, t := range l {
		if t.Name == name {
			return t, true
		}
	}
	return Tag{}, false
}

// Has reports whether there is a tag of a name.
func (l Tags) Has(name string) bool {
	_, ok := l.Get(name)
	return ok
}

// first returns the name of the first tag.
func (l Tags) first() string {
	if len(l) == 0 {
		return ""
	}
	return l[0].Name
}

var (
	tagNameChar = lex.Alpha.Union(lex.Digit, lex.Bytes("_"))
	// valChar is VALCHAR with UTF-8, which RFC 6376 §3.2 advises not to preclude.
	valChar   = lex.Range(0x21, 0x7e).Without(lex.Bytes(";")).Union(lex.NonASCII)
	valueText = valChar.Union(lex.WSP)
)

// ParseTags parses a tag list, which may be folded:
//
//	tag-list  =  tag-spec *( ";" tag-spec ) [ ";" ]
//	tag-spec  =  [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
//	tag-name  =  ALPHA *ALNUMPUNC
//	tag-value =  [ tval *( 1*(WSP / FWS) tval ) ]
//
// The same name twice makes the whole list invalid. White space may follow the
// last semicolon. The error is a *lex.Error.
func ParseTags(list string) (Tags, error) {
	s := lex.NewLimit(list, MaxSignatureLen)
	defer s.In("tag-list")()
	l := make(Tags, 0, 12)
	for s.OK() {
		if takeFWS(s); s.End() && len(l) > 0 {
			break // After a semicolon at the end.
		}
		pos := s.Pos()
		t := scanTag(s)
		switch {
		case !s.OK():
		case l.Has(t.Name):
			s.FailAt(pos, "second tag %q", t.Name)
		case len(l) == MaxTags:
			s.FailAt(pos, "more than %d tags", MaxTags)
		}
		l = append(l, t)
		if s.End() {
			break
		}
		s.NeedByte(';')
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return l, nil
}

// scanTag parses a tag-spec, up to a semicolon or the end.
func scanTag(s *lex.Scanner) Tag {
	defer s.In("tag-spec")()
	pos := s.Pos()
	if !s.PeekIs(lex.Alpha) {
		s.Fail("expected tag-name")
	}
	s.Take(tagNameChar)
	t := Tag{Name: s.Since(pos)}
	takeFWS(s)
	s.NeedByte('=')
	t.Start = s.Pos()
	for s.OK() {
		s.Take(valueText)
		if !s.PeekIs(lex.CRLF) {
			break
		}
		takeFWS(s)
	}
	t.End = s.Pos()
	if !s.OK() {
		return Tag{}
	}
	if !s.End() && !s.PeekIs(lex.Bytes(";")) {
		s.Fail("expected tag-value")
	}
	t.Value = strings.Trim(s.Since(t.Start), " \t\r\n")
	return t
}

// takeFWS consumes white space with line ends, each of which must be followed by
// white space, but at the end of the input.
//
//	FWS = ([*WSP CRLF] 1*WSP)
func takeFWS(s *lex.Scanner) {
	for {
		s.Take(lex.WSP)
		if !s.PeekIs(lex.CRLF) {
			return
		}
		s.TryByte('\r')
		if s.NeedByte('\n') && !s.End() && !s.PeekIs(lex.WSP) {
			s.Fail("expected white space after line end")
		}
	}
}

// removeFWS returns s without white space and line ends.
func removeFWS(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(s)
}

// decodeBase64 decodes a base64string, which may have white space anywhere.
func decodeBase64(s string) ([]byte, error) {
	s = removeFWS(s)
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("malformed base64")
	}
	return b, nil
}

// hyphenatedWord are the bytes of hyphenated-word, RFC 6376 §2.10, with the "*" of
// service types, and what else is seen in names of algorithms and methods.
var hyphenatedWord = lex.LDH.Union(lex.Bytes("*_./"))

// splitList splits a colon-separated list with white space around its elements.
func splitList(s string, class lex.Class) ([]string, error) {
	l := make([]string, 0, strings.Count(s, ":")+1)
	for e := range strings.SplitSeq(s, ":") {
		e = strings.Trim(e, " \t\r\n")
		if !class.All(e) {
			return nil, errors.New("malformed or empty element in list")
		}
		l = append(l, e)
	}
	return l, nil
}

// decodeQP decodes dkim-quoted-printable, RFC 6376 §2.11, in which white space does
// not count, and qp-section.
func decodeQP(s string, keepSpace bool) (string, error) {
	if !keepSpace {
		s = removeFWS(s)
	}
	if strings.IndexByte(s, '=') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("malformed quoted-printable")
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi > 15 || lo > 15 {
			return "", errors.New("malformed quoted-printable")
		}
		b = append(b, hi<<4|lo)
		i += 2
	}
	return string(b), nil
}

// unhex returns the value of a hexadecimal digit, which RFC 6376 §2.11 wants in
// upper case. It is more than 15 for others.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// encodeQP encodes text as dkim-quoted-printable. Bytes of special are encoded too.
// If keepSpace is set, single spaces between other characters stay, as in
// qp-section.
func encodeQP(s, special string, keepSpace bool) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		inner := keepSpace && c == ' ' && i > 0 && i < len(s)-1
		if inner || c > ' ' && c < 0x7f && c != '=' && c != ';' && strings.IndexByte(special, c) < 0 {
			b = append(b, c)
		} else {
			b = append(b, '=', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// selectorZone makes a name of a selector, whose last label may be a number,
// unlike that of a domain.
const selectorZone = ".invalid"

// ParseSelector parses the name of a selector, one or more labels, which may be
// numbers. It may have U-labels (RFC 8616 §5).
func ParseSelector(s string) (dns.Domain, error) {
	d, err := dns.ParseDomainLax(s + selectorZone)
	if err != nil {
		return dns.Domain{}, err
	}
	d.ASCII = strings.TrimSuffix(d.ASCII, selectorZone)
	d.Unicode = strings.TrimSuffix(d.Unicode, selectorZone)
	return d, nil
}
