package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// checkLines checks what RFC 5322 §2.1 wants of lines.
func checkLines(t *testing.T, msg string, limit int) {
	t.Helper()
	for i, line := range strings.Split(msg, "\r\n") {
		if len(line) > limit || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %d has %d characters: %q", i+1, len(line), line)
		}
	}
}

func TestHeaderWriter(t *testing.T) {
	t.Parallel()
	var w HeaderWriter
	w.Field("Received")
	w.Add("from mail.example.com (mail.example.com [192.0.2.1])", "by mx.example.org", "with ESMTPS", "id abcdefghijklmnop")
	w.Add("for <someone@example.org>;", "Thu, 1 Jan 2026 00:00:00 +0000")
	w.Field("Authentication-Results")
	w.AddSep(";", "mx.example.org", "spf=pass smtp.mailfrom=example.com", "dkim=pass header.d=example.com", "dmarc=pass header.from=example.com")
	w.Field("X-Empty")
	w.Field("X-Sig")
	w.Add("v=1;")
	w.AddWrap("b=", strings.Repeat("QUJD", 50), ";")
	w.Add("d=x")
	want := crlf(`
Received: from mail.example.com (mail.example.com [192.0.2.1])
	by mx.example.org with ESMTPS id abcdefghijklmnop
	for <someone@example.org>; Thu, 1 Jan 2026 00:00:00 +0000
Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=example.com;
	dkim=pass header.d=example.com; dmarc=pass header.from=example.com
X-Empty:
X-Sig: v=1; b=QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQU
`)
	got := w.String()
	if !strings.HasPrefix(got, want[:strings.Index(want, "X-Sig")+20]) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	checkLines(t, got, foldColumn+1)
	if again := w.String(); again != got {
		t.Error("a second call gives something else")
	}
	h := ParseHeader([]byte(got), Limits{})
	if len(h.Fields) != 4 || strings.Join(strings.Fields(h.Value("X-Sig")), "") != "v=1;b="+strings.Repeat("QUJD", 50)+";d=x" {
		t.Errorf("reads back as %q", h.Value("X-Sig"))
	}
}

func TestHeaderWriterLetsNoFieldsIn(t *testing.T) {
	t.Parallel()
	var w HeaderWriter
	w.Field("Received")
	w.Add("from evil\r\nBcc: x", "a\nb\x00")
	w.AddText("c\r\n\r\nd")
	w.AddWrap("b=", "e\r\nf", "\r\ng")
	if h := ParseHeader([]byte(w.String()), Limits{}); len(h.Fields) != 1 || len(h.Raw) != len(w.Bytes()) {
		t.Errorf("%q", w.String())
	}
}

func TestHeaderWriterKeepsWordsWhole(t *testing.T) {
	t.Parallel()
	var w HeaderWriter
	w.Field("X")
	long := strings.Repeat("y", 200)
	w.Add(long, "a", long)
	if got := w.String(); got != "X: "+long+"\r\n\ta\r\n\t"+long+"\r\n" {
		t.Errorf("%q", got)
	}
}

func compose(t *testing.T, opts ComposeOptions, f func(c *Composer)) string {
	t.Helper()
	var b bytes.Buffer
	c := NewComposer(&b, opts)
	f(c)
	if err := c.Close(); err != nil {
		t.Fatalf("compose: %v", err)
	}
	if c.Size() != int64(b.Len()) {
		t.Errorf("size %d, but wrote %d", c.Size(), b.Len())
	}
	return b.String()
}

