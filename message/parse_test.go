package message

import (
	"fmt"
	"strings"
	"testing"
)

// complexExample is the complex multipart of RFC 2049 §A (its Appendix A).
var complexExample = crlf(`
MIME-Version: 1.0
From: Nathaniel Borenstein <nsb@nsb.fv.com>
To: Ned Freed <ned@innosoft.com>
Date: Fri, 07 Oct 1994 16:15:05 -0700 (PDT)
Subject: A multipart example
Content-Type: multipart/mixed;
              boundary=unique-boundary-1

This is the preamble area of a multipart message.
Mail readers that understand multipart format
should ignore this preamble.

If you are reading this text, you might want to
consider changing to a mail reader that understands
how to properly display multipart messages.

--unique-boundary-1

  ... Some text appears here ...

[Note that the blank between the boundary and the start
 of the text in this part means no header fields were
 given and this is text in the US-ASCII character set.
 It could have been done with explicit typing as in the
 next part.]

--unique-boundary-1
Content-type: text/plain; charset=US-ASCII

This could have been part of the previous part, but
illustrates explicit versus implicit typing of body
parts.

--unique-boundary-1
Content-Type: multipart/parallel; boundary=unique-boundary-2

--unique-boundary-2
Content-Type: audio/basic
Content-Transfer-Encoding: base64

  ... base64-encoded 8000 Hz single-channel
      mu-law-format audio data goes here ...

--unique-boundary-2
Content-Type: image/jpeg
Content-Transfer-Encoding: base64

  ... base64-encoded image data goes here ...

--unique-boundary-2--

--unique-boundary-1
Content-type: text/enriched

This is <bold><italic>enriched.</italic></bold>
<smaller>as defined in RFC 1896</smaller>

Isn't it
<bigger><bigger>cool?</bigger></bigger>

--unique-boundary-1
Content-Type: message/rfc822

From: (mailbox in US-ASCII)
To: (address in US-ASCII)
Subject: (subject in US-ASCII)
Content-Type: Text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: Quoted-printable

  ... Additional text in ISO-8859-1 goes here ...

--unique-boundary-1--
`)

func TestParseComplexMultipart(t *testing.T) {
	t.Parallel()
	p := mustParse(t, complexExample, Limits{})
	checkTree(t, complexExample, p)
	want := "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN MULTIPART/PARALLEL(AUDIO/BASIC IMAGE/JPEG) TEXT/ENRICHED MESSAGE/RFC822[TEXT/PLAIN])"
	if got := outline(p); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if s := body(complexExample, p.Parts[1]); s != crlf("This could have been part of the previous part, but\nillustrates explicit versus implicit typing of body\nparts.\n") {
		t.Errorf("second part %q", s)
	}
	inner := p.Parts[4].Message
	if inner.Encoding != "QUOTED-PRINTABLE" || inner.Param("charset") != "ISO-8859-1" || !strings.HasPrefix(body(complexExample, inner), "  ... Additional") {
		t.Errorf("nested message %+v", inner)
	}
	if p.Parts[0].Flags&PartTypeGiven != 0 || p.Parts[1].Flags&PartTypeGiven == 0 {
		t.Error("which parts have a type")
	}
}

// The two parts of the example in RFC 2046 §5.1.1: the line end before a boundary is
// not part of the part.
func TestLineEndBeforeBoundaryBelongsToIt(t *testing.T) {
	t.Parallel()
	msg := crlf(`
From: Nathaniel Borenstein <nsb@bellcore.com>
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored, though it
is a handy place for composition agents to include an
explanatory note to non-MIME conformant readers.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
`)
	p := mustParse(t, msg, Limits{})
	checkTree(t, msg, p)
	if len(p.Parts) != 2 || !strings.HasSuffix(body(msg, p.Parts[0]), "linebreak.") || !strings.HasSuffix(body(msg, p.Parts[1]), "linebreak.\r\n") {
		t.Errorf("parts of %s", outline(p))
	}
	if p.Parts[0].Lines != 1 || p.Parts[1].Lines != 2 {
		t.Errorf("%d and %d lines", p.Parts[0].Lines, p.Parts[1].Lines)
	}
}

