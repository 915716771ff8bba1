package message

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func textOf(t *testing.T, msg string) string {
	t.Helper()
	s, err := io.ReadAll(iotest.OneByteReader(mustParse(t, msg, Limits{}).TextReader(strings.NewReader(msg))))
	if err != nil {
		t.Errorf("text: %v", err)
	}
	return string(s)
}

func TestTextReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, header, body, want string }{
		{"ASCII", "Content-Type: text/plain", "hello\r\n", "hello\r\n"},
		{"UTF-8", "Content-Type: text/plain; charset=utf-8", "héllo €", "héllo €"},
		{"latin1", "Content-Type: text/plain; charset=iso-8859-1", "h\xe9llo", "héllo"},
		{"a charset in quotes", "Content-Type: text/plain; charset=\"'ISO-8859-1'\"", "h\xe9llo", "héllo"},
		{"gb2312 in base64", "Content-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: base64", "xOO6ww==", "你好"},
		{"iso-2022-jp", "Content-Type: text/plain; charset=ISO-2022-JP", "\x1b$BF|K\\\x1b(B", "日本"},
		{"UTF-16 with a byte order mark", "Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64", "/v8AaAAKAGk=", "h\ni"},
		{"quoted-printable", "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable", "caf=C3=\r\n=A9", "café"},
		{"no charset, but UTF-8", "Content-Type: text/plain", "é", "é"},
		{"no charset and no UTF-8", "Content-Type: text/plain", "caf\xe9 \x80\xff", "café €ÿ"},
		{"an unknown charset", "Content-Type: text/plain; charset=x-foo", "caf\xe9", "café"},
		{"UTF-8 that is not", "Content-Type: text/plain; charset=utf-8", "caf\xe9 é\xc3", "café éÃ"},
		{"HTML", "Content-Type: text/html; charset=iso-8859-1", "<p>caf\xe9 &amp; caf&eacute;</p>", "café & café\n"},
		{"no type", "Subject: x", "hello", "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := textOf(t, c.header+"\r\n\r\n"+c.body); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHTMLReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"plain text", "hello  world\r\n again", "hello world again"},
		{"entities", "a &lt;b&gt; &#233;&nbsp;x", "a <b> é x"},
		{"blocks make lines", "<p>a</p><p>b<br>c</p><div><div>d</div></div>e", "a\nb\nc\nd\ne"},
		{"no words run together in tables", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc\n"},
		{"inline elements", "a<b>b</b>c <i> d</i>", "abc d"},
		{"white space around blocks", " <p> a </p> <p> b </p> ", "a\nb\n"},
		{"scripts, styles and titles", "<head><title>t</title><style>p { x: <b> }</style></head><script>if (a<b) { x() }</script>text", "text"},
		{"a script that is not closed", "a<script>b", "a"},
		{"svg, math and template", "a<svg><text>b</text></svg><template>c<p>d</template><svg/>e", "ae"},
		{"the body shows what came before and was not closed", "<template><body>x", "x"},
		{"comments and doctype", "<!doctype html><!-- a --><![CDATA[b]]>c<!-- > d", "c"},
		{"images", `a<img src=x alt="a  cat">b<img alt=""><img>c`, "a a cat b c"},
		{"preformatted text", "<pre>a\n  b\n\nc</pre>d", "a\n  b\n\nc\nd"},
		{"lists and headings", "<h1>a</h1><ul><li>b<li>c</ul>", "a\nb\nc\n"},
		{"broken tags", "a<b<i>c</>d<>e< f <3", "acd<>e< f <3"},
		{"upper case", "<P>a<BR>b<SCRIPT>c</SCRIPT>d", "a\nbd"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				got, err := io.ReadAll(HTMLReader(r))
				if err != nil || string(got) != c.want {
					t.Errorf("got %q, %v, want %q", got, err, c.want)
				}
			}
		})
	}
}

