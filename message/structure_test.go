package message

import (
	"strings"
	"testing"
)

func TestEnvelope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, header, want string }{
		{"the message of RFC 9051 §8", crlf(`
Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev2 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
`),
			`("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) ` +
				`(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ` +
				`((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>")`},
		{"nothing", "", emptyEnvelope},
		{"present but empty strings are empty, lists are NIL", "Date:\nSubject: \nFrom:\nTo: \nIn-Reply-To:\nMessage-ID:\n",
			`("" "" NIL NIL NIL NIL NIL NIL "" "")`},
		{"sender and reply-to of their own", "From: a@x\nSender: b@x\nReply-To: C <c@x>, d@x\n",
			`(NIL NIL ((NIL NIL "a" "x")) ((NIL NIL "b" "x")) (("C" NIL "c" "x")(NIL NIL "d" "x")) NIL NIL NIL NIL NIL)`},
		{"an empty reply-to falls back to from", "From: a@x\nReply-To: \n",
			`(NIL NIL ((NIL NIL "a" "x")) ((NIL NIL "a" "x")) ((NIL NIL "a" "x")) NIL NIL NIL NIL NIL)`},
		{"groups", "To: A: b@x, c@x;, D:;, e@x\n",
			`(NIL NIL NIL NIL NIL ((NIL NIL "A" NIL)(NIL NIL "b" "x")(NIL NIL "c" "x")(NIL NIL NIL NIL)(NIL NIL "D" NIL)(NIL NIL NIL NIL)(NIL NIL "e" "x")) NIL NIL NIL NIL)`},
		{"a source route", "Bcc: <@a,@b:c@x>\n", `(NIL NIL NIL NIL NIL NIL NIL ((NIL "@a,@b" "c" "x")) NIL NIL)`},
		{"an address without a domain is no group", "To: root\n", `(NIL NIL NIL NIL NIL ((NIL NIL "root" "")) NIL NIL NIL NIL)`},
		{"strings are unfolded and not decoded", "Subject: =?utf-8?q?a?=\n =?utf-8?q?b?=\n\tc\nFrom: =?utf-8?q?a?= <a@x>\n",
			`(NIL "=?utf-8?q?a?= =?utf-8?q?b?=` + "\t" + `c" (("=?utf-8?q?a?=" NIL "a" "x")) (("=?utf-8?q?a?=" NIL "a" "x")) (("=?utf-8?q?a?=" NIL "a" "x")) NIL NIL NIL NIL NIL)`},
		{"quotes and backslashes", "Subject: a\"b\\c\n", `(NIL "a\"b\\c" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"bytes beyond ASCII are in a literal", "Subject: café\n", "(NIL {5}\r\ncafé NIL NIL NIL NIL NIL NIL NIL NIL)"},
		{"NUL is not sent", "Subject: a\x00b\n", `(NIL "ab" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"the first of several subjects, all recipients", "Subject: a\nSubject: b\nTo: a@x\nTo: b@x\n",
			`(NIL "a" NIL NIL NIL ((NIL NIL "a" "x")(NIL NIL "b" "x")) NIL NIL NIL NIL)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := ParseHeader([]byte(c.header), Limits{})
			got := string(AppendEnvelope(nil, &h))
			if err := checkEnvelope(got); err != nil {
				t.Error(err)
			}
			if got != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestEnvelopeIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10_000)
	list := "G: " + strings.Repeat(long+" <a@b>, ", 60) + ";, H:" + strings.Repeat("c@d,", 2000) + "I: e@f; "
	var b strings.Builder
	for _, name := range []string{"Date", "Subject", "In-Reply-To", "Message-ID"} {
		b.WriteString(name + ": " + long + "\n")
	}
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc"} {
		b.WriteString(name + ": " + list + "\n")
	}
	h := ParseHeader([]byte(b.String()), Limits{Header: 10 << 20})
	env := AppendEnvelope(nil, &h)
	if len(env) > MaxEnvelope {
		t.Errorf("envelope of %d bytes", len(env))
	}
	if err := checkEnvelope(string(env)); err != nil {
		t.Error(err)
	}
}

func TestStringsOnTheWire(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxQuoted+1)
	for in, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"\b`: `"a\"\\b"`, "a\tb\x7f": "\"a\tb\x7f\"", "a\r\nb": "{4}\r\na\r\nb", "é": "{2}\r\né",
		"a\x00b\x00": "{4}\r\na?b?", long: "{1001}\r\n" + long, long[1:]: `"` + long[1:] + `"`,
	} {
		if got := string(appendString(nil, in)); got != want {
			t.Errorf("%.20q: got %.40q", in, got)
		}
	}
}

func TestBodyStructure(t *testing.T) {
	t.Parallel()
	text48 := strings.Repeat(strings.Repeat("x", 45)+"\r\n", 47) + strings.Repeat("y", 2279-47*47-2) + "\r\n"
	for _, c := range []struct{ name, msg, basic, extended string }{
		{"a simple text of RFC 9051 §7.5.2", "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n" + text48,
			`("TEXT" "PLAIN" ("charset" "US-ASCII") NIL NIL "7BIT" 2279 48)`,
			`("TEXT" "PLAIN" ("charset" "US-ASCII") NIL NIL "7BIT" 2279 48 NIL NIL NIL NIL)`},
		{"defaults", "\r\nx\r\n", `("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3 1)`,
			`("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3 1 NIL NIL NIL NIL)`},
		{"text/plain without a charset", crlf("Content-Type: text/plain\n\nx\n"), `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 3 1)`,
			`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 3 1 NIL NIL NIL NIL)`},
		{"no lines for other types", crlf("Content-Type: image/gif; name=\"a b\"\nContent-ID: <i@d>\nContent-Description: d e\nContent-Transfer-Encoding: base64\n\nR0lG\n"),
			`("IMAGE" "GIF" ("name" "a b") "<i@d>" "d e" "BASE64" 6)`,
			`("IMAGE" "GIF" ("name" "a b") "<i@d>" "d e" "BASE64" 6 NIL NIL NIL NIL)`},
		{"a disposition without parameters", crlf("Content-Type: text/plain\nContent-Disposition: attachment\n\n"), `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`,
			`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL ("ATTACHMENT" NIL) NIL NIL)`},
		{"all extension data", crlf("Content-Type: text/plain\nContent-MD5: bWQ1\nContent-Disposition: inline; filename=x; size=3\nContent-Language: en\nContent-Location: http://x\n\n"),
			`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`,
			`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 "bWQ1" ("INLINE" ("filename" "x" "size" "3")) "en" "http://x")`},
		{"comments around a location", crlf("Content-Type: text/plain\nContent-Location: (before) http://x/(y)\n (after) (it)\n\n"), `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`,
			`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL NIL NIL "http://x/(y)")`},
		{"a folded location", crlf("Content-Type: text/plain\nContent-Location: \"http://x/\n y\"\n\n"), `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`,
			`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL NIL NIL "http://x/y")`},
		{"several languages", crlf("Content-Type: text/plain\nContent-Language: en, de\n\n"), `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`,
			`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL NIL ("en" "de") NIL)`},
		{"continued and extended parameters", crlf("Content-Type: text/plain; foo*0=a; foo*1=b; bar*0*=iso-8859-1''caf%E9; bar*1*=%20x\n\n"),
			"(\"TEXT\" \"PLAIN\" (\"foo\" \"ab\" \"bar*\" {7}\r\ncafé x) NIL NIL \"7BIT\" 0 0)",
			"(\"TEXT\" \"PLAIN\" (\"foo\" \"ab\" \"bar*\" {7}\r\ncafé x) NIL NIL \"7BIT\" 0 0 NIL NIL NIL NIL)"},
		{"a multipart", crlf("Content-Type: multipart/mixed; boundary=b\nContent-Disposition: inline\nContent-Language: en\nContent-Location: x\n\n--b\n\n1\n--b\nContent-Type: text/html\n\n2\n--b--\n"),
			`(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1 0)("TEXT" "HTML" NIL NIL NIL "7BIT" 1 0) "MIXED")`,
			`(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1 0 NIL NIL NIL NIL)("TEXT" "HTML" NIL NIL NIL "7BIT" 1 0 NIL NIL NIL NIL) ` +
				`"MIXED" ("boundary" "b") ("INLINE" NIL) "en" "x")`},
		{"a multipart without parts", crlf("Content-Type: multipart/mixed; boundary=b\n\n"),
			`(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0) "MIXED")`,
			`(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0 NIL NIL NIL NIL) "MIXED" ("boundary" "b") NIL NIL NIL)`},
		{"a message in a message", crlf("Content-Type: message/rfc822\n\nSubject: in\nContent-Type: text/html\n\nx\ny\n"),
			`("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 46 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "HTML" NIL NIL NIL "7BIT" 6 2) 5)`,
			`("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 46 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "HTML" NIL NIL NIL "7BIT" 6 2 NIL NIL NIL NIL) 5 NIL NIL NIL NIL)`},
		{"a message in base64 is a leaf", crlf("Content-Type: message/rfc822; name=x.eml\nContent-Transfer-Encoding: base64\n\neA==\n"),
			`("APPLICATION" "OCTET-STREAM" ("name" "x.eml") NIL NIL "BASE64" 6)`,
			`("APPLICATION" "OCTET-STREAM" ("name" "x.eml") NIL NIL "BASE64" 6 NIL NIL NIL NIL)`},
		{"other messages", crlf("Content-Type: message/delivery-status\n\nx\n"), `("MESSAGE" "DELIVERY-STATUS" NIL NIL NIL "7BIT" 3)`,
			`("MESSAGE" "DELIVERY-STATUS" NIL NIL NIL "7BIT" 3 NIL NIL NIL NIL)`},
		{"an unknown encoding", crlf("Content-Type: a/b\nContent-Transfer-Encoding: x-foo\n\n"), `("A" "B" NIL NIL NIL "X-FOO" 0)`, `("A" "B" NIL NIL NIL "X-FOO" 0 NIL NIL NIL NIL)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := mustParse(t, c.msg, Limits{})
			checkTree(t, c.msg, p)
			if got := string(AppendBody(nil, p)); got != c.basic {
				t.Errorf("body\n got %q\nwant %q", got, c.basic)
			}
			if got := string(AppendBodyStructure(nil, p)); got != c.extended {
				t.Errorf("body structure\n got %q\nwant %q", got, c.extended)
			}
		})
	}
}
