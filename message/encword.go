package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"mox/internal/lex"
)

const (
	// maxEncodedWord is the longest encoded word, RFC 2047 §2.
	maxEncodedWord = 75
	// maxHeaderWord is the longest word in a header field that is sent as it is, so
	// that a line stays below the 998 characters of RFC 5322 §2.1.1. It cannot be
	// folded but in encoded words.
	maxHeaderWord = 900
)

// DecodeText returns the unfolded value of an unstructured field or phrase with
// its encoded words (RFC 2047) decoded, as valid UTF-8 without control characters
// other than tab. Words of an unknown charset or encoding stay as they are. More
// is accepted than the RFC allows: words inside other text, spaces inside words,
// and characters that are split over words.
func DecodeText(s string) string {
	if !strings.Contains(s, "=?") {
		return cleanText(validUTF8String(s))
	}
	d := wordDecoder{out: make([]byte, 0, len(s))}
	for len(s) > 0 {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, ok := parseWord(s[i:])
		if !ok {
			d.text(s[:i+2])
			s = s[i+2:]
			continue
		}
		d.text(s[:i])
		d.word(w)
		s = s[i+w.size:]
	}
	d.text(s)
	d.flush()
	return string(cleanBytes(d.out))
}

// encodedWord is "=?charset?encoding?text?=".
type encodedWord struct {
	charset string
	enc     byte // 'q' or 'b'
	text    string
	size    int
}

// parseWord reads the encoded word at the beginning of s, which begins with "=?".
// It looks no further than the third question mark, which must be the end.
func parseWord(s string) (w encodedWord, ok bool) {
	const maxCharset = 80
	rest := s[2:]
	n := strings.IndexByte(rest[:min(len(rest), maxCharset)], '?')
	if n <= 0 || len(rest) < n+4 || rest[n+2] != '?' {
		return w, false
	}
	w.charset, w.enc = rest[:n], lower(rest[n+1])
	if w.enc != 'q' && w.enc != 'b' || strings.ContainsAny(w.charset, " \t") {
		return w, false
	}
	rest = rest[n+3:]
	end := strings.IndexByte(rest, '?')
	if end < 0 || end+1 == len(rest) || rest[end+1] != '=' {
		return w, false
	}
	w.text = rest[:end]
	w.size = 2 + n + 3 + end + 2
	return w, true
}

// wordDecoder joins the bytes of adjacent words of one charset before it decodes
// them, because senders split characters.
type wordDecoder struct {
	out     []byte
	charset string // Of raw, empty if there is none.
	raw     []byte // Decoded bytes, not yet in out.
	orig    []byte // What raw came from, for an unknown charset.
	space   string // White space after that, which is not text if a word follows.
}

// text adds what is between words. White space between two words is not part of
// the text, RFC 2047 §6.2.
func (d *wordDecoder) text(s string) {
	if d.charset != "" && strings.Trim(s, " \t") == "" {
		d.space = s
		return
	}
	d.flush()
	d.out = append(d.out, validUTF8String(s)...)
}

func (d *wordDecoder) word(w encodedWord) {
	d.orig = append(d.orig, d.space...)
	d.space = ""
	if !equalFold(w.charset, d.charset) {
		d.flush()
	}
	d.charset = w.charset
	d.orig = append(d.orig, "=?"+w.charset+"?"...)
	d.orig = append(d.orig, w.enc, '?')
	d.orig = append(d.orig, w.text...)
	d.orig = append(d.orig, "?="...)
	if w.enc == 'q' {
		d.raw = appendQ(d.raw, w.text)
		return
	}
	var st base64State
	d.raw = st.decode(d.raw, []byte(w.text))
	d.raw = st.flush(d.raw)
}

func (d *wordDecoder) flush() {
	if d.charset != "" {
		if s, ok := decodeCharset(d.charset, d.raw); ok {
			d.out = append(d.out, s...)
		} else {
			d.out = append(d.out, validUTF8(d.orig)...)
		}
	}
	d.out = append(d.out, d.space...)
	d.charset, d.raw, d.orig, d.space = "", d.raw[:0], d.orig[:0], ""
}

// appendQ decodes the Q encoding, RFC 2047 §4.2.
func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(s) && lex.HexDig.Has(s[i+1]) && lex.HexDig.Has(s[i+2]):
			dst = append(dst, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

// EncodeText returns s for an unstructured field or phrase in ASCII, with encoded
// words in UTF-8 (RFC 2047) from the first word that needs encoding to the last.
// Each is at most 75 characters. Control characters become spaces.
func EncodeText(s string) string {
	s = validUTF8String(cleanText(s))
	words := strings.SplitAfter(s, " ")
	first, last := -1, 0
	for i, w := range words {
		if !isASCII(w) || strings.Contains(w, "=?") || len(w) > maxHeaderWord {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return s
	}
	head := strings.Join(words[:first], "")
	mid := strings.Join(words[first:last+1], "")
	tail := strings.Join(words[last+1:], "")
	// The space after an encoded word separates it, and belongs to the text.
	if tail != "" {
		mid, tail = strings.TrimSuffix(mid, " "), " "+tail
	}
	return head + encodeWords(mid) + tail
}

func hasLongWord(s string) bool {
	for w := range strings.FieldsSeq(s) {
		if len(w) > maxHeaderWord {
			return true
		}
	}
	return false
}

// qSafe are the bytes that Q may leave as they are in a phrase, RFC 2047 §5.
var qSafe = lex.LetDig.Union(lex.Bytes("!*+-/"))

// encodeWords encodes all of s, split at characters: in Q, which people can read, if
// that is not much longer than B.
func encodeWords(s string) string {
	const prefix = len("=?utf-8?q?") + len("?=")
	const room = maxEncodedWord - prefix
	q := 0
	for i := range len(s) {
		q += qSize(s[i])
	}
	b64 := q > len(s)*2
	var words []string
	for len(s) > 0 {
		n, size := 0, 0
		for n < len(s) {
			_, w := utf8.DecodeRuneInString(s[n:])
			if b64 {
				size = (n + w + 2) / 3 * 4
			} else {
				for i := n; i < n+w; i++ {
					size += qSize(s[i])
				}
			}
			if size > room {
				break
			}
			n += w
		}
		if b64 {
			words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		} else {
			words = append(words, "=?utf-8?q?"+encodeQ(s[:n])+"?=")
		}
		s = s[n:]
	}
	return strings.Join(words, " ")
}

func qSize(c byte) int {
	if qSafe.Has(c) || c == ' ' {
		return 1
	}
	return 3
}

func encodeQ(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 3*len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			b = append(b, '_')
		case qSafe.Has(c):
			b = append(b, c)
		default:
			b = append(b, '=', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
