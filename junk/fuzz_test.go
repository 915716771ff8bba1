package junk

import (
	"strings"
	"testing"
	"unicode/utf8"

	"mox/message"
)

// Whatever a message is, it has tokens within the limits, in UTF-8, each once and in
// order; and they do not depend on line ends.
func FuzzRead(f *testing.F) {
	f.Add(text("Buy now! http://www.example.com/x?y don't 免费 $100 20%"))
	f.Add("From: \"a@b.com\" <x@y.example>\nContent-Type: text/html; charset=iso-8859-1\n\n<a href=\"http://x.example\">www.y.example</a><img src=cid:1>")
	f.Add("Subject: =?utf-8?q?x?=\nContent-Type: multipart/mixed; boundary=b\nList-Id: x\n\n--b\n\nwww.\n--b\nContent-Transfer-Encoding: base64\n\naHR0cDovLw==\n--b--\n-- \nfoot")
	f.Add("\n\nww.www.x http:// ://\xff\xfe\u0301\u200b'’")
	f.Fuzz(func(t *testing.T, msg string) {
		tokens := readRaw(t, msg)
		if tokens.Len() > MaxTokens {
			t.Fatalf("%d tokens", tokens.Len())
		}
		for i := range tokens.Len() {
			if s := tokens.Text(i); s == "" || !utf8.ValidString(s) {
				t.Fatalf("token %q", s)
			}
			if i > 0 && tokens.list[i-1].hash >= tokens.list[i].hash {
				t.Fatalf("tokens are not in order, or not once")
			}
		}
		if strings.Contains(msg, "\r") || strings.Contains(msg, "boundary") {
			return
		}
		if got := readRaw(t, strings.ReplaceAll(msg, "\n", "\r\n")).String(); len(msg) < 1000 && got != tokens.String() {
			t.Fatalf("with CRLF: %q, with LF: %q", got, tokens.String())
		}
	})
}

// Words are found in any text, in linear time.
func FuzzWords(f *testing.F) {
	f.Add("Hello, don't WORLD! 免费 ﬁ ß $1,000.00 99%")
	f.Add("http://a.b.example/c?d www.e.example \u0301\u0301x\u200b")
	f.Fuzz(func(t *testing.T, s string) {
		b := &builder{}
		l := links{b: b}
		w := wordReader{b: b, pairs: true}
		l.text([]byte(s), &w)
		if n := len(b.list); n > MaxTokens {
			t.Fatalf("%d tokens", n)
		}
		_ = message.Fold(b.finish().String())
	})
}

// What is not a prior is refused, and one that is read can be asked.
func FuzzReadPrior(f *testing.F) {
	f.Add(string(priorFile[:100]))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ReadPrior(strings.NewReader(s))
		if (p == nil) == (err == nil) {
			t.Fatalf("got %v and %v", p, err)
		}
	})
}
