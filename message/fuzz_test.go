package message

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{complexExample, complexMessage, digestMessage, string(typicalMessage()), "", "\n", "--b", "Content-Type: multipart/mixed; boundary=b\n--b\n--b--",
		"Content-Type: message/rfc822\n\nContent-Type: multipart/digest; boundary=\"a b\"\n\n--a b\n\nTo: x:;\n\n--a b--\n",
		"Content-Type: text/html; charset=utf-16\nContent-Transfer-Encoding: base64\n\n/v8APABwAD4=\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, msg string) {
		checkMessage(t, msg)
		// With limits that are reached.
		p, err := Parse(strings.NewReader(msg), int64(len(msg)), Limits{Header: 64, Fields: 3, Depth: 3, Parts: 5, Metadata: 100})
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, msg, p)
		for sub := range p.Walk() {
			r := HTMLReader(strings.NewReader(body(msg, sub)))
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzDigest(f *testing.F) {
	f.Add([]byte(mustDigest(f, digestMessage)))
	f.Add([]byte(mustDigest(f, complexMessage)))
	f.Add([]byte(mustDigest(f, "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := Digest(b)
		useAll(d)
		if d.Valid() != nil {
			return
		}
		// What is valid can be sent and read again.
		root, err := d.Tree()
		if err != nil || !isWireList(d.Envelope()) || !isWireList(d.BodyStructure()) || !isWireList(d.Body()) {
			t.Fatal(err)
		}
		again, err := readTree(appendTree(nil, root), d.Size())
		if err != nil || outline(again) != outline(root) {
			t.Errorf("tree reads back with %v", err)
		}
	})
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{`"Joe Q. Public" <john.q.public@example.com>, x@[192.0.2.1]`, `A:b@c,<@d,@e:f@g>;, (x) h@i (j)`, `"a`, `<<a@b`, "=?utf-8?q?a?= <a@b>", `a@b@c d <e@f> g`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		l := ParseAddressList(value)
		if b := appendAddressList(nil, l, maxRecipientList); checkAddresses(string(b)) != nil {
			t.Errorf("%q: %v", b, checkAddresses(string(b)))
		}
		for _, a := range l {
			if a.Kind != KindMailbox || !isDotAtom(a.Mailbox) || !isDotAtom(a.Host) || a.Route != "" {
				continue
			}
			// A proper address reads back as it was written.
			back := ParseAddressList([]byte(a.format(true)))
			if len(back) != 1 || back[0].Mailbox != a.Mailbox || back[0].Host != a.Host {
				t.Errorf("%+v written as %q reads back as %+v", a, a.format(true), back)
			}
		}
	})
}

func checkAddresses(s string) error {
	c := &wireChecker{s: s}
	c.addresses()
	return c.end()
}

func FuzzDecodeText(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?caf=C3=A9?= x", "=?gb2312?B?xOO6ww==?= =?gb2312?B?xOO6ww==?=", "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "a\xe9", "=?=?=", "=?x?q?a?= =?utf-16?b?/v8A6Q==?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := DecodeText(s)
		if !utf8.ValidString(d) || strings.ContainsAny(d, "\r\n\x00") {
			t.Errorf("%q decodes to %q", s, d)
		}
		if len(d) > 16*len(s)+16 {
			t.Errorf("%d bytes decode to %d", len(s), len(d))
		}
		enc := EncodeText(d)
		if !isASCII(enc) {
			t.Errorf("%q is encoded as %q", d, enc)
		}
		if back := DecodeText(enc); back != d {
			t.Errorf("%q is encoded as %q and reads back as %q", d, enc, back)
		}
		BaseSubject(d)
		CanonicalMessageID(s)
		ParseReferences(s, s)
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{`text/plain; charset="us-ascii" (x)`, `a/b; n*0*=utf-8'en'%E2; n*1=x; n*2*=%AC`, `attachment; filename=my file(1).pdf; x="`, `a / b c=d e = "f\"g"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, params := ParseParams(s)
		if len(params) > MaxParams {
			t.Errorf("%d parameters", len(params))
		}
		for _, p := range params {
			if len(p.Value) > MaxValue || p.Extended && !utf8.ValidString(p.Value) {
				t.Errorf("%+v", p)
			}
			_, back := ParseParams("x; " + FormatParam("name", p.Value))
			if utf8.ValidString(p.Value) && len(p.Value) < MaxValue/3 && (len(back) != 1 || back[0].Value != cleanText(p.Value)) {
				t.Errorf("%q is written as %q and reads back as %+v", p.Value, FormatParam("name", p.Value), back)
			}
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Fri, 21 Nov 1997 09(c):   55  :  06 -0600", "21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06.5+01:00", "Fri Nov 21 09:55:06 EST 1997", "Nov 21, 1997 9.55 PM"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := ParseDate(s)
		if !ok {
			return
		}
		if y := at.Year(); y < 1 || y > 9999 {
			t.Errorf("%q is in the year %d", s, y)
		}
		back, ok := ParseDate(FormatDate(at))
		if at.Year() >= 1000 && (!ok || !back.Equal(at) || back.Format(time.RFC3339) != at.Format(time.RFC3339)) {
			t.Errorf("%q is %v, reads back as %v", s, at, back)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("A: b\r\n c\r\njunk\r\nD : e\n\nbody"))
	f.Add([]byte(digestMessage))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h := ParseHeader(raw, Limits{})
		for _, fl := range h.Fields {
			if !bytes.HasPrefix(h.Raw[fl.Start:fl.End], fl.Name) || strings.ContainsAny(fl.Unfolded(), "\r\n\x00") {
				t.Errorf("%q in %q", fl.Name, h.Raw[fl.Start:fl.End])
			}
		}
		// Fields of some names and of all others are all fields.
		names := [][]byte{[]byte("A"), []byte("subject")}
		with, without := FilterFields(nil, raw, names, false), FilterFields(nil, raw, names, true)
		a, b := ParseHeader(with, Limits{}), ParseHeader(without, Limits{})
		if len(a.Fields)+len(b.Fields) != len(h.Fields) || a.HasBlankLine() != h.HasBlankLine() {
			t.Errorf("%d and %d of %d fields", len(a.Fields), len(b.Fields), len(h.Fields))
		}
	})
}

func FuzzMatcher(f *testing.F) {
	f.Add("Hello Straße", "STRASSE", 3)
	f.Add("xΣΊΣΥΦΟΣ\xffy", "ς", 1)
	f.Fuzz(func(t *testing.T, text, needle string, n int) {
		n = max(n%64, 1)
		m := NewMatcher(needle)
		for piece := range slices.Chunk([]byte(text), n) {
			if _, err := m.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		m.End()
		if want := strings.Contains(Fold(text), Fold(needle)); m.Found(0) != want {
			t.Errorf("%q in %q, in pieces of %d: found %v", needle, text, n, m.Found(0))
		}
	})
}
