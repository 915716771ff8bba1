package dkim

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/smtp"
)

func sign(t *testing.T, msg string, sels []Selector, opts SignOptions) string {
	t.Helper()
	h, err := Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(t, "example.org"), sels, opts)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// parseFields parses signatures in fields that follow one another.
func parseFields(t *testing.T, fields string) []*Sig {
	t.Helper()
	x, err := ReadIndex(strings.NewReader(fields), int64(len(fields)))
	if err != nil {
		t.Fatal(err)
	}
	var l []*Sig
	for _, f := range x.Fields() {
		raw, err := x.Raw(f)
		if err != nil {
			t.Fatal(err)
		}
		value, _ := FieldValue(raw)
		s, err := ParseSignature(string(value))
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, s)
	}
	return l
}

func TestDefaultsOfSigning(t *testing.T) {
	t.Parallel()
	msg := "Received: a\r\nFrom: joe@example.org\r\nTo: b@example.org\r\nTo: c@example.org\r\nSubject: s\r\nList-Unsubscribe: <https://example.org/>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nbody\r\n"
	now := time.Unix(1_700_000_000, 5)
	sels := []Selector{mustSelector(t, "2024a", rsaKey(t)), mustSelector(t, "2024b", ed25519Key(t))}
	sels[1].Expiration = 72 * time.Hour
	h := sign(t, msg, sels, SignOptions{Now: now})
	if strings.Contains(h, "joe") || strings.Contains(h, "i=") {
		t.Errorf("the identity is disclosed: %s", h)
	}
	for line := range strings.SplitSeq(h, "\r\n") {
		if len(line) > 78 {
			t.Errorf("long line %q", line)
		}
	}
	l := parseFields(t, h)
	if len(l) != 2 {
		t.Fatalf("got %d signatures", len(l))
	}
	want := "From From To To To Cc Bcc Reply-To References In-Reply-To Subject Subject Date Message-ID MIME-Version Content-Type Content-Transfer-Encoding List-Unsubscribe List-Unsubscribe-Post"
	for i, s := range l {
		if s.HeaderCanon != Relaxed || s.BodyCanon != Relaxed || s.SignTime != now.Unix() || s.Length != -1 || s.Identity != nil {
			t.Errorf("got %+v", s)
		}
		if got := strings.Join(s.SignedHeaders, " "); got != want {
			t.Errorf("signed %s, expected %s", got, want)
		}
		if s.Selector != sels[i].Name {
			t.Errorf("got selector %s", s.Selector)
		}
	}
	if l[0].Algorithm != RSASHA256 || l[1].Algorithm != Ed25519SHA256 || l[0].ExpireTime != -1 || l[1].ExpireTime != now.Unix()+72*3600 {
		t.Errorf("got %+v, %+v", l[0], l[1])
	}
	if !reflect.DeepEqual(l[0].BodyHash, l[1].BodyHash) {
		t.Errorf("body hashes differ")
	}
	z := withKeys(t, "example.org", sels...)
	if got := statuses(verifyText(t, z, h+msg, VerifyOptions{Now: now})); got != "pass pass" {
		t.Errorf("got %s", got)
	}
	if got := statuses(verifyText(t, z, h+msg, VerifyOptions{Now: now.Add(73 * time.Hour)})); got != "pass permerror" {
		t.Errorf("later: got %s", got)
	}
}

func TestSealingKeepsFieldsFromBeingAdded(t *testing.T) {
	t.Parallel()
	sealed, open := mustSelector(t, "sealed", ed25519Key(t)), mustSelector(t, "open", ed25519Key(t))
	open.DontSeal = true
	h := sign(t, simpleMsg, []Selector{sealed, open}, SignOptions{})
	z := withKeys(t, "example.org", sealed, open)
	for _, field := range []string{"To: x@example.net\r\n", "Reply-To: x@example.net\r\n", "cc: x@example.net\r\n", "Content-Type: text/html\r\n"} {
		if got := statuses(verifyText(t, z, h+field+simpleMsg, VerifyOptions{})); got != "fail pass" {
			t.Errorf("%q: got %s", field, got)
		}
	}
	// What a mailing list adds that changes nothing else.
	for _, field := range []string{"Sender: list@example.net\r\n", "List-Id: <a.example.net>\r\n", "Received: x\r\n", "X-List: a\r\n"} {
		if got := statuses(verifyText(t, z, h+field+simpleMsg, VerifyOptions{})); got != "pass pass" {
			t.Errorf("%q: got %s", field, got)
		}
	}
}

