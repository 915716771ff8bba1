package message

import (
	"strings"

	"mox/internal/lex"
)

// token is an element of a structured field, RFC 5322 §3.2: an atom with dots, a
// quoted string, a domain literal, or a special.
type token struct {
	kind  tokenKind
	text  string // Without quoting; a domain literal has its brackets.
	space bool   // White space or a comment came before it.
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenAtom
	tokenQuoted
	tokenLiteral
	tokenSpecial // One byte.
)

func (t token) isSpecial(c byte) bool { return t.kind == tokenSpecial && t.text[0] == c }

// specials end an atom. The dot is not among them: a dot inside or beside an atom
// belongs to it, as obsolete syntax and real display names want it.
var specials = lex.Bytes("()<>[]:;@,\" \t")

// tokens splits a structured field, given without folding, into tokens. It takes
// any input in linear time: what is no proper token is part of an atom.
type tokens struct {
	s   string
	pos int
	// comment is the text of the last comment, which old software uses for the
	// display name.
	comment string
	// Set when no closing byte is ahead, so that it is looked for only once.
	noQuote, noBracket bool
}

// next returns the next token, tokenEnd at the end.
func (t *tokens) next() token {
	space := t.skip()
	if t.pos == len(t.s) {
		return token{space: space}
	}
	switch c := t.s[t.pos]; c {
	case '"':
		if text, ok := t.quoted(); ok {
			return token{tokenQuoted, text, space}
		}
	case '[':
		if text, ok := t.literal(); ok {
			return token{tokenLiteral, text, space}
		}
	case '<', '>', ':', ';', '@', ',':
		t.pos++
		return token{tokenSpecial, t.s[t.pos-1 : t.pos], space}
	}
	start := t.pos
	for t.pos++; t.pos < len(t.s) && !specials.Has(t.s[t.pos]); t.pos++ {
	}
	return token{tokenAtom, t.s[start:t.pos], space}
}

// skip passes white space and comments.
func (t *tokens) skip() bool {
	start := t.pos
	for t.pos < len(t.s) {
		switch c := t.s[t.pos]; {
		case isSpace(c):
			t.pos++
		case c == '(':
			t.comment = t.skipComment()
		default:
			return t.pos > start
		}
	}
	return t.pos > start
}

// skipComment passes a comment, in which comments may nest (RFC 5322 §3.2.2), and
// returns its text. One that is not closed reaches to the end.
func (t *tokens) skipComment() string {
	start, depth, escaped := t.pos+1, 0, false
	for ; t.pos < len(t.s); t.pos++ {
		switch t.s[t.pos] {
		case '\\':
			escaped = true
			t.pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				t.pos++
				return unescape(t.s[start:t.pos-1], escaped)
			}
		}
	}
	t.pos = len(t.s)
	return unescape(t.s[min(start, t.pos):], escaped)
}

// quoted reads a quoted string.
func (t *tokens) quoted() (string, bool) {
	if t.noQuote {
		return "", false
	}
	text, n, ok := quotedString(t.s[t.pos:])
	if !ok {
		t.noQuote = true
		return "", false
	}
	t.pos += n
	return text, true
}

// quotedString reads the quoted string at the beginning of s, and returns its text
// and length. It fails if the closing quote is missing.
func quotedString(s string) (text string, n int, ok bool) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			return unescape(s[1:i], escaped), i + 1, true
		}
	}
	return "", 0, false
}

func (t *tokens) literal() (string, bool) {
	if t.noBracket {
		return "", false
	}
	n := strings.IndexByte(t.s[t.pos:], ']')
	if n < 0 {
		t.noBracket = true
		return "", false
	}
	t.pos += n + 1
	return t.s[t.pos-n-1 : t.pos], true
}

// unescape resolves the quoted-pairs in s.
func unescape(s string, escaped bool) string {
	if !escaped {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}
