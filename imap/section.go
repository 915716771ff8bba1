package imap

import (
	"strconv"

	"mox/internal/lex"
)

// Limits of sections.
const (
	MaxPartDepth    = 100 // Numbers in the path of a part, such as the 3 of "1.2.1".
	MaxHeaderFields = 250 // Names in HEADER.FIELDS.
)

// A Specifier says what of a part is meant. RFC 9051 §6.4.5.1
type Specifier string

// Specifiers.
const (
	SpecAll             Specifier = ""                  // The whole part, without its MIME header.
	SpecHeader          Specifier = "HEADER"            // The header of a message.
	SpecHeaderFields    Specifier = "HEADER.FIELDS"     // These fields of it.
	SpecHeaderFieldsNot Specifier = "HEADER.FIELDS.NOT" // Its other fields.
	SpecText            Specifier = "TEXT"              // The body of a message.
	SpecMIME            Specifier = "MIME"              // The MIME header of a part.
)

// A Section names a piece of a message. RFC 9051 §6.4.5.1
type Section struct {
	Part   []uint32 // From 1, outermost first. Empty for the message itself.
	Spec   Specifier
	Fields []string // Header field names as they were given, for the two HEADER.FIELDS specifiers.
}

// AppendTo appends the section with its brackets. Field names must be printable
// ASCII.
func (s Section) AppendTo(b []byte) []byte {
	b = append(b, '[')
	for i, n := range s.Part {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	if s.Spec != SpecAll {
		if len(s.Part) > 0 {
			b = append(b, '.')
		}
		b = append(b, s.Spec...)
	}
	if s.Spec == SpecHeaderFields || s.Spec == SpecHeaderFieldsNot {
		b = append(b, ' ', '(')
		for i, name := range s.Fields {
			if i > 0 {
				b = append(b, ' ')
			}
			b = AppendASCII(b, name)
		}
		b = append(b, ')')
	}
	return append(b, ']')
}

// String returns the section with its brackets.
func (s Section) String() string {
	return string(s.AppendTo(nil))
}

// AppendASCII appends s as an atom if it can be one, else as a quoted string. It must
// have no CR, LF, NUL or byte above 0x7f. RFC 9051 §9, production astring
func AppendASCII(b []byte, s string) []byte {
	if lex.AStringChar.All(s) {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// A Partial is a range of bytes of a section. RFC 9051 §6.4.5
type Partial struct {
	Offset int64 // Of the first byte, from 0.
	Count  int64 // At least 1.
}

// AppendTo appends the range as it is written in a command.
func (p Partial) AppendTo(b []byte) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, p.Offset, 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, p.Count, 10)
	return append(b, '>')
}

// Clip returns the part [start, end) of size bytes that the range has. It is empty
// beyond the end.
func (p Partial) Clip(size int64) (start, end int64) {
	start = min(p.Offset, size)
	return start, start + min(p.Count, size-start)
}