func TestHTMLReaderPassesLongTokens(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*maxHTMLToken)
	for _, c := range []struct{ name, in, want string }{
		{"a tag", "a <img src='" + long + "'> b", "a b"},
		{"a comment", "a <!-- " + long + "> b", "a b"},
		{"a script", "a <script>" + long + "<p></script> b", "a b"},
		{"text", "a " + long + " b", "a " + long + " b"},
		{"a tag that does not end", "a <b " + long, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := io.ReadAll(HTMLReader(strings.NewReader(c.in)))
			if err != nil || string(got) != c.want {
				t.Errorf("got %d bytes, %.40q, %v", len(got), got, err)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(HTMLReader(io.MultiReader(strings.NewReader("<p>a"), iotest.ErrReader(broken)))); !errors.Is(err, broken) {
		t.Errorf("error of the source: %v", err)
	}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	alternative := "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n%1\r\n--b\r\nContent-Type: text/html\r\n\r\n%2\r\n--b--\r\n"
	alt := func(a, b string) string {
		return strings.NewReplacer("%1", a, "%2", b).Replace(alternative)
	}
	plain := func(s string) string { return "Subject: x\r\n\r\n" + strings.ReplaceAll(s, "\n", "\r\n") }
	for _, c := range []struct{ name, msg, want string }{
		{"lines become one", plain("hello\n\n  world \t again\n"), "hello world again"},
		{"a signature is left out", plain("hello\n-- \nJoe\n"), "hello"},
		{"quoted text is marked, with the line before it", plain("On Monday, Joe wrote:\n> hi\n>> ho\n\nanswer\n> more\n> more\n\nbye\n"), "[...] answer [...] bye"},
		{"the line before may be two", plain("hi\n\nOn Monday, 1 January 2024 at 10:00, Joe\n<joe@example.org> wrote:\n> hi\n"), "hi [...]"},
		{"in other languages", plain("Am Montag schrieb Joe:\n> hi\nja\n"), "[...] ja"},
		{"the original message below", plain("yes\n-----Original Message-----\nFrom: x\n"), "yes [...]"},
		{"the original message below a line", plain("yes\n________________________________\nFrom: x\n"), "yes [...]"},
		{"only quoted text", plain("> hi\n"), ""},
		{"nothing", plain(""), ""},
		{"PGP", plain("-----BEGIN PGP MESSAGE-----\n\nhQEM\n"), ""},
		{"invisible characters", plain("a\u200b\u034f\u00ad\u200cb\u00a0\u00a0c\x00\x1bd"), "ab cd"},
		{"text before HTML", alt("text", "<p>html</p>"), "text"},
		{"HTML if there is no text", alt(" \r\n ", "<p>html</p><blockquote>old</blockquote>"), "html [...]"},
		{"HTML with styles", "Content-Type: text/html\r\n\r\n<style>" + strings.Repeat("p{}", 20_000) + "</style><p>a<p>b", "a b"},
		{"no attachments", "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nhello", ""},
		{"an image", "Content-Type: image/gif\r\n\r\nGIF", ""},
		{"the second part, if the first has nothing", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/gif\r\n\r\nx\r\n--b\r\n\r\nhello\r\n--b--\r\n", "hello"},
		{"what is signed, and not the signature", "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: image/gif\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsignature\r\n--b--\r\n", ""},
		{"nothing of what is encrypted", "Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nVersion: 1\r\n--b--\r\n", ""},
		{"charset and encoding", "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n8NLJ18XU", "Привет"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Preview(strings.NewReader(c.msg), mustParse(t, c.msg, Limits{}))
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestPreviewIsBounded(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		strings.Repeat("é", 5000), strings.Repeat("é ", 5000), strings.Repeat("日本語\r\n", 5000), strings.Repeat("a\r\n> b\r\n", 5000),
		strings.Repeat(" ", 100_000) + "x", strings.Repeat("👩\u200d🚀", 500), strings.Repeat("\r\n", 100_000),
	} {
		msg := "Content-Type: text/plain; charset=utf-8\r\n\r\n" + body
		got, err := Preview(strings.NewReader(msg), mustParse(t, msg, Limits{}))
		if n := len([]rune(got)); err != nil || n > MaxPreview || strings.ContainsAny(got, "\r\n") {
			t.Errorf("%.10q: %d characters, %v", body, n, err)
		}
	}
	msg := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\n> x\r\n", 100) + "--b\r\n\r\nhello\r\n"
	root := mustParse(t, msg, Limits{})
	if got, err := Preview(strings.NewReader(msg), root); got != "" || err != nil {
		t.Errorf("after %d parts without text: %q, %v", maxPreviewParts, got, err)
	}
	broken := errors.New("broken")
	if _, err := Preview(readerAt{iotest.ErrReader(broken)}, root); !errors.Is(err, broken) {
		t.Errorf("error of reading: %v", err)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Hello": "hello", "hello": "hello", "ÄÖÜ": "äöü", "Straße": "straße", "ΣΊΣΥΦΟΣ": "σίσυφοσ", "Σίσυφος": "σίσυφοσ", "ПРИВЕТ": "привет",
		"\u212a": "k", "ſ": "s", "Ǆ": "ǆ", "日本": "日本", "a\xff": "a\ufffd", "": "",
	} {
		if got := Fold(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if again := Fold(Fold(in)); again != Fold(in) {
			t.Errorf("%q: folding again changes it to %q", in, again)
		}
	}
}

func TestMatcher(t *testing.T) {
	t.Parallel()
	text := "Hello WORLD, ΣΊΣΥΦΟΣ und Straße\r\nlast"
	needles := []string{"world", "Σίσυφος", "STRAßE", "LAST", "absent", "", "hello world", "\r\nl"}
	want := []bool{true, true, true, true, false, true, true, true}
	for n := 1; n <= len(text); n++ {
		m := NewMatcher(needles...)
		for s := text; s != ""; s = s[min(n, len(s)):] {
			if k, err := m.Write([]byte(s[:min(n, len(s))])); k != min(n, len(s)) || err != nil {
				t.Fatal(k, err)
			}
		}
		m.End()
		for i := range needles {
			if m.Found(i) != want[i] {
				t.Errorf("pieces of %d: %q found %v", n, needles[i], m.Found(i))
			}
		}
		if m.Done() {
			t.Error("done without the absent one")
		}
	}
}

func TestMatcherEndsTexts(t *testing.T) {
	t.Parallel()
	m := NewMatcher("abcd", "\ufffd")
	for _, s := range []string{"xab", "cdx", "é"[:1]} {
		if _, err := m.ReadFrom(strings.NewReader(s)); err != nil {
			t.Fatal(err)
		}
	}
	if m.Found(0) {
		t.Error("a match over the end of a text")
	}
	if !m.Found(1) {
		t.Error("a character cut off by the end is U+FFFD")
	}
	if m = NewMatcher(); !m.Done() {
		t.Error("without needles all are found")
	}
	m = NewMatcher("x")
	n, err := m.ReadFrom(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errors.New("not read"))))
	if n != 1 || err != nil || !m.Done() {
		t.Errorf("read %d, %v", n, err)
	}
	broken := errors.New("broken")
	if _, err := NewMatcher("y").ReadFrom(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error of reading: %v", err)
	}
	m = NewMatcher("y")
	if _, err := m.Write(make([]byte, 1<<20)); err != nil || cap(m.buf) > 64<<10 {
		t.Errorf("keeps %d bytes", cap(m.buf))
	}
}
