package dkim

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"mox/smtp"
)

const (
	bh   = "bh=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
	sigB = "b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR"
)

func TestExampleSignatureOfRFC6376IsParsed(t *testing.T) {
	t.Parallel()
	// RFC 6376 §3.5, with the syntax of all tags.
	s, err := ParseSignature(" v=1; a=rsa-sha256; d=example.net; s=brisbane;\r\n" +
		"   c=simple; q=dns/txt; i=@eng.example.net;\r\n" +
		"   t=1117574938; x=1118006938;\r\n" +
		"   h=from:to:subject:date;\r\n" +
		"   z=From:foo@eng.example.net|To:joe@example.com|\r\n" +
		"    Subject:demo=20run|Date:July=205,=202005=203:44:08=20PM=20-0700;\r\n" +
		"   " + bh + ";\r\n   " + sigB)
	if err != nil {
		t.Fatal(err)
	}
	want := &Sig{
		Algorithm: RSASHA256, Signature: unbase64(t, sigB[2:]), BodyHash: []byte("12345678901234567890123456789012"),
		HeaderCanon: Simple, BodyCanon: Simple, Domain: mustDomain(t, "example.net"), SignedHeaders: []string{"from", "to", "subject", "date"},
		Identity: &Identity{nil, mustDomain(t, "eng.example.net")}, Length: -1, QueryMethods: []string{"dns/txt"}, Selector: mustDomain(t, "brisbane"),
		SignTime: 1117574938, ExpireTime: 1118006938,
		CopiedHeaders: []string{"From:foo@eng.example.net", "To:joe@example.com", "Subject:demo run", "Date:July 5, 2005 3:44:08 PM -0700"},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, expected %+v", s, want)
	}
}

// good is a signature with only what is required.
const good = "v=1; a=rsa-sha256; d=example.net; s=a.b; h=from; " + bh + "; " + sigB

