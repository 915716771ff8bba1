package imap

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7Alphabet is that of base64 with "," for "/". RFC 3501 §5.1.3
const utf7Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"

// utf7Values has the value of each byte of utf7Alphabet, and -1 for others.
var utf7Values = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range len(utf7Alphabet) {
		t[utf7Alphabet[i]] = int8(i)
	}
	return t
}()

var errUTF7 = errors.New("invalid modified UTF-7")

// EncodeUTF7 returns the modified UTF-7 form of a mailbox name in UTF-8. Bytes that
// are not UTF-8 become U+FFFD. RFC 3501 §5.1.3
func EncodeUTF7(s string) string {
	return string(AppendUTF7(nil, s))
}

// AppendUTF7 appends the modified UTF-7 form of s. See [EncodeUTF7].
func AppendUTF7(b []byte, s string) []byte {
	var bits uint32 // The last nbits of it are not yet written.
	var nbits int
	shifted := false
	for _, r := range s {
		if r >= 0x20 && r <= 0x7e {
			if shifted {
				if nbits > 0 {
					b = append(b, utf7Alphabet[bits<<(6-nbits)&0x3f])
				}
				b = append(b, '-')
				shifted, bits, nbits = false, 0, 0
			}
			b = append(b, byte(r))
			if r == '&' {
				b = append(b, '-')
			}
			continue
		}
		if !shifted {
			b = append(b, '&')
			shifted = true
		}
		units := [2]uint16{uint16(r)}
		n := 1
		if r > 0xffff {
			hi, lo := utf16.EncodeRune(r)
			units, n = [2]uint16{uint16(hi), uint16(lo)}, 2
		}
		for _, u := range units[:n] {
			bits, nbits = bits<<16|uint32(u), nbits+16
			for nbits >= 6 {
				nbits -= 6
				b = append(b, utf7Alphabet[bits>>nbits&0x3f])
			}
		}
	}
	if shifted {
		if nbits > 0 {
			b = append(b, utf7Alphabet[bits<<(6-nbits)&0x3f])
		}
		b = append(b, '-')
	}
	return b
}

// DecodeUTF7 returns a mailbox name in modified UTF-7 as UTF-8. It takes only what
// [EncodeUTF7] makes: no bytes but printable ASCII, no printable ASCII in encoded
// form, no superfluous shift, no padding bits that are set, no lone surrogate.
// RFC 3501 §5.1.3
func DecodeUTF7(s string) (string, error) {
	if strings.IndexByte(s, '&') < 0 {
		for i := range len(s) {
			if s[i] < 0x20 || s[i] > 0x7e {
				return "", fmt.Errorf("%w: unencoded character", errUTF7)
			}
		}
		return s, nil
	}
	b := make([]byte, 0, len(s))
	afterShift := false // The last thing read was an encoded run.
	for i := 0; i < len(s); {
		c := s[i]
		if c < 0x20 || c > 0x7e {
			return "", fmt.Errorf("%w: unencoded character", errUTF7)
		}
		i++
		if c != '&' {
			b = append(b, c)
			afterShift = false
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", fmt.Errorf("%w: unfinished shift", errUTF7)
		}
		run := s[i : i+end]
		i += end + 1
		if run == "" {
			b = append(b, '&')
			afterShift = false
			continue
		}
		if afterShift {
			return "", fmt.Errorf("%w: superfluous shift", errUTF7)
		}
		var err error
		if b, err = appendUTF7Run(b, run); err != nil {
			return "", err
		}
		afterShift = true
	}
	return string(b), nil
}

// appendUTF7Run appends the characters of one run of modified base64.
func appendUTF7Run(b []byte, run string) ([]byte, error) {
	var bits uint32
	var nbits int
	var high rune // First half of a surrogate pair, or 0.
	for i := range len(run) {
		v := utf7Values[run[i]]
		if v < 0 {
			return nil, fmt.Errorf("%w: invalid base64", errUTF7)
		}
		bits, nbits = bits<<6|uint32(v), nbits+6
		if nbits < 16 {
			continue
		}
		nbits -= 16
		r := rune(bits >> nbits & 0xffff)
		switch {
		case high != 0:
			if r = utf16.DecodeRune(high, r); r == utf8.RuneError {
				return nil, fmt.Errorf("%w: invalid surrogate pair", errUTF7)
			}
			high = 0
		case r >= 0xd800 && r <= 0xdbff:
			high = r
			continue
		case utf16.IsSurrogate(r):
			return nil, fmt.Errorf("%w: invalid surrogate pair", errUTF7)
		case r >= 0x20 && r <= 0x7e:
			return nil, fmt.Errorf("%w: encoded ASCII", errUTF7)
		}
		b = utf8.AppendRune(b, r)
	}
	if high != 0 {
		return nil, fmt.Errorf("%w: invalid surrogate pair", errUTF7)
	}
	if nbits >= 6 || bits&(1<<nbits-1) != 0 {
		return nil, fmt.Errorf("%w: invalid padding", errUTF7)
	}
	return b, nil
}
