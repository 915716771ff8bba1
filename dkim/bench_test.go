package dkim

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"strings"
	"testing"
)

// benchMessage returns a message of about so many bytes, as common ones are.
func benchMessage(size int) string {
	h := "Received: from mail.example.net (mail.example.net [192.0.2.1])\r\n\tby mx.example.org with ESMTPS id 1234567890\r\n\tfor <b@example.org>; Fri, 20 Nov 2026 10:00:00 +0100\r\n" +
		"Message-ID: <20261120100000.1234@example.org>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\nFrom: A Name <a@example.org>\r\nTo: B Name <b@example.org>\r\n" +
		"Subject: The subject of this message\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	line := "Lines of text have words of some letters each, with spaces between them.\r\n"
	return h + strings.Repeat(line, (size-len(h))/len(line))
}

func BenchmarkVerify(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	both := []Selector{mustSelector(b, "r", key), mustSelector(b, "e", ed25519Key(b))}
	ten := make([]Selector, MaxSignatures)
	for i := range ten {
		ten[i] = both[i%2]
	}
	for name, msg := range map[string]string{"4KB": benchMessage(4 << 10), "1MB": benchMessage(1 << 20)} {
		for keys, sels := range map[string][]Selector{"rsa2048": both[:1], "ed25519": both[1:], "both": both, "ten": ten} {
			h, err := Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(b, "example.org"), sels, SignOptions{})
			if err != nil {
				b.Fatal(err)
			}
			z := withKeys(b, "example.org", both...)
			signed := h + msg
			b.Run(name+"/"+keys, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(signed)))
				for b.Loop() {
					z.questions = z.questions[:0]
					l, err := Verify(b.Context(), nil, z, strings.NewReader(signed), int64(len(signed)), VerifyOptions{})
					if err != nil || l[0].Status != StatusPass {
						b.Fatal(l, err)
					}
				}
			})
		}
	}
}

// BenchmarkVerify50MB shows that memory does not depend on the size.
func BenchmarkVerify50MB(b *testing.B) {
	const size = 50 << 20
	sel := mustSelector(b, "sel", ed25519Key(b))
	sels := make([]Selector, MaxSignatures)
	for i := range sels {
		sels[i] = sel
		if i%2 == 0 {
			sels[i].BodyCanon = Simple
		}
	}
	pattern := benchMessage(4 << 10)
	h, err := Sign(filler{simpleMsg, pattern, size}, size, mustDomain(b, "example.org"), sels, SignOptions{})
	if err != nil {
		b.Fatal(err)
	}
	signed := filler{h + simpleMsg, pattern, size + int64(len(h))}
	z := withKeys(b, "example.org", sel)
	b.ReportAllocs()
	b.SetBytes(signed.size)
	for b.Loop() {
		l, err := Verify(b.Context(), nil, z, signed, signed.size, VerifyOptions{})
		if err != nil || l[9].Status != StatusPass {
			b.Fatal(l, err)
		}
	}
}

func BenchmarkBodyWriter(b *testing.B) {
	for name, text := range map[string]string{"text": benchMessage(64 << 10), "base64": strings.Repeat(strings.Repeat("A", 76)+"\r\n", 840)} {
		for _, c := range []Canonicalization{Simple, Relaxed} {
			b.Run(name+"/"+string(c), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				w := NewBodyWriter(io.Discard, c)
				p := []byte(text)
				for b.Loop() {
					w.Write(p)
				}
			})
		}
	}
}
