package dkim

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func FuzzParseSignature(f *testing.F) {
	f.Add(good)
	f.Add(good + "; i=a=20@example.net; l=1; q=dns/txt; t=1; x=2; c=relaxed/simple; z=From:a|To:b")
	f.Add("v=1;\r\n a=b")
	f.Fuzz(func(t *testing.T, value string) {
		s, err := ParseSignature(value)
		if err != nil {
			return
		}
		h := s.Header(false)
		v, _ := FieldValue([]byte(h))
		again, err := ParseSignature(string(v))
		if err != nil {
			t.Fatalf("%q written as %q: %v", value, h, err)
		}
		s.CopiedHeaders = nil // Not written.
		if !reflect.DeepEqual(again, s) {
			t.Errorf("%q written as %q: got %+v, expected %+v", value, h, again, s)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DKIM1; k=rsa; p=" + rsaP)
	f.Add("v=DKIM1; h=sha256; k=ed25519; n=a=20b; s=email; t=y:s; p=" + edP)
	f.Add("p=")
	f.Fuzz(func(t *testing.T, txt string) {
		r, isDKIM, err := ParseRecord(txt)
		if err != nil {
			return
		}
		if !isDKIM {
			t.Errorf("%q: not a key record, and no error", txt)
		}
		_ = r.Check(&Sig{Algorithm: RSASHA256})
		again, _, err := ParseRecord(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q written as %q: got %+v, %v, expected %+v", txt, r, again, err, r)
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(rfc8463Signatures + joe))
	f.Add([]byte(rfc6376Fields + joe))
	f.Add([]byte("DKIM-Signature: " + good + "\r\nFrom: a\r\nSubject: b\r\n\r\nc"))
	z := rfc8463Zone()
	z.txt["a.b._domainkey.example.net."] = []string{"p=" + rsaP}
	f.Fuzz(func(t *testing.T, msg []byte) {
		l, err := Verify(t.Context(), nil, z, bytes.NewReader(msg), int64(len(msg)), VerifyOptions{AllowLength: true, RequireSigned: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		if len(l) > MaxSignatures+1 {
			t.Errorf("%d results", len(l))
		}
		for _, r := range l {
			if (r.Status == StatusPass) != (r.Err == nil) || r.Status == "" {
				t.Errorf("got %+v", r)
			}
		}
		sels := []Selector{mustSelector(t, "test", rsaKey(t)), mustSelector(t, "brisbane", ed25519Key(t))}
		h, err := Sign(bytes.NewReader(msg), int64(len(msg)), mustDomain(t, "football.example.com"), sels, SignOptions{})
		if err != nil {
			return
		}
		signed := h + string(msg)
		l, err = Verify(t.Context(), nil, z, strings.NewReader(signed), int64(len(signed)), VerifyOptions{})
		if err != nil || l[0].Status != StatusPass || l[1].Status != StatusPass {
			t.Errorf("%q: signed, and then %+v, %v", msg, l, err)
		}
	})
}

func FuzzCanonicalization(f *testing.F) {
	f.Add("a  b \r\n\r\n", 3)
	f.Add("A: b\r\n c\r\n", 1)
	f.Add("\r\r\n \t\r", 2)
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 1 {
			n = 1
		}
		for _, c := range []Canonicalization{Simple, Relaxed} {
			whole := body(c, text, len(text)+1)
			if pieces := body(c, text, n); pieces != whole {
				t.Errorf("%s body %q: got %q in pieces, %q at once", c, text, pieces, whole)
			}
			if again := body(c, whole, n); again != whole {
				t.Errorf("%s body %q: got %q, and of that %q", c, text, whole, again)
			}
			field := header(c, text, len(text)+1)
			if pieces := header(c, text, n); pieces != field {
				t.Errorf("%s field %q: got %q in pieces, %q at once", c, text, pieces, field)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("A: b\r\n c\r\nd : e\r\n\r\nf"))
	f.Add([]byte("\r\r\n \t\r"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		sameAsMessage(t, msg)
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\n" + rfc8463RSA + "\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParsePrivateKey(data)
		if err != nil {
			return
		}
		if _, err := FormatPrivateKey(k); err != nil {
			t.Errorf("%T: %v", k, err)
		}
	})
}

func FuzzParseTags(f *testing.F) {
	f.Add("a=b; c = d\r\n e ;")
	f.Fuzz(func(t *testing.T, list string) {
		tags, err := ParseTags(list)
		if err != nil {
			return
		}
		for _, tag := range tags {
			if strings.Trim(list[tag.Start:tag.End], " \t\r\n") != tag.Value {
				t.Errorf("%q: tag %+v is not at its place", list, tag)
			}
		}
	})
}

func FuzzParseSelector(f *testing.F) {
	f.Add("20240101")
	f.Add("☺.a_b")
	f.Add("xn--74h")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseSelector(s)
		if err != nil {
			return
		}
		if again, err := ParseSelector(d.ASCII); err != nil || again != d {
			t.Errorf("%q is %q: got %q, %v", s, d, again, err)
		}
	})
}

// The form of ARC-Message-Signature, RFC 8617 §4.1.2.
func FuzzParseForm(f *testing.F) {
	f.Add("i=1; a=rsa-sha256; d=example.net; s=a; h=from; " + bh + "; " + sigB)
	f.Add(good)
	f.Fuzz(func(t *testing.T, value string) {
		s, tags, err := ParseForm(value, Form{Required: "a b bh d h s", Optional: "c l q t x"})
		if err != nil {
			return
		}
		if s.Identity != nil || s.CopiedHeaders != nil || !tags.Has("d") || s.Domain.IsZero() {
			t.Errorf("%q: got %+v", value, s)
		}
		own := string(WithoutSignature([]byte("X:"+value), tags))
		again, err := ParseTags(strings.TrimPrefix(own, "X:"))
		if err != nil || len(again) != len(tags) {
			t.Errorf("%q: without signature %q: %v", value, own, err)
		}
		if b, _ := again.Get("b"); b.Start != b.End {
			t.Errorf("%q: signature left in %q", value, own)
		}
	})
}
