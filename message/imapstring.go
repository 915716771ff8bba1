package message

import (
	"bytes"
	"strconv"
)

// maxQuoted is the longest string sent as a quoted string. Longer ones are literals,
// for clients with short line buffers.
const maxQuoted = 1000

// appendString appends s as an IMAP string: quoted if it is short ASCII in one line,
// else a literal (RFC 9051 §4.3). A NUL, which neither may have, becomes "?".
func appendString[T ~[]byte | ~string](b []byte, s T) []byte {
	if len(s) <= maxQuoted && quotable(s) {
		b = append(b, '"')
		for i := range len(s) {
			if s[i] == '"' || s[i] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, s[i])
		}
		return append(b, '"')
	}
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, "}\r\n"...)
	start := len(b)
	b = append(b, s...)
	for {
		n := bytes.IndexByte(b[start:], 0)
		if n < 0 {
			return b
		}
		b[start+n] = '?'
		start += n
	}
}

func quotable[T ~[]byte | ~string](s T) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c == 0 || c == '\r' || c == '\n' {
			return false
		}
	}
	return true
}

// appendNString appends NIL for an empty string.
func appendNString[T ~[]byte | ~string](b []byte, s T) []byte {
	if len(s) == 0 {
		return append(b, "NIL"...)
	}
	return appendString(b, s)
}
