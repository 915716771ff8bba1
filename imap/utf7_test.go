package imap

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestUTF7(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text, utf7 string
	}{
		{"empty", "", ""},
		{"printable ASCII is itself", "Entwürfe"[:4] + "~%*\\\"", "Entw~%*\\\""},
		{"an ampersand", "a&b", "a&-b"},
		{"two ampersands", "&&", "&-&-"},
		{"an ampersand before and after a shift", "&☺&", "&-&Jjo-&-"},
		// RFC 3501 §5.1.3, and RFC 2152 §3 for the values.
		{"the example of the RFC", "~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
		{"the corrected example of the RFC", "☺!", "&Jjo-!"},
		{"the other corrected example of the RFC", "台北日本語", "&U,BTF2XlZyyKng-"},
		{"latin letters", "Entwürfe", "Entw&APw-rfe"},
		{"a surrogate pair", "😀", "&2D3eAA-"},
		{"control characters are encoded", "a\tb\x7f", "a&AAk-b&AH8-"},
		{"two sixteen-bit units need padding", "äö", "&AOQA9g-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := EncodeUTF7(tc.text); got != tc.utf7 {
				t.Errorf("encoded as %q, want %q", got, tc.utf7)
			}
			if got, err := DecodeUTF7(tc.utf7); err != nil || got != tc.text {
				t.Errorf("decoded as %q, %v, want %q", got, err, tc.text)
			}
		})
	}
}

func TestDecodeUTF7Refuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, err string }{
		{"8-bit characters", "Entwürfe", "unencoded character"},
		{"8-bit characters beside a shift", "&Jjo-ü", "unencoded character"},
		{"control characters", "a\tb", "unencoded character"},
		// RFC 3501 §5.1.3 has the next two as examples.
		{"no shift back before ASCII", "&Jjo!", "unfinished shift"},
		{"a superfluous shift", "&U,BTFw-&ZeVnLIqe-", "superfluous shift"},
		{"no shift back at the end", "&Jjo", "unfinished shift"},
		{"a single ampersand", "&", "unfinished shift"},
		{"not base64", "&J/o-", "invalid base64"},
		{"padding", "&Jjo=-", "invalid base64"},
		{"encoded ASCII", "&AGE-", "encoded ASCII"},
		{"an encoded ampersand", "&ACY-", "encoded ASCII"},
		{"set bits in the padding", "&Jjp-", "invalid padding"},
		{"half a unit", "&Jj-", "invalid padding"},
		{"a spare character", "&JjoA-", "invalid padding"},
		{"a high surrogate alone", "&2D0-", "invalid surrogate pair"},
		{"a low surrogate alone", "&3gA-", "invalid surrogate pair"},
		{"a high surrogate before a letter", "&2D0mOg-", "invalid surrogate pair"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := DecodeUTF7(tc.in)
			if !errors.Is(err, errUTF7) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v, want error %q", got, err, tc.err)
			}
		})
	}
}

// Mailbox names in UTF-8 are clean before they are encoded; if not, the result is still
// what peers can decode.
func TestEncodeUTF7OfInvalidUTF8(t *testing.T) {
	t.Parallel()
	if got := EncodeUTF7("a\xffb"); got != "a&,,0-b" {
		t.Errorf("got %q", got)
	}
}

func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"", "INBOX", "a&b", "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "&Jjo!", "&2D3eAA-", "Entwürfe", "\xff", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if utf8.ValidString(s) {
			enc := EncodeUTF7(s)
			if got, err := DecodeUTF7(enc); err != nil || got != s {
				t.Fatalf("%q becomes %q becomes %q, %v", s, enc, got, err)
			}
		}
		if text, err := DecodeUTF7(s); err == nil {
			if got := EncodeUTF7(text); got != s {
				t.Fatalf("%q, decoded as %q, is encoded as %q", s, text, got)
			}
		}
	})
}
