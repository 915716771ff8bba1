package wire

import (
	"strings"
	"unicode/utf8"

	"mox/imap"
	"mox/internal/lex"
)

// maxQuoted is the size above which strings are sent as literals: they may not fit the
// line buffers of peers.
const maxQuoted = 4096

// strForm is how a string can be sent.
type strForm uint8

const (
	formAtom strForm = iota
	formQuoted
	formLiteral
)

// form returns the shortest form in which s can be sent as an astring.
func (e *Encoder) form(s string) strForm {
	if len(s) > maxQuoted {
		return formLiteral
	}
	form := formAtom
	if s == "" || len(s) == 3 && strings.EqualFold(s, "NIL") {
		form = formQuoted // It would be misread where NIL is allowed.
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case lex.AStringChar.Has(c):
		case c == 0 || c == '\r' || c == '\n':
			return formLiteral
		case c < utf8.RuneSelf:
			form = formQuoted
		case e.utf8 && utf8.ValidString(s[i:]):
			if strings.ContainsAny(s[i:], "\x00\r\n") {
				return formLiteral
			}
			return formQuoted
		default:
			return formLiteral
		}
	}
	return form
}

// String appends s as a quoted string if it can be one, else as a literal. NUL bytes,
// which neither can have, are left out. RFC 9051 §9, production string
func (e *Encoder) String(s string) {
	if e.form(s) == formLiteral {
		e.literalString(s)
	} else {
		e.quoted(s)
	}
}

// AString appends s as an atom if it can be one, else as String does. RFC 9051 §9,
// production astring
func (e *Encoder) AString(s string) {
	switch e.form(s) {
	case formAtom:
		e.Raw(s)
	case formQuoted:
		e.quoted(s)
	default:
		e.literalString(s)
	}
}

// NString appends a string or NIL. RFC 9051 §9, production nstring
func (e *Encoder) NString(s imap.NString) {
	if s.OK {
		e.String(s.Value)
	} else {
		e.NIL()
	}
}

// Bytes appends a value that may have any bytes: as a quoted string if it can be one, as
// a literal8 if it has NUL bytes, else as a literal. RFC 5464 §5, production value
func (e *Encoder) Bytes(s string) {
	if strings.IndexByte(s, 0) < 0 {
		e.String(s)
		return
	}
	e.literalHeader(int64(len(s)), true)
	e.Raw(s)
}

func (e *Encoder) quoted(s string) {
	b := append(e.room(2*len(s)+2), '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	e.done(append(b, '"'))
}

func (e *Encoder) literalString(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	e.literalHeader(int64(len(s)), false)
	e.Raw(s)
}

// Mailbox appends a mailbox name, which is given in UTF-8. RFC 9051 §9, production
// mailbox
func (e *Encoder) Mailbox(name string) {
	if !e.utf8 && !plainASCII(name) {
		name = imap.EncodeUTF7(name)
	}
	e.AString(name)
}

// ListMailbox appends a mailbox name or pattern, which is given in UTF-8. RFC 9051 §9,
// production list-mailbox
func (e *Encoder) ListMailbox(pattern string) {
	if !e.utf8 && !plainASCII(pattern) {
		pattern = imap.EncodeUTF7(pattern)
	}
	if lex.ListChar.All(pattern) && len(pattern) < maxQuoted {
		e.Raw(pattern)
	} else {
		e.AString(pattern)
	}
}

// plainASCII reports whether s is the same in modified UTF-7.
func plainASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '&' {
			return false
		}
	}
	return true
}

// Status appends a whole status response: with a tag, or untagged if that is empty. The
// code, without brackets, may be empty. RFC 9051 §7.1
func (e *Encoder) Status(tag, typ string, code imap.Code, text string) {
	if tag == "" {
		tag = "*"
	}
	e.Raw(tag)
	e.SP()
	e.Raw(typ)
	e.SP()
	if code != "" {
		e.Byte('[')
		e.text(string(code))
		e.Raw("] ")
	} else if strings.HasPrefix(text, "[") {
		text = "(" + text[1:] // It would be read as a code.
	}
	if text == "" {
		text = strings.ToLower(typ) // RFC 3501 wants some.
	}
	e.text(text)
	e.CRLF()
}

// Error appends the status response for an error, which is untagged for BYE.
func (e *Encoder) Error(tag string, err *imap.Error) {
	if err.Type == imap.TypeBYE {
		tag = ""
	}
	e.Status(tag, string(err.Type), err.Code, err.Text)
}

// Continue appends a continuation request. RFC 9051 §7.6
func (e *Encoder) Continue(text string) {
	e.Raw("+ ")
	e.text(text)
	e.CRLF()
}

// text appends text for humans. What it must not have becomes "?" or a space.
func (e *Encoder) text(s string) {
	clean := true
	for i := 0; i < len(s); i++ {
		clean = clean && s[i] >= ' ' && s[i] <= '~'
	}
	if !clean {
		s = strings.Map(func(r rune) rune {
			switch {
			case r < ' ' || r == 0x7f:
				return ' '
			case r > 0x7f && !e.utf8:
				return '?'
			}
			return r
		}, s)
	}
	e.Raw(s)
}
