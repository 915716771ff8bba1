package message

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// charsetAlias has names that mail uses and neither index knows, or gives another
// meaning: for the web, UTF-16 is little-endian; RFC 2781 §3.3 looks at the byte
// order mark.
func charsetAlias(name string) string {
	switch name {
	case "cp932", "ms932", "x-ms-cp932":
		return "shift_jis"
	case "cp936", "ms936", "gb_2312", "gb2312_80", "euc-cn", "x-gbk":
		return "gbk"
	case "cp949", "ms949", "uhc", "x-windows-949":
		return "euc-kr"
	case "cp950", "x-windows-950":
		return "big5"
	case "iso-8859-8-e":
		return "iso-8859-8"
	case "latin-1", "iso8859_1", "iso-8859":
		return "iso-8859-1"
	case "utf_8", "utf-8mb4", "unicode-1-1-utf-8":
		return "utf-8"
	}
	return name
}

// charsetKind says how text of a charset becomes UTF-8.
type charsetKind uint8

const (
	charsetUnknown charsetKind = iota
	charsetUTF8                // UTF-8 or US-ASCII.
	charsetOther               // By its encoding.
)

// lookupCharset finds a charset by its name, which may have white space, quotes,
// and the language of RFC 2231 §5 around it.
func lookupCharset(name string) (encoding.Encoding, charsetKind) {
	name, _, _ = strings.Cut(name, "*")
	name = strings.ToLower(strings.Trim(name, " \t\"'"))
	switch name {
	case "":
		return nil, charsetUnknown
	case "utf-8", "us-ascii", "utf8", "ascii":
		return nil, charsetUTF8
	}
	name = charsetAlias(name)
	if len(name) > 64 {
		return nil, charsetUnknown
	}
	if strings.HasPrefix(name, "utf-16") || strings.HasPrefix(name, "utf-32") {
		if enc, err := ianaindex.IANA.Encoding(name); err == nil && enc != nil {
			return enc, charsetOther
		}
	}
	enc, err := htmlindex.Get(name)
	if err != nil || enc == encoding.Replacement {
		// The web gives up on charsets it holds for dangerous; ours is text.
		if enc, err = ianaindex.IANA.Encoding(name); err != nil || enc == nil || enc == encoding.Replacement {
			return nil, charsetUnknown
		}
	}
	if s, err := htmlindex.Name(enc); err == nil && s == "utf-8" {
		return nil, charsetUTF8
	}
	return enc, charsetOther
}

// isWide says whether text of the charset is not a superset of ASCII in bytes, so
// that a line feed byte need not be a line feed.
func isWide(charset string) bool {
	return hasPrefixFold(charset, "utf-16") || hasPrefixFold(charset, "utf-32") ||
		hasPrefixFold(charset, "ucs-") || hasPrefixFold(charset, "iso-10646-ucs-") ||
		hasPrefixFold(charset, "unicode")
}

// decodeCharset returns b as UTF-8; false if the charset is unknown.
func decodeCharset(charset string, b []byte) (string, bool) {
	enc, kind := lookupCharset(charset)
	switch kind {
	case charsetUTF8:
		return string(validUTF8(b)), true
	case charsetOther:
		out, err := enc.NewDecoder().Bytes(b)
		return string(out), err == nil
	}
	return "", false
}

// validUTF8 returns b with bytes that are not UTF-8 taken as windows-1252, which
// is what mail without a label has most often.
func validUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(b[0])
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return out
}

func validUTF8String(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(validUTF8([]byte(s)))
}

func isASCII[T ~[]byte | ~string](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// clip returns at most n bytes of s, without the rest of a character cut in two.
func clip[T ~[]byte | ~string](s T, n int) T {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}

// cleanText replaces control characters, which could end a line, with spaces.
func cleanText(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, s)
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// cleanBytes is cleanText in place.
func cleanBytes(b []byte) []byte {
	if i := bytes.IndexFunc(b, isControl); i >= 0 {
		for j := i; j < len(b); j++ {
			if isControl(rune(b[j])) {
				b[j] = ' '
			}
		}
	}
	return b
}
