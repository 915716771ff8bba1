package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"mox/internal/lex"
)

const upperHex = "0123456789ABCDEF"

// EncodeXtext encodes a string for use as the value of a parameter, RFC 3461 §4:
//
//	xtext   = *( xchar / hexchar )
//	hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits
func EncodeXtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; lex.XChar.Has(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('+')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&0xf])
		}
	}
	return b.String()
}

// DecodeXtext is the reverse of EncodeXtext. The result may have any octets; the
// caller checks what its meaning allows. Lenient takes lower case digits.
func DecodeXtext(s string, mode Mode) (string, error) {
	sc := lex.New(s)
	defer sc.In("xtext")()
	var b strings.Builder
	for sc.OK() && !sc.End() {
		b.WriteString(sc.Take(lex.XChar))
		if sc.End() {
			break
		}
		sc.NeedByte('+')
		start := sc.Pos()
		digits := sc.NeedN(lex.HexDig, 2, "two hexadecimal digits")
		if mode == Strict && digits != strings.ToUpper(digits) {
			sc.FailAt(start, "lower case hexadecimal digit")
		}
		n, err := strconv.ParseUint(digits, 16, 8)
		if err != nil {
			sc.FailAt(start, "expected hexadecimal digits")
		}
		b.WriteByte(byte(n))
	}
	if err := sc.Err(); err != nil {
		return "", err
	}
	return b.String(), nil
}

// qchar is QCHAR of RFC 6533 §3: what needs no encoding in an address of type
// utf-8.
var qchar = lex.VChar.Without(lex.Bytes(`+=\`))

// EncodeUTF8Addr encodes an address of type utf-8 as utf-8-addr-xtext of RFC 6533
// §3, or with international set as utf-8-addr-unitext, in which characters beyond
// ASCII stay as they are.
func EncodeUTF8Addr(s string, international bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && qchar.Has(byte(r)), r >= utf8.RuneSelf && international:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// DecodeUTF8Addr decodes an address of type utf-8 in any of its three forms,
// RFC 6533 §3.
func DecodeUTF8Addr(s string) (string, error) {
	sc := lex.New(s)
	defer sc.In("utf-8-enc-addr")()
	// A utf-8-address may have what QCHAR leaves out, except the backslash.
	plain := qchar.Union(lex.NonASCII, lex.Bytes(" +="))
	var b strings.Builder
	for sc.OK() && !sc.End() {
		b.WriteString(sc.Take(plain))
		if sc.End() {
			break
		}
		sc.Need(`\x{`)
		start := sc.Pos()
		digits := sc.NeedRun(lex.HexDig, "hexadecimal digits")
		sc.NeedByte('}')
		n, err := strconv.ParseUint(digits, 16, 32)
		if len(digits) < 2 || len(digits) > 6 || err != nil || !utf8.ValidRune(rune(n)) {
			sc.FailAt(start, "invalid code point")
			break
		}
		b.WriteRune(rune(n))
	}
	if sc.OK() && !utf8.ValidString(s) {
		sc.Fail("not UTF-8")
	}
	if err := sc.Err(); err != nil {
		return "", err
	}
	return b.String(), nil
}