func TestParseStructure(t *testing.T) {
	t.Parallel()
	const two = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n"
	for _, c := range []struct{ name, msg, want string }{
		{"no header at all", "\nhello\n", "TEXT/PLAIN"},
		{"nothing at all", "", "TEXT/PLAIN"},
		{"no body", "Subject: x\n", "TEXT/PLAIN"},
		{"types are in upper case", "Content-Type: Image/Gif\n\n", "IMAGE/GIF"},
		{"two parts", two, "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN)"},
		{"digest, RFC 2046 §5.1.5",
			"Content-Type: multipart/digest; boundary=b\n\n--b\n\nFrom: x\n\nhello\n--b\nContent-Type: text/html\n\n--b--\n",
			"MULTIPART/DIGEST(MESSAGE/RFC822[TEXT/PLAIN] TEXT/HTML)"},
		{"a message inside is no part of a digest",
			"Content-Type: multipart/digest; boundary=b\n\n--b\n\nContent-Type: message/rfc822\n\nFrom: x\n\nhello\n--b--\n",
			"MULTIPART/DIGEST(MESSAGE/RFC822[MESSAGE/RFC822[TEXT/PLAIN]])"},
		{"message/global, RFC 6532 §3.7", "Content-Type: message/global\n\nSubject: é\n\nx\n", "MESSAGE/GLOBAL[TEXT/PLAIN]"},
		{"an encoded message is a leaf", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKeA==\n", "MESSAGE/RFC822"},
		{"other messages are leaves", "Content-Type: message/delivery-status\n\nx: y\n\n", "MESSAGE/DELIVERY-STATUS"},
		{"no closing boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n", "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN)"},
		{"cut inside a header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/g", "MULTIPART/MIXED(IMAGE/G)"},
		{"no boundary parameter", "Content-Type: multipart/mixed\n\n--b\n\none\n--b--\n", "TEXT/PLAIN"},
		{"an empty boundary", "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\none\n----\n", "TEXT/PLAIN"},
		{"a boundary that never comes", "Content-Type: multipart/mixed; boundary=x\n\n--b\n\none\n--b--\n", "MULTIPART/MIXED(TEXT/PLAIN)"},
		{"only a closing boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b--\n", "MULTIPART/MIXED(TEXT/PLAIN)"},
		{"parts without any line", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n--b--\n", "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN)"},
		{"a header that ends at a boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b--\n", "MULTIPART/MIXED(TEXT/HTML)"},
		{"no blank line before the first boundary", "Content-Type: multipart/mixed; boundary=b\n--b\nContent-Type: text/html\n\nx\n--b--\n", "MULTIPART/MIXED(TEXT/HTML)"},
		{"a parent's boundary ends a child",
			"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--a\nContent-Type: text/html\n\ntwo\n--a--\n",
			"MULTIPART/MIXED(MULTIPART/MIXED(TEXT/PLAIN) TEXT/HTML)"},
		{"a parent's boundary ends a nested message",
			"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n--a\nContent-Type: text/html\n\ntwo\n--a--\n",
			"MULTIPART/MIXED(MESSAGE/RFC822[MULTIPART/MIXED(TEXT/PLAIN)] TEXT/HTML)"},
		{"boundaries that begin with one another",
			"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b1\n\n--b1\n\none\n--b1\nContent-Type: text/html\n\ntwo\n--b1--\n--b\nContent-Type: image/gif\n\n--b--\n",
			"MULTIPART/MIXED(MULTIPART/ALTERNATIVE(TEXT/PLAIN TEXT/HTML) IMAGE/GIF)"},
		{"the longer boundary outside",
			"Content-Type: multipart/mixed; boundary=b1\n\n--b1\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b--\n--b1\nContent-Type: image/gif\n\n--b1--\n",
			"MULTIPART/MIXED(MULTIPART/ALTERNATIVE(TEXT/PLAIN) IMAGE/GIF)"},
		{"a boundary in dashes", "Content-Type: multipart/mixed; boundary=\"--\"\n\n----\n\none\n----\n\ntwo\n------\n", "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN)"},
		{"one boundary at two levels",
			"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b--\n--b\nContent-Type: text/html\n\n--b--\n",
			"MULTIPART/MIXED(MULTIPART/ALTERNATIVE(TEXT/PLAIN) TEXT/HTML)"},
		{"white space and more after a boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--b x\n\ntwo\n--b-- \nepilogue\n", "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN)"},
		{"something else after a boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--bx\n--b-\n--b--x\n --b\n--b--\n", "MULTIPART/MIXED(TEXT/PLAIN)"},
		{"a boundary after the closing one", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n", "MULTIPART/MIXED(TEXT/PLAIN)"},
		{"a boundary with spaces inside and at the end", "Content-Type: multipart/mixed; boundary=\"a b \"\n\n--a b\n\none\n--a b--\n", "MULTIPART/MIXED(TEXT/PLAIN)"},
		{"an encoding on a multipart means nothing, RFC 2045 §6.4", strings.Replace(two, "\n", "\nContent-Transfer-Encoding: base64\n", 1), "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN)"},
		{"a content type that is none", "Content-Type: foo\n\nx\n", "TEXT/PLAIN"},
		{"a content type that is none, in base64", "Content-Type: foo\nContent-Transfer-Encoding: base64\n\neA==\n", "APPLICATION/OCTET-STREAM"},
		{"a content type with rubbish after it", "Content-Type: image/gif =?; \"x\n\nx\n", "IMAGE/GIF"},
		{"an empty content type", "Content-Type:\n\nx\n", "TEXT/PLAIN"},
		{"the first of two content types", "Content-Type: image/gif\nContent-Type: text/html\n\nx\n", "IMAGE/GIF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, msg := range []string{c.msg, crlf(c.msg)} {
				p := mustParse(t, msg, Limits{})
				checkTree(t, msg, p)
				if got := outline(p); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			}
		})
	}
}

