package message

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// typicalMessage is a message of 4 KB with trace fields, a text and an HTML part.
func typicalMessage() []byte {
	var b bytes.Buffer
	for i := range 6 {
		fmt.Fprintf(&b, "Received: from mx%d.example.com (mx%d.example.com [192.0.2.%d])\r\n\tby mail.example.org with ESMTPS id abcdefgh%d\r\n\tfor <user@example.org>; Mon, 01 Jan 2024 10:0%d:00 +0000\r\n", i, i, i, i, i)
	}
	b.WriteString("From: =?utf-8?q?J=C3=B6rg?= Example <joerg@example.com>\r\nTo: Alice <alice@example.org>, Bob <bob@example.org>\r\n" +
		"Subject: Re: [list] hello there\r\nDate: Mon, 01 Jan 2024 11:00:00 +0100\r\nMessage-ID: <abc@example.com>\r\nReferences: <a@b> <c@d>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"xyzzy\"\r\n\r\n--xyzzy\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	for b.Len() < 2600 {
		b.WriteString("Hello, this is a line of text with some =C3=A9 encoded text in it=20\r\n")
	}
	b.WriteString("\r\n--xyzzy\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n<html><body>")
	for b.Len() < 4000 {
		b.WriteString("<p>Hello, this is a line of text, with <b>some</b> markup</p>\r\n")
	}
	b.WriteString("\r\n--xyzzy--\r\n")
	return b.Bytes()
}

func BenchmarkNewDigest(b *testing.B) {
	msg := typicalMessage()
	r := bytes.NewReader(msg)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewDigest(r, int64(len(msg)), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAttachment(b *testing.B) {
	for _, enc := range []string{"base64", "8bit", "quoted-printable"} {
		b.Run(enc, func(b *testing.B) {
			msg := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: " + enc + "\r\n\r\n" +
				strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n", 100_000) + "--b--\r\n")
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				if _, err := Parse(bytes.NewReader(msg), int64(len(msg)), Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHostile(b *testing.B) {
	for _, c := range hostileCases() {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(c.size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewDigest(c.r, c.size, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var sink int

func BenchmarkDigest(b *testing.B) {
	msg := typicalMessage()
	d, err := NewDigest(bytes.NewReader(msg), int64(len(msg)), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	name := []byte("References")
	names := [][]byte{[]byte("From"), []byte("To"), []byte("Subject"), []byte("Date"), []byte("Message-ID"), []byte("References"), []byte("Newsgroups")}
	buf := make([]byte, 0, 4<<10)
	for _, f := range []struct {
		name string
		f    func()
	}{
		{"Envelope", func() { sink += len(d.Envelope()) }},
		{"BodyStructure", func() { sink += len(d.BodyStructure()) }},
		{"HasField", func() {
			if d.HasField(name) {
				sink++
			}
		}},
		{"SentDay", func() { day, _ := d.SentDay(); sink += day }},
		{"References", func() {
			for id := range d.References() {
				sink += len(id)
			}
		}},
		{"FilterFields", func() { sink += len(d.FilterFields(buf, names, false)) }},
		{"Tree", func() { p, _ := d.Tree(); sink += len(p.Parts) }},
		{"Valid", func() {
			if d.Valid() == nil {
				sink++
			}
		}},
	} {
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.f()
			}
		})
	}
}

func BenchmarkText(b *testing.B) {
	msg := typicalMessage()
	root, err := Parse(bytes.NewReader(msg), int64(len(msg)), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range root.Parts {
		b.Run(p.Subtype, func(b *testing.B) {
			b.SetBytes(p.Size())
			b.ReportAllocs()
			for b.Loop() {
				m := NewMatcher("not in the text", "nor this")
				if _, err := m.ReadFrom(p.TextReader(bytes.NewReader(msg))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	msg := "Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n", 10_000)
	p, err := Parse(strings.NewReader(msg), int64(len(msg)), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		r, err := p.Decoder(strings.NewReader(msg))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
