package dkim

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
)

// The message of RFC 6376 §A.1, which is also that of RFC 8463 §A.3.
const joe = "From: Joe SixPack <joe@football.example.com>\r\n" +
	"To: Suzie Q <suzie@shopping.example.net>\r\n" +
	"Subject: Is dinner ready?\r\n" +
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n" +
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n" +
	"\r\n" +
	"Hi.\r\n" +
	"\r\n" +
	"We lost the game.  Are you hungry yet?\r\n" +
	"\r\n" +
	"Joe.\r\n"

// RFC 8463 §A.3. The signatures are over relaxed, so that folding does not matter.
const rfc8463Signatures = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n" +
	" d=football.example.com; i=@football.example.com;\r\n" +
	" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n" +
	" subject : date : message-id : from : subject : date;\r\n" +
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n" +
	" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n" +
	" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n" +
	" d=football.example.com; i=@football.example.com;\r\n" +
	" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n" +
	" date : message-id : from : subject : date;\r\n" +
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n" +
	" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n" +
	" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n" +
	" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"

// RFC 8463 §A.2.
func rfc8463Zone() *txtResolver {
	return &txtResolver{txt: map[string][]string{
		"brisbane._domainkey.football.example.com.": {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
		"test._domainkey.football.example.com.": {"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" +
			"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
			"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
			"Ip3G+2kryOTIKT+l/K4w3QIDAQAB"},
	}}
}

func TestExampleOfRFC8463Verifies(t *testing.T) {
	t.Parallel()
	l := verifyText(t, rfc8463Zone(), rfc8463Signatures+joe, VerifyOptions{})
	if got := statuses(l); got != "pass pass" {
		t.Fatalf("got %s: %s", got, errorsOf(l))
	}
	if l[0].Signature.Algorithm != Ed25519SHA256 || l[1].Signature.Algorithm != RSASHA256 || !l[0].RecordAuthentic || l[1].Record.Bits() != 1024 {
		t.Errorf("got %+v", l)
	}
	for name, msg := range map[string]string{
		"body":           strings.Replace(joe, "hungry", "thirsty", 1),
		"subject":        strings.Replace(joe, "dinner", "lunch", 1),
		"second subject": "Subject: b\r\n" + joe,
		"second from":    "From: b@football.example.com\r\n" + joe,
		"second date":    strings.Replace(joe, "\r\n\r\n", "\r\nDate: a\r\n\r\n", 1),
		"empty body":     joe[:strings.Index(joe, "\r\n\r\n")+4],
		"line at end":    joe + "-- \r\n",
	} {
		if got := statuses(verifyText(t, rfc8463Zone(), rfc8463Signatures+msg, VerifyOptions{})); got != "fail fail" {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// Ed25519 signatures are deterministic, so that ours must be that of the RFC if we
// write the field as it does.
func TestExampleOfRFC8463IsSigned(t *testing.T) {
	t.Parallel()
	first, second, _ := strings.Cut(rfc8463Signatures, "\r\nDKIM")
	second = "DKIM" + second
	first += "\r\n"
	for _, field := range []string{first, second} {
		x, err := ReadIndex(strings.NewReader(joe), int64(len(joe)))
		if err != nil {
			t.Fatal(err)
		}
		value, _ := FieldValue([]byte(field))
		sig, tags, err := ParseForm(string(value), formDKIM)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := x.HeaderHash(Relaxed, sig.SignedHeaders, WithoutSignature([]byte(field), tags), -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := SignHash(ed25519Key(t), sum[:])
		if sig.Algorithm == RSASHA256 {
			got, err = SignHash(rsaKey(t), sum[:])
		}
		if err != nil || !bytes.Equal(got, sig.Signature) {
			t.Errorf("%s: got signature %x, %v", sig.Algorithm, got, err)
		}
	}
	if want := unbase64(t, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="); !bytes.Equal(ed25519Key(t).Public().(ed25519.PublicKey), want) {
		t.Errorf("key is not that of the RFC")
	}
}

// RFC 6376 §A.2, as it was when it was signed with the key of §C, which the text of
// the RFC does not show exactly: continuation lines begin with six spaces (the page
// shows five, after its own indentation) and one space, not two, comes after
// "game.". Both count, as the canonicalisation is simple. As printed it does not
// verify.
const (
	rfc6376Fields = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n" +
		"      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n" +
		"      h=Received : From : To : Subject : Date : Message-ID;\r\n" +
		"      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n" +
		"      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n" +
		"      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n" +
		"      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n" +
		"      4bmp/YzhwvcubU4=;\r\n" +
		"Received: from client1.football.example.com  [192.0.2.1]\r\n" +
		"      by submitserver.example.com with SUBMISSION;\r\n" +
		"      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n"
	// RFC 6376 §A.3: what the verifier has added in front.
	rfc6376Added = "X-Authentication-Results: shopping.example.net\r\n" +
		"  header.from=joe@football.example.com; dkim=pass\r\n" +
		"Received: from mout23.football.example.com (192.168.1.1)\r\n" +
		"  by shopping.example.net with SMTP;\r\n" +
		"  Fri, 11 Jul 2003 21:01:59 -0700 (PDT)\r\n"
)

func TestExampleOfRFC6376Verifies(t *testing.T) {
	t.Parallel()
	signed := rfc6376Fields + strings.Replace(joe, "game.  Are", "game. Are", 1)
	for _, msg := range []string{signed, rfc6376Added + signed} {
		l := verifyText(t, rfc6376Zone(), msg, VerifyOptions{})
		if got := statuses(l); got != "pass" {
			t.Fatalf("got %s: %s", got, errorsOf(l))
		}
		s := l[0].Signature
		if s.Identity.String() != "joe@football.example.com" || s.Domain.ASCII != "example.com" || s.BodyCanon != Simple {
			t.Errorf("got %+v", s)
		}
	}
	for name, msg := range map[string]string{
		"as printed":        rfc6376Fields + joe,
		"received on top":   strings.Replace(rfc6376Fields, "client1", "client2", 1) + joe,
		"other white space": strings.Replace(signed, "To: Suzie", "To:  Suzie", 1),
	} {
		if got := statuses(verifyText(t, rfc6376Zone(), msg, VerifyOptions{})); got != "fail" {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func rfc6376Zone() *txtResolver {
	return &txtResolver{txt: map[string][]string{
		// RFC 6376 §C.
		"brisbane._domainkey.example.com.": {"v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ" +
			"KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt" +
			"IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v" +
			"/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi" +
			"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"},
	}}
}