func TestSignaturesAreParsedStrictly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ value, err string }{
		"minimal":                  {good, ""},
		"semicolon at end":         {good + ";", ""},
		"semicolon and space":      {good + "; \r\n ", ""},
		"two semicolons":           {good + ";;", "expected tag-name"},
		"no tags":                  {"", "expected tag-name"},
		"unknown tag":              {good + "; X_1=a b", ""},
		"duplicate":                {good + "; d=example.net", `second tag "d"`},
		"duplicate unknown":        {good + "; x1=; x1=", `second tag "x1"`},
		"case of tags counts":      {good + "; D=other", ""},
		"no v":                     {strings.Replace(good, "v=1; ", "", 1), "no tag v="},
		"no a":                     {strings.Replace(good, "a=rsa-sha256; ", "", 1), "no tag a="},
		"no d":                     {strings.Replace(good, "d=example.net; ", "", 1), "no tag d="},
		"no s":                     {strings.Replace(good, "s=a.b; ", "", 1), "no tag s="},
		"no h":                     {strings.Replace(good, "h=from; ", "", 1), "no tag h="},
		"no bh":                    {strings.Replace(good, bh+"; ", "", 1), "no tag bh="},
		"no b":                     {strings.Replace(good, "; "+sigB, "", 1), "no tag b="},
		"version 2":                {strings.Replace(good, "v=1", "v=2", 1), "unknown version"},
		"version 01":               {strings.Replace(good, "v=1", "v=01", 1), "unknown version"},
		"empty b":                  {strings.Replace(good, sigB, "b=", 1), "tag b=: empty"},
		"b no base64":              {strings.Replace(good, sigB, "b=****", 1), "tag b=: malformed base64"},
		"b cut":                    {good[:len(good)-1], "tag b=: malformed base64"},
		"short bh":                 {strings.Replace(good, bh, "bh=MTIz", 1), "tag bh=: 3 bytes"},
		"bh of sha1":               {strings.Replace(good, "sha256", "sha1", 1), "tag bh=: 32 bytes"},
		"bh of another":            {strings.Replace(good, "sha256", "sha3", 1), ""},
		"malformed algorithm":      {strings.Replace(good, "rsa-sha256", "rsa", 1), "malformed algorithm"},
		"algorithm with digit":     {strings.Replace(good, "rsa-sha256", "1rsa-sha256", 1), "malformed algorithm"},
		"empty h":                  {strings.Replace(good, "h=from", "h=", 1), "empty element"},
		"empty name in h":          {strings.Replace(good, "h=from", "h=from:", 1), "empty element"},
		"space in name in h":       {strings.Replace(good, "h=from", "h=fr om", 1), "malformed"},
		"folded h":                 {strings.Replace(good, "h=from", "h=\r\n from\r\n\t:to \r\n :\r\n cc", 1), ""},
		"line end without space":   {strings.Replace(good, "h=from", "h=\r\nfrom", 1), "expected white space after line end"},
		"control character":        {strings.Replace(good, "h=from", "h=from\x01", 1), "expected tag-value"},
		"domain with comment":      {strings.Replace(good, "example.net", "a.example(.b.example", 1), "tag d="},
		"domain with dot":          {strings.Replace(good, "example.net", "example.net.", 1), "tag d="},
		"ip address":               {strings.Replace(good, "example.net", "192.0.2.1", 1), "tag d="},
		"domain no idn":            {strings.Replace(good, "example.net", "xn--zzzzzzzz99999.example", 1), "tag d="},
		"domain bad utf-8":         {strings.Replace(good, "example.net", "\xff.example", 1), "tag d="},
		"domain bidi":              {strings.Replace(good, "example.net", "\u05d0a\u05d0.example", 1), "tag d="},
		"domain of a zero joiner":  {strings.Replace(good, "example.net", "\u200d.example", 1), "tag d="},
		"long domain":              {strings.Replace(good, "example.net", strings.Repeat("a.", 127)+"example", 1), "tag d="},
		"selector no idn":          {strings.Replace(good, "s=a.b", "s=xn--zzzzzzzz99999", 1), "tag s="},
		"domain with underscore":   {strings.Replace(good, "example.net", "_a.example.net", 1), ""},
		"selector of digits":       {strings.Replace(good, "s=a.b", "s=20240101", 1), ""},
		"selector with dots":       {strings.Replace(good, "s=a.b", "s=a..b", 1), "tag s="},
		"selector with a slash":    {strings.Replace(good, "s=a.b", "s=a/b", 1), "tag s="},
		"identity":                 {good + "; i=a=20b=40c@x.example.net", "tag i="},
		"identity with localpart":  {good + "; i=\"a=20b\"@x.example.net", ""},
		"identity of same domain":  {good + "; i=@EXAMPLE.net", ""},
		"identity of parent":       {good + "; i=@net", "domain is not d= or below it"},
		"identity of other":        {good + "; i=@notexample.net", "domain is not d= or below it"},
		"identity without at":      {good + "; i=example.net", `no "@"`},
		"identity bad quoting":     {good + "; i==4@example.net", "malformed quoted-printable"},
		"identity lower hex":       {good + "; i==4a@example.net", "malformed quoted-printable"},
		"length":                   {good + "; l=" + strings.Repeat("9", 76), ""},
		"negative length":          {good + "; l=-1", "not a number"},
		"empty length":             {good + "; l=", "not a number"},
		"time":                     {good + "; t=1.5", "not a number"},
		"expires when signed":      {good + "; t=5; x=5", "expired before it was signed"},
		"expires before signed":    {good + "; t=5; x=4", "expired before it was signed"},
		"expires only":             {good + "; x=4", ""},
		"unknown canonicalization": {good + "; c=nowsp/relaxed", ""},
		"bad canonicalization":     {good + "; c=/relaxed", "malformed canonicalization"},
		"other query method":       {good + "; q=dns/txt : http/x", ""},
		"copy without colon":       {good + "; z=from", "malformed copy"},
		"too long":                 {good + "; y=" + strings.Repeat("a", MaxSignatureLen), "input longer than"},
		"too many tags":            {good + manyTags(MaxTags), "more than 50 tags"},
		"too many names":           {strings.Replace(good, "h=from", "h=from"+strings.Repeat(":a", MaxSignedFields), 1), "more than 1000 names"},
	} {
		s, err := ParseSignature(tc.value)
		switch {
		case tc.err == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.err != "" && (err == nil || !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: got %+v, error %v, expected %q", name, s, err, tc.err)
		}
	}
}

