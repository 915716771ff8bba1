package search

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// appendCollation appends the form of folded text (message.Fold) whose octets order as
// i;unicode-casemap does: in title case, and decomposed. RFC 5051 §2, RFC 5256 §4
func appendCollation(dst, folded []byte) []byte {
	for i, c := range folded {
		switch {
		case c >= utf8.RuneSelf:
			return appendDecomposed(dst, folded[i:])
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendDecomposed(dst, folded []byte) []byte {
	title := make([]byte, 0, len(folded)+8)
	for len(folded) > 0 {
		r, n := utf8.DecodeRune(folded)
		title = utf8.AppendRune(title, unicode.ToTitle(r))
		folded = folded[n:]
	}
	return norm.NFKD.Append(dst, title...)
}
