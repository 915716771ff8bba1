package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
)

// decodePieces decodes s in pieces of n bytes.
func decodePieces(state decodeState, s string, n int) string {
	var out []byte
	for len(s) > 0 {
		k := min(n, len(s))
		out = state.decode(out, []byte(s[:k]), false)
		s = s[k:]
	}
	return string(state.decode(out, nil, true))
}

func TestDecodersGiveTheSameInAnyPieces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		enc      encodingKind
		in, want string
	}{
		{"base64", encodingBase64, "aGVsbG8gd29ybGQ=", "hello world"},
		{"base64 in lines", encodingBase64, "aGVs\r\nbG8g\r\nd29y\r\nbGQ=\r\n", "hello world"},
		{"base64 without padding", encodingBase64, "aGVsbG8gd29ybGQ", "hello world"},
		{"base64 with one character left", encodingBase64, "aGVsbG8gd29ybGQ=x", "hello world"},
		{"base64 joined from two", encodingBase64, "aGVsbG8=IHdvcmxk", "hello world"},
		{"base64 with junk between", encodingBase64, "a!G-V\x00s(bG8g)d29ybG\xffQ=", "hello world"},
		{"base64 with padding first", encodingBase64, "====aGVsbG8=", "hello"},
		{"no base64", encodingBase64, "", ""},
		{"quoted-printable", encodingQP, "caf=C3=A9 =3D=\r\n x", "café = x"},
		{"RFC 2045 §6.7", encodingQP, "Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.", "Now's the time for all folk to come to the aid of their country."},
		{"white space at the end of a line", encodingQP, "a \t \r\nb \t\nc  ", "a\r\nb\nc"},
		{"a soft line break with white space", encodingQP, "a= \t\r\nb=\t\nc=\nd", "abcd"},
		{"lower case hex", encodingQP, "=c3=a9", "é"},
		{"an equals sign that is none", encodingQP, "a=zz=4g=+b==41=", "a=zz=4g=+b=A"},
		{"an escape cut off by a line end", encodingQP, "a=4\r\nb=C \r\nc", "a=4\r\nb=C\r\nc"},
		{"an escape cut off by the end", encodingQP, "a=4", "a=4"},
		{"a soft line break at the end", encodingQP, "a=\r\n", "a"},
		{"an equals sign and white space at the end", encodingQP, "a= ", "a"},
		{"bare CR", encodingQP, "a\rb \rc=\rd=4\re\r", "a\rb \rc=\rd=4\re\r"},
		{"CR CR LF", encodingQP, "a\r\r\nb", "a\r\r\nb"},
		{"much white space is content", encodingQP, "a" + strings.Repeat(" ", 3000) + "b", "a" + strings.Repeat(" ", 3000) + "b"},
		{"identity", encodingIdentity, "a=\r\n \x00", "a=\r\n \x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= len(c.in)+1; n += 1 + n/20 {
				if got := decodePieces(decodeState{enc: c.enc}, c.in, n); got != c.want {
					t.Fatalf("in pieces of %d: got %q, want %q", n, got, c.want)
				}
			}
		})
	}
}

func TestTextHasCRLF(t *testing.T) {
	t.Parallel()
	for n := 1; n < 20; n++ {
		if got := decodePieces(decodeState{enc: encodingIdentity, text: true}, "a\nb\r\nc\r\rd\n\n", n); got != "a\r\nb\r\nc\r\rd\r\n\r\n" {
			t.Errorf("in pieces of %d: %q", n, got)
		}
		s := base64.StdEncoding.EncodeToString([]byte("a\nb\r\n"))
		if got := decodePieces(decodeState{enc: encodingBase64, text: true}, s, n); got != "a\r\nb\r\n" {
			t.Errorf("base64 in pieces of %d: %q", n, got)
		}
	}
}

func TestDecodersReadWhatEncodersWrite(t *testing.T) {
	t.Parallel()
	data := make([]byte, 70_000)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	text := []byte(strings.Repeat("Ein längerer Satz = mit allem. \t\r\n", 3000))
	for _, d := range [][]byte{data, data[:1], data[:2], data[:3], text, nil} {
		var b64, qp bytes.Buffer
		lines := &lineWriter{w: &b64}
		w := base64.NewEncoder(base64.StdEncoding, lines)
		_, _ = w.Write(d)
		_ = w.Close()
		_ = lines.Close()
		q := quotedprintable.NewWriter(&qp)
		q.Binary = true
		_, _ = q.Write(d)
		_ = q.Close()
		for enc, body := range map[string]string{"base64": b64.String(), "quoted-printable": qp.String()} {
			msg := "Content-Type: a/b\r\nContent-Transfer-Encoding: " + enc + "\r\n\r\n" + body
			p := mustParse(t, msg, Limits{})
			r, err := p.Decoder(strings.NewReader(msg))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(iotest.HalfReader(r))
			if err != nil || !bytes.Equal(got, d) || p.DecodedSize != int64(len(d)) {
				t.Errorf("%s of %d bytes: %d bytes, size %d, %v", enc, len(d), len(got), p.DecodedSize, err)
			}
		}
	}
}

func TestDecoderErrors(t *testing.T) {
	t.Parallel()
	msg := "Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n"
	p := mustParse(t, msg, Limits{})
	if _, err := p.Decoder(strings.NewReader(msg)); !errors.Is(err, ErrUnknownEncoding) {
		t.Errorf("unknown encoding: %v", err)
	}
	if s, err := io.ReadAll(p.TextReader(strings.NewReader(msg))); err != nil || string(s) != "begin 644 x\r\n" {
		t.Errorf("its text: %q, %v", s, err)
	}
	msg = "Content-Transfer-Encoding: base64\r\n\r\neA==\r\n"
	p = mustParse(t, msg, Limits{})
	r, err := p.Decoder(strings.NewReader(msg[:len(msg)-4]))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := io.ReadAll(r); string(s) != "x" {
		t.Errorf("a message cut off: %q, %v", s, err)
	}
}