func manyTags(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("; y" + strings.Repeat("a", i) + "=")
	}
	return b.String()
}

func TestValuesOfTagsAreDecoded(t *testing.T) {
	t.Parallel()
	s, err := ParseSignature(strings.NewReplacer("s=a.b", "s=☺", "example.net", "☺.Example", "a=rsa", "a=RSA", "h=from", "h=From : TO").Replace(good) +
		"; i=j\u00fcrgen=3D\r\n x@a.xn--74h.example; c=Relaxed/SIMPLE; l=10; t=9999999999999")
	if err != nil {
		t.Fatal(err)
	}
	if s.Algorithm != RSASHA256 || s.Selector.ASCII != "xn--74h" || s.Domain.ASCII != "xn--74h.example" || s.Length != 10 || s.SignTime != math.MaxInt64 ||
		s.HeaderCanon != Relaxed || s.BodyCanon != Simple || *s.Identity.Localpart != "j\u00fcrgen=x" || s.Identity.Domain.Name() != "a.☺.example" ||
		!s.Signs("from") || !s.Signs("To") || s.Signs("cc") {
		t.Errorf("got %+v", s)
	}
}

func TestSignaturesAreWrittenFolded(t *testing.T) {
	t.Parallel()
	l := smtp.Localpart("j\u00fcrgen; =")
	s := &Sig{
		Algorithm: Ed25519SHA256, Signature: bytes.Repeat([]byte{1}, 64), BodyHash: bytes.Repeat([]byte{2}, 32), HeaderCanon: Relaxed, BodyCanon: Simple,
		Domain: mustDomain(t, "☺.example"), SignedHeaders: []string{"From", "From", "To", "Subject", "List-Unsubscribe-Post", "Content-Transfer-Encoding", "Content-Type"},
		Identity: &Identity{&l, mustDomain(t, "mail.☺.example")}, Length: 3, QueryMethods: []string{"dns/txt"}, Selector: mustDomain(t, "a"), SignTime: 1, ExpireTime: 20,
	}
	want := "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=xn--74h.example;\r\n" +
		"\ts=a; i=\"j=C3=BCrgen=3B=20=3D\"@mail.xn--74h.example; l=3; q=dns/txt; t=1;\r\n" +
		"\tx=20;\r\n" +
		"\th=From:From:To:Subject:List-Unsubscribe-Post:Content-Transfer-Encoding:\r\n" +
		"\tContent-Type; bh=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=; b=AQEBAQEB\r\n" +
		"\tAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBA\r\n" +
		"\tQEBAQ==\r\n"
	if got := s.Header(false); got != want {
		t.Errorf("got:\n%s\nexpected:\n%s", got, want)
	}
	for _, utf8 := range []bool{false, true} {
		h := s.Header(utf8)
		if strings.Contains(h, "☺") != utf8 || strings.Contains(h, "\u00fc") != utf8 {
			t.Errorf("UTF-8 %v: got %q", utf8, h)
		}
		value, _ := FieldValue([]byte(h))
		if back, err := ParseSignature(string(value)); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("parsed again: got %+v, %v", back, err)
		}
	}
}

func TestSignatureIsTakenOutOfItsField(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"DKIM-Signature: a=b; b= x\r\n y ; c=d\r\n": "DKIM-Signature: a=b; b=; c=d",
		"DKIM-Signature: a=b;b=x\r\n":               "DKIM-Signature: a=b;b=",
		"DKIM-Signature: b\t=\r\n x;\r\n":           "DKIM-Signature: b\t=;",
		"DKIM-Signature: bh=b=;b=x\n":               "DKIM-Signature: bh=b=;b=",
		"Dkim-signature : c=d":                      "Dkim-signature : c=d",
	} {
		value, _ := FieldValue([]byte(in))
		tags, err := ParseTags(string(value))
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := string(WithoutSignature([]byte(in), tags)); got != want {
			t.Errorf("%q: got %q, expected %q", in, got, want)
		}
	}
}