func TestAllCanonicalizationsSignAndVerify(t *testing.T) {
	t.Parallel()
	canons := []Canonicalization{Simple, Relaxed}
	keys := []Selector{mustSelector(t, "r", rsaKey(t)), mustSelector(t, "e", ed25519Key(t))}
	for name, msg := range map[string]string{
		"plain":         simpleMsg,
		"empty body":    "From: a@example.org\r\nSubject: a\r\n\r\n",
		"no body":       "From: a@example.org\r\nSubject: a\r\n",
		"no blank line": "From: a@example.org\r\nSubject: a",
		"no line end":   simpleMsg + "x",
		"empty lines":   simpleMsg + "\r\n\r\n \r\n\r\n",
		"white space":   "From : a@example.org \r\n\t\r\nSUBJECT:\ta \t b\r\n\r\n a \t b \r\n",
		"8 bit":         "From: \u00fc@example.org\r\nSubject: \xff\r\n\r\n\xff\x00\r\n",
		"long lines":    "From: a@example.org\r\nSubject: " + strings.Repeat("a ", 50_000) + "\r\n\r\n" + strings.Repeat("b ", 50_000),
		"bare CR":       "From: a@example.org\r\nSubject: a\rb\r\n\r\na\rb\r\r\n\r",
	} {
		var sels []Selector
		for _, k := range keys {
			for _, h := range canons {
				for _, b := range canons {
					k.HeaderCanon, k.BodyCanon = h, b
					sels = append(sels, k)
				}
			}
		}
		h := sign(t, msg, sels, SignOptions{})
		l := verifyText(t, withKeys(t, "example.org", keys...), h+msg, VerifyOptions{})
		if len(l) != len(sels) || strings.Trim(statuses(l), "pas ") != "" {
			t.Errorf("%s: got %s: %s", name, statuses(l), errorsOf(l))
		}
	}
}

func TestIdentityIsWrittenIfWanted(t *testing.T) {
	t.Parallel()
	local := smtp.Localpart("joe; \u00fc")
	sel := mustSelector(t, "sel", ed25519Key(t))
	id := &Identity{&local, mustDomain(t, "mail.example.org")}
	for _, utf8 := range []bool{false, true} {
		h := sign(t, simpleMsg, []Selector{sel}, SignOptions{Identity: id, UTF8: utf8})
		if s := parseFields(t, h)[0]; !reflect.DeepEqual(s.Identity, id) {
			t.Errorf("got %v", s.Identity)
		}
		if got := statuses(verifyText(t, withKeys(t, "example.org", sel), h+simpleMsg, VerifyOptions{})); got != "pass" {
			t.Errorf("got %s", got)
		}
	}
}

func TestWhatCannotBeSignedIsRefused(t *testing.T) {
	t.Parallel()
	good := mustSelector(t, "sel", ed25519Key(t))
	change := func(f func(s *Selector)) Selector {
		s := good
		f(&s)
		return s
	}
	short := rsaKey(t)
	short.N.Rsh(short.N, 1)
	for name, tc := range map[string]struct {
		msg  string
		sel  Selector
		opts SignOptions
		want error
	}{
		"no From":              {"Subject: a\r\n\r\n", good, SignOptions{}, ErrFrom},
		"two From":             {"From: b@example.org\r\n" + simpleMsg, good, SignOptions{}, ErrFrom},
		"From in the body":     {"\r\nFrom: b@example.org\r\n", good, SignOptions{}, ErrFrom},
		"continuation first":   {" a\r\n" + simpleMsg, good, SignOptions{}, ErrContinuation},
		"no name":              {simpleMsg, change(func(s *Selector) { s.Name = dns.Domain{} }), SignOptions{}, ErrSelector},
		"no key":               {simpleMsg, change(func(s *Selector) { s.Key = nil }), SignOptions{}, ErrKey},
		"short key":            {simpleMsg, change(func(s *Selector) { s.Key = short }), SignOptions{}, ErrKey},
		"unknown canon":        {simpleMsg, change(func(s *Selector) { s.BodyCanon = "nowsp" }), SignOptions{}, ErrSelector},
		"From not signed":      {simpleMsg, change(func(s *Selector) { s.Headers = []string{"To"} }), SignOptions{}, ErrSelector},
		"nothing signed":       {simpleMsg, change(func(s *Selector) { s.Headers = []string{} }), SignOptions{}, ErrSelector},
		"bad name of a field":  {simpleMsg, change(func(s *Selector) { s.Headers = []string{"From", "a:b"} }), SignOptions{}, ErrSelector},
		"expires in the past":  {simpleMsg, change(func(s *Selector) { s.Expiration = -time.Hour }), SignOptions{}, ErrSelector},
		"expires at once":      {simpleMsg, change(func(s *Selector) { s.Expiration = time.Millisecond }), SignOptions{}, ErrSelector},
		"very many recipients": {strings.Repeat("To: a@example.org\r\n", MaxSignedFields) + simpleMsg, good, SignOptions{}, ErrTooMany},
		"identity of another":  {simpleMsg, good, SignOptions{Identity: &Identity{nil, mustDomain(t, "example.net")}}, nil},
	} {
		h, err := Sign(strings.NewReader(tc.msg), int64(len(tc.msg)), mustDomain(t, "example.org"), []Selector{tc.sel}, tc.opts)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: got %q, error %v", name, h, err)
		}
	}
}

func TestNamesAreCountedOnce(t *testing.T) {
	t.Parallel()
	x, err := ReadIndex(strings.NewReader("From: a\r\nTo: b\r\nto: c\r\n\r\n"), 24)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(x.NamesToSign([]string{"From", "To", "FROM", "Cc"}, true), " "); got != "From From To To To Cc" {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(x.NamesToSign([]string{"From", "To", "Cc"}, false), " "); got != "From To To" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkSign(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	both := []Selector{mustSelector(b, "r", key), mustSelector(b, "e", ed25519Key(b))}
	for name, msg := range map[string]string{"4KB": benchMessage(4 << 10), "1MB": benchMessage(1 << 20)} {
		for keys, sels := range map[string][]Selector{"rsa2048": both[:1], "ed25519": both[1:], "both": both} {
			b.Run(name+"/"+keys, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(msg)))
				for b.Loop() {
					if _, err := Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(b, "example.org"), sels, SignOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
