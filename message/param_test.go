package message

import (
	"fmt"
	"strings"
	"testing"
)

func showParams(value string, params []Param) string {
	s := value
	for _, p := range params {
		star := ""
		if p.Extended {
			star = "*"
		}
		s += fmt.Sprintf(";%s%s=%s", p.Name, star, p.Value)
	}
	return s
}

func TestParseParams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		// RFC 2045 §5.1
		{`text/plain; charset=us-ascii (Plain text)`, `text/plain;charset=us-ascii`},
		{`text/plain; charset="us-ascii"`, `text/plain;charset=us-ascii`},
		{`Text / Plain (x) ; Charset = "us\-ascii"`, `Text/Plain;charset=us-ascii`},
		// RFC 2046 §5.1.1
		{`multipart/mixed; boundary="gc0pJq0M:08jU534c0p"`, `multipart/mixed;boundary=gc0pJq0M:08jU534c0p`},
		{`multipart/mixed; boundary=gc0pJq0M:08jU534c0p`, `multipart/mixed;boundary=gc0pJq0M:08jU534c0p`},
		// RFC 2231 §3, §4, §4.1
		{`message/external-body; access-type=URL; URL*0="ftp://"; URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"`,
			`message/external-body;access-type=URL;url=ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar`},
		{`application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A`, `application/x-stuff;title*=This is ***fun***`},
		{`application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn't it!"`,
			`application/x-stuff;title*=This is even more ***fun*** isn't it!`},
		// Without semicolons, as RFC 2231 §4.1 has it printed.
		{`application/x-stuff title*0*=us-ascii'en'a%20 title*1*=b title*2="c"`, `application/x-stuff;title*=a bc`},
		// More of RFC 2231.
		{`a/b; n*1=two; n*0=one`, `a/b;n=onetwo`},
		{`a/b; n*0=one; n*2=three`, `a/b;n=one`},
		{`a/b; n*1=two`, `a/b;n=`},
		{`a/b; n=plain; n*=utf-8''%E2%82%AC`, `a/b;n=plain;n*=€`},
		{`a/b; n*=iso-8859-1''caf%E9`, `a/b;n*=café`},
		{`a/b; n*=''caf%C3%A9`, `a/b;n*=café`},
		{`a/b; n*=caf%C3%A9`, `a/b;n*=café`},
		{`a/b; n*="utf-8'en'%e2%82%ac"`, `a/b;n*=€`},
		{`a/b; n*0*=x-unknown''a%E9; n*1=b`, `a/b;n*=aéb`},
		{`a/b; n*0="a"; n*1*=%20b`, `a/b;n*=a b`},
		{`a/b; n*=utf-8''%zz%4`, `a/b;n*=%zz%4`},
		{`a/b; n*=utf-8''whole; n*0=a; n*1=b`, `a/b;n*=whole`},
		{`a/b; n*x=1; n**=2`, `a/b;n*x=1;n**=2`},
		// What other software writes.
		{`attachment; filename=my file.pdf`, `attachment;filename=my file.pdf`},
		{`attachment; filename=my file(1).pdf; size=3`, `attachment;filename=my file(1).pdf;size=3`},
		{`attachment; filename="a;b.txt"; x=y`, `attachment;filename=a;b.txt;x=y`},
		{`attachment; filename="not closed.txt`, `attachment;filename=not closed.txt`},
		{`attachment; filename="not closed.txt; x=y`, `attachment;filename=not closed.txt;x=y`},
		{`attachment; filename=`, `attachment;filename=`},
		{`attachment; filename="";`, `attachment;filename=`},
		{`text/plain charset=utf-8 format=flowed`, `text/plain;charset=utf-8;format=flowed`},
		{`text/plain; charset=utf-8; ; ;format=flowed;`, `text/plain;charset=utf-8;format=flowed`},
		{`text/plain; charset = "utf-8" ; format`, `text/plain;charset=utf-8`},
		{`text/plain; "charset"=utf-8; a=b`, `text/plain;a=b`},
		{`multipart/mixed; boundary="a\"b"`, `multipart/mixed;boundary=a"b`},
		{`multipart/mixed; boundary=----=_Part_1;type="text/html"`, `multipart/mixed;boundary=----=_Part_1;type=text/html`},
		{`text/html; charset=utf-8; charset=latin1`, `text/html;charset=utf-8`},
		{`; a=b`, `;a=b`},
		{``, ``},
		{`(comment`, ``},
		{`a/b; =x; c=d`, `a/b;c=d`},
	} {
		value, params := ParseParams(c.in)
		if got := showParams(value, params); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestParamLimits(t *testing.T) {
	t.Parallel()
	var s strings.Builder
	s.WriteString("a/b")
	for i := range 1000 {
		fmt.Fprintf(&s, "; p%d=%s", i, strings.Repeat("x", 3000))
	}
	_, params := ParseParams(s.String())
	if len(params) != MaxParams {
		t.Errorf("%d parameters", len(params))
	}
	for _, p := range params {
		if len(p.Value) != MaxValue {
			t.Errorf("%s has %d bytes", p.Name, len(p.Value))
		}
	}
	s.Reset()
	s.WriteString("a/b")
	for i := range 10000 {
		fmt.Fprintf(&s, "; n*%d*=utf-8''%%E2%%82%%AC", i)
	}
	_, params = ParseParams(s.String())
	if len(params) != 1 || len(params[0].Value) > MaxValue {
		t.Errorf("%d parameters", len(params))
	}
}

func TestFormatParamReadsBack(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"a.txt":      "filename=a.txt",
		"a b.txt":    `filename="a b.txt"`,
		`a"b\c.txt`:  `filename="a\"b\\c.txt"`,
		"café.txt":   "filename*=utf-8''caf%C3%A9.txt",
		"a;b=c.txt":  `filename="a;b=c.txt"`,
		"":           `filename=""`,
		"a\r\nb.txt": `filename="a  b.txt"`,
	} {
		got := FormatParam("filename", value)
		if got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
		_, params := ParseParams("attachment; " + got)
		if len(params) != 1 || params[0].Value != cleanText(value) {
			t.Errorf("%s reads as %v", got, params)
		}
	}
}

func TestFilename(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, want string }{
		{`Content-Disposition: attachment; filename="a.txt"`, "a.txt"},
		{`Content-Disposition: attachment; filename*=utf-8''caf%C3%A9.txt; filename=cafe.txt`, "café.txt"},
		{`Content-Disposition: attachment; filename="=?utf-8?q?caf=C3=A9.txt?="`, "café.txt"},
		{`Content-Disposition: attachment; filename="=?utf-8?B?Y2Fmw6kudHh0?="`, "café.txt"},
		{`Content-Type: text/plain; name=b.txt`, "b.txt"},
		{"Content-Type: text/plain; name=b.txt\r\nContent-Disposition: inline", "b.txt"},
		{"Content-Type: text/plain; name=b.txt\r\nContent-Disposition: inline; filename=c.txt", "c.txt"},
		{"Content-Type: text/plain; name*0*=iso-8859-1''caf%E9; name*1=\".txt\"", "café.txt"},
		{"Content-Disposition: attachment; filename=\"caf\xe9.txt\"", "café.txt"},
		{`Content-Disposition: attachment; filename*=utf-8''a%0D%0Ab%00`, "a  b "},
		{`Content-Type: text/plain`, ""},
	} {
		if got := mustParse(t, c.header+"\r\n\r\n", Limits{}).Filename(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.header, got, c.want)
		}
	}
}