func TestComposeText(t *testing.T) {
	t.Parallel()
	got := compose(t, ComposeOptions{}, func(c *Composer) {
		c.Addresses("From", Address{Name: "Jörg", Mailbox: "joerg", Host: "example.com"})
		c.Addresses("To", Address{Mailbox: "a", Host: "b.test"}, Address{Kind: KindGroupStart, Name: "G"}, Address{Mailbox: "c", Host: "d.test"}, Address{Kind: KindGroupEnd})
		c.Addresses("Cc")
		c.Header("Subject", "Welcome")
		c.Date(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		c.Field("Message-ID", "<a@b>")
		c.Text("plain", "hello\nworld")
	})
	want := crlf(`
From: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>
To: a@b.test, G: c@d.test ;
Subject: Welcome
Date: Fri, 2 Jan 2026 03:04:05 +0000
Message-ID: <a@b>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

hello
world
`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestComposedHeadersReadBack(t *testing.T) {
	t.Parallel()
	for _, smtputf8 := range []bool{false, true} {
		for _, subject := range []string{
			"short", strings.Repeat("many words in a subject ", 20), strings.Repeat("viele Wörter ", 30), strings.Repeat("日本語", 100), strings.Repeat("x", 2000),
			"a  b   c", "tab\there", "line\r\nBcc: injected", "=?utf-8?q?literal?=", "é", "",
		} {
			msg := compose(t, ComposeOptions{SMTPUTF8: smtputf8}, func(c *Composer) {
				c.Header("Subject", subject)
				c.Addresses("To", Address{Name: subject, Mailbox: "a", Host: "b.test"}, Address{Mailbox: "c", Host: "d.test"})
				c.Text("plain", "")
			})
			checkLines(t, msg, 998)
			h := ParseHeader([]byte(msg), Limits{})
			want := strings.TrimSpace(cleanText(subject))
			if got := h.Text("Subject"); got != want {
				t.Errorf("SMTPUTF8 %v: %q reads back as %q", smtputf8, want, got)
			}
			if len(h.Fields) != 5 {
				t.Errorf("%d fields in %q", len(h.Fields), msg)
			}
			if !smtputf8 && !isASCII(msg) {
				t.Errorf("not ASCII: %q", msg)
			}
			if l := h.Addresses("To"); len(l) != 2 || l[0].Mailbox != "a" || l[1].Mailbox != "c" {
				t.Errorf("addresses %s in %q", show(l), h.Value("To"))
			}
		}
	}
}

func TestComposedTextReadsBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, encoding string }{
		{"ASCII", "hello\nworld\n", "7BIT"},
		{"CRLF", "hello\r\nworld\r\n", "7BIT"},
		{"some more", strings.Repeat("Grüße an alle, die das hier lesen können\n", 50), "QUOTED-PRINTABLE"},
		{"mostly other", strings.Repeat("日本語のテキスト\n", 50), "BASE64"},
		{"long lines", strings.Repeat("x", 5000) + "\n", "QUOTED-PRINTABLE"},
		{"lines that mbox would change", "From here\n", "QUOTED-PRINTABLE"},
		{"trailing white space", "-- \nSig\n", "7BIT"},
		{"NUL", "a\x00b\n", "QUOTED-PRINTABLE"},
		{"nothing", "", "7BIT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			msg := compose(t, ComposeOptions{}, func(w *Composer) { w.Text("plain", c.text) })
			checkLines(t, msg, maxTextLine)
			p := mustParse(t, msg, Limits{})
			if p.Encoding != c.encoding {
				t.Errorf("encoding %s", p.Encoding)
			}
			want := strings.ReplaceAll(strings.ReplaceAll(c.text, "\r\n", "\n"), "\n", "\r\n")
			if got, err := io.ReadAll(p.TextReader(strings.NewReader(msg))); err != nil || string(got) != want {
				t.Errorf("reads back as %.100q, %v", got, err)
			}
		})
	}
}

func TestComposeMultiparts(t *testing.T) {
	t.Parallel()
	msg := compose(t, ComposeOptions{}, func(c *Composer) {
		_, _ = c.Write([]byte("Received: by x\r\n"))
		c.Header("Subject", "report")
		c.Multipart("report", "report-type=delivery-status")
		c.Part()
		c.Multipart("alternative")
		c.Part()
		c.Text("plain", "text")
		c.Part()
		c.Text("html", "<p>text")
		c.EndMultipart()
		c.Part()
		c.Raw("message/delivery-status", "7bit", strings.NewReader("Reporting-MTA: dns; x\r\n"))
		c.Part()
		c.Raw("message/rfc822", "8bit", strings.NewReader("Subject: é\r\n\r\nbody\r\n"))
		c.Part()
		c.Attachment("application/pdf", "café.pdf", bytes.NewReader(make([]byte, 1000)))
		c.Part()
		c.Attachment("image/gif", "", strings.NewReader("GIF"))
	})
	p := mustParse(t, msg, Limits{})
	checkTree(t, msg, p)
	if got, want := outline(p), "MULTIPART/REPORT(MULTIPART/ALTERNATIVE(TEXT/PLAIN TEXT/HTML) MESSAGE/DELIVERY-STATUS MESSAGE/RFC822[TEXT/PLAIN] APPLICATION/PDF IMAGE/GIF)"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if p.Param("report-type") != "delivery-status" || strings.Count(msg, "MIME-Version") != 1 || !strings.HasPrefix(msg, "Received: by x\r\nSubject: report\r\n") {
		t.Errorf("header %q", msg[:p.BodyStart])
	}
	if s := body(msg, p.Parts[1]); s != "Reporting-MTA: dns; x\r\n" {
		t.Errorf("raw part %q", s)
	}
	pdf := p.Parts[3]
	if pdf.Filename() != "café.pdf" || pdf.DecodedSize != 1000 || pdf.Disposition != "ATTACHMENT" || p.Parts[4].DecodedSize != 3 {
		t.Errorf("attachment %+v", pdf)
	}
	checkLines(t, strings.Replace(msg, "é", "e", 1), 78)
}