func TestBoundaryThatNeverComesKeepsTheText(t *testing.T) {
	t.Parallel()
	msg := crlf("Content-Type: multipart/mixed; boundary=x\n\nhello\n--b\n")
	p := mustParse(t, msg, Limits{})
	if s := body(msg, p.Parts[0]); s != "hello\r\n--b\r\n" {
		t.Errorf("part %q", s)
	}
}

func TestPartFields(t *testing.T) {
	t.Parallel()
	msg := crlf(`
content-type: text/html; charset=utf-8; format=flowed
Content-ID:  <a@b>
Content-Description: =?utf-8?q?x?=
 y
Content-Transfer-Encoding: Quoted-Printable (really)
Content-Disposition: INLINE; filename=x.html
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Language: mi, en (English),
 de-CH
Content-Location: http://x.test/
 y
Content-Transfer-Encoding: base64

x=
`)
	p := mustParse(t, msg, Limits{})
	if body(msg, p) != "x=\r\n" {
		t.Errorf("body %q", body(msg, p))
	}
	p.BodyStart, p.BodyEnd = 0, 0
	want := `&{HeaderStart:0 BodyStart:0 BodyEnd:0 Lines:1 DecodedSize:1 Type:TEXT Subtype:HTML ` +
		`Params:[{Name:charset Value:utf-8 Extended:false} {Name:format Value:flowed Extended:false}] ID:<a@b> Description:=?utf-8?q?x?= y ` +
		`Encoding:QUOTED-PRINTABLE Disposition:INLINE DispositionParams:[{Name:filename Value:x.html Extended:false}] ` +
		`MD5:Q2hlY2sgSW50ZWdyaXR5IQ== Language:[mi en de-CH] Location:http://x.test/y Flags:8 Envelope:[] Parts:[] Message:<nil>}`
	p.Envelope = nil
	if got := fmt.Sprintf("%+v", p); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestEncodingNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"7bit": "7BIT", "8BIT": "8BIT", "Binary": "BINARY", "base64;": "BASE64", `"base64"`: "BASE64", "quoted-printable (x)": "QUOTED-PRINTABLE",
		"7-bit": "7BIT", "8-BIT": "8BIT", "x-uuencode": "X-UUENCODE", "": "7BIT", "\xff": "\ufffd",
	} {
		p := mustParse(t, "Content-Transfer-Encoding: "+in+"\r\n\r\nx", Limits{})
		if p.Encoding != want {
			t.Errorf("%q: got %q", in, p.Encoding)
		}
		if unknown := want == "X-UUENCODE" || want == "\ufffd"; unknown != (p.DecodedSize == -1) {
			t.Errorf("%q: decoded size %d", in, p.DecodedSize)
		}
	}
}