func TestComposerErrors(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	c := NewComposer(&b, ComposeOptions{MaxSize: 200})
	c.Text("plain", strings.Repeat("x\n", 200))
	if err := c.Close(); !errors.Is(err, ErrMessageSize) || b.Len() > 200 {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
	broken := errors.New("broken")
	c = NewComposer(writerFunc(func([]byte) (int, error) { return 0, broken }), ComposeOptions{})
	c.Header("Subject", "x")
	c.Text("plain", "x")
	if err := c.Close(); !errors.Is(err, broken) {
		t.Errorf("broken writer: %v", err)
	}
	for name, f := range map[string]func(c *Composer){
		"attachment": func(c *Composer) { c.Attachment("a/b", "", iotest.ErrReader(broken)) },
		"raw":        func(c *Composer) { c.Raw("a/b", "7bit", iotest.ErrReader(broken)) },
	} {
		c = NewComposer(io.Discard, ComposeOptions{})
		f(c)
		if err := c.Close(); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]func(c *Composer){"part": (*Composer).Part, "end": (*Composer).EndMultipart} {
		c = NewComposer(io.Discard, ComposeOptions{})
		f(c)
		if c.Close() == nil {
			t.Errorf("%s outside of a multipart", name)
		}
	}
}

func TestNewMessageID(t *testing.T) {
	t.Parallel()
	a, b := NewMessageID("example.org"), NewMessageID("example.org")
	if a == b || !strings.HasPrefix(a, "<") || !strings.HasSuffix(a, "@example.org>") || len(a) != len("<@example.org>")+22 {
		t.Errorf("%s %s", a, b)
	}
	if id := CanonicalMessageID(a); id != strings.ToLower(a[1:len(a)-1]) {
		t.Errorf("canonical %s", id)
	}
}

func TestCRLFWriter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in, want       string
		bare                 int64
		nonASCII, nul, blank bool
	}{
		{"CRLF", "a: b\r\n\r\nc\r\n", "a: b\r\n\r\nc\r\n", 0, false, false, true},
		{"bare LF", "a: b\n\nc\n", "a: b\r\n\r\nc\r\n", 3, false, false, true},
		{"both", "a: b\r\n\nc\r\r\n", "a: b\r\n\r\nc\r\r\n", 1, false, false, true},
		{"a header alone", "a: b\n", "a: b\r\n", 1, false, false, false},
		{"a body alone", "\nb", "\r\nb", 1, false, false, true},
		{"a body alone with CRLF", "\r\nb", "\r\nb", 0, false, false, true},
		{"bare CR", "a\rb\r", "a\rb\r", 0, false, false, false},
		{"bytes beyond ASCII and NUL", "a: é\x00", "a: é\x00", 0, true, true, false},
		{"nothing", "", "", 0, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= len(c.in)+1; n++ {
				var b bytes.Buffer
				w := NewCRLFWriter(&b)
				for s := c.in; s != ""; s = s[min(n, len(s)):] {
					if k, err := w.Write([]byte(s[:min(n, len(s))])); err != nil || k != min(n, len(s)) {
						t.Fatal(k, err)
					}
				}
				if b.String() != c.want || w.Size() != int64(len(c.want)) || w.BareLF() != c.bare || w.NonASCII() != c.nonASCII || w.NUL() != c.nul || w.HasBlankLine() != c.blank {
					t.Errorf("pieces of %d: %q, %d bytes, %d bare, %v %v %v", n, b.String(), w.Size(), w.BareLF(), w.NonASCII(), w.NUL(), w.HasBlankLine())
				}
			}
		})
	}
	broken := errors.New("broken")
	w := NewCRLFWriter(writerFunc(func([]byte) (int, error) { return 0, broken }))
	if _, err := w.Write([]byte("x")); !errors.Is(err, broken) || w.Size() != 0 {
		t.Errorf("broken writer: %v", err)
	}
	big := strings.Repeat("x\n", 100_000)
	var b bytes.Buffer
	if n, err := NewCRLFWriter(&b).Write([]byte(big)); n != len(big) || err != nil || b.String() != strings.ReplaceAll(big, "\n", "\r\n") {
		t.Errorf("%d bytes, %v", n, err)
	}
}