// The window moves over a long message in steps; what is at its edges must not be lost.
func TestParseAcrossWindows(t *testing.T) {
	t.Parallel()
	for shift := range 12 {
		pad := strings.Repeat("x", windowSize+shift)
		for _, enc := range []string{"7bit", "base64", "quoted-printable"} {
			head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: " + enc + "\r\n\r\n"
			for cut := range 6 {
				msg := head + pad[:windowSize-len(head)-cut] + "\r\n--b\r\n\r\n" + pad + "=\r\n\n" + pad + "\r\n--b--\r\n"
				p := mustParse(t, msg, Limits{})
				if outline(p) != "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN)" {
					t.Fatalf("shift %d: %s", shift, outline(p))
				}
				if n := windowSize - len(head) - cut; p.Parts[0].Size() != int64(n) {
					t.Fatalf("first part has %d bytes, want %d", p.Parts[0].Size(), n)
				}
				if cut == 0 {
					checkTree(t, msg, p)
				}
			}
		}
	}
}

func TestPartFlagsTellWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		msg  string
		want PartFlags
	}{
		{"Subject: x\r\n\r\n", 0},
		{"Subject: x\r\n", PartNoBlankLine},
		{"Subject: é\r\n\r\n", PartNonASCII},
		{"Content-Type: text/plain\r\n\r\né", PartTypeGiven},
		{"Subject: " + strings.Repeat("x", 100) + "\r\n\r\nbody", PartCut | PartNoBlankLine},
	} {
		p := mustParse(t, c.msg, Limits{Header: 50})
		if p.Flags != c.want {
			t.Errorf("%.40q: flags %b, want %b", c.msg, p.Flags, c.want)
		}
	}
	long := "Subject: " + strings.Repeat("x", 100) + "\r\nTo: a@b\r\n\r\nbody"
	if p := mustParse(t, long, Limits{Header: 50}); body(long, p) != "body" {
		t.Errorf("the body after a header that is cut is %q", body(long, p))
	}
}

func TestIsAttachment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header string
		want   bool
	}{
		{"Content-Type: text/plain", false},
		{"Content-Type: text/plain; name=x.txt", true},
		{"Content-Type: text/plain; name=x.txt\nContent-Disposition: inline", false},
		{"Content-Type: text/plain\nContent-Disposition: attachment", true},
		{"Content-Type: image/png", true},
		{"Content-Type: image/png\nContent-ID: <x@y>", false},
		{"Content-Type: image/png\nContent-ID: <x@y>\nContent-Disposition: attachment", true},
		{"Content-Type: application/pdf\nContent-Disposition: inline", true},
		{"Content-Type: application/pgp-signature\nContent-Disposition: attachment; filename=x", false},
		{"Content-Type: message/rfc822", true},
		{"Content-Type: message/delivery-status", false},
		{"Content-Type: multipart/mixed; boundary=b", false},
	} {
		if got := mustParse(t, c.header+"\n\nx", Limits{}).IsAttachment(); got != c.want {
			t.Errorf("%q: got %v", c.header, got)
		}
	}
}
