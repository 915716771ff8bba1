package dkim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

const (
	edP  = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	rsaP = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi" +
		"Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)

func TestKeyRecordsAreParsedStrictly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		txt    string
		isDKIM bool
		err    string
	}{
		"rsa":                 {"v=DKIM1; k=rsa; p=" + rsaP, true, ""},
		"ed25519":             {"v=DKIM1;k=ed25519;p=" + edP + ";", true, ""},
		"only p":              {"p=" + rsaP, true, ""},
		"space around":        {" v = DKIM1 ; p = " + rsaP[:20] + " " + rsaP[20:] + " ; ", true, ""},
		"revoked":             {"v=DKIM1; p=", true, ""},
		"revoked without v":   {"p=", true, ""},
		"unknown type":        {"v=DKIM1; k=x25519; p=AAAA", true, ""},
		"unknown tags":        {"v=DKIM1; g=*; zz=1; p=" + rsaP, true, ""},
		"no p":                {"v=DKIM1; k=rsa", true, "no tag p="},
		"v not first":         {"p=" + rsaP + "; v=DKIM1", true, "v= is not the first tag"},
		"duplicate":           {"v=DKIM1; p=; p=", true, `second tag "p"`},
		"bad base64":          {"v=DKIM1; p=" + rsaP[:50] + "!", true, "malformed base64"},
		"not a key":           {"v=DKIM1; p=AAAA", true, "malformed rsa key"},
		"short ed25519":       {"v=DKIM1; k=ed25519; p=AAAA", true, "3 bytes instead of the 32"},
		"rsa as ed25519":      {"v=DKIM1; k=ed25519; p=" + rsaP, true, "162 bytes instead of the 32"},
		"malformed list":      {"v=DKIM1; s=email:; p=" + rsaP, true, "tag s="},
		"bad notes":           {"v=DKIM1; n==zz; p=" + rsaP, true, "tag n="},
		"no tag list":         {"v=DKIM1; nonsense", true, `expected "="`},
		"binary":              {"v=DKIM1; p=\x00\xff\x01", true, "expected tag-value"},
		"too long":            {"v=DKIM1; p=" + strings.Repeat("A", MaxRecordLen), true, "longer than 8192 bytes"},
		"other version":       {"v=DKIM2; p=" + rsaP, false, "unknown version"},
		"lower-case version":  {"v=dkim1; p=" + rsaP, false, "unknown version"},
		"spf":                 {"v=spf1 -all", false, "unknown version"},
		"text":                {"hello", false, `expected "="`},
		"empty":               {"", false, "expected tag-name"},
		"other tag list":      {"a=b", false, "no tag p="},
		"without v malformed": {"p=AAAA", false, "malformed rsa key"},
		"other, too long":     {strings.Repeat("A", MaxRecordLen+1), false, "longer than"},
	} {
		r, isDKIM, err := ParseRecord(tc.txt)
		switch {
		case isDKIM != tc.isDKIM:
			t.Errorf("%s: is a key record: %v", name, isDKIM)
		case tc.err == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.err != "" && (err == nil || r != nil || !errors.Is(err, ErrRecordSyntax) || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: got %+v, error %v, expected %q", name, r, err, tc.err)
		}
	}
}

func TestKeyRecordsAreWrittenAndParsedAgain(t *testing.T) {
	t.Parallel()
	for txt, want := range map[string]string{
		"p=" + rsaP: "v=DKIM1;k=rsa;p=" + rsaP,
		"v=DKIM1; h=sha256 : SHA1 ; k=ed25519; n=a=20b=3B c; p=" + edP + "; s=*:email; t=y : s": "v=DKIM1;h=sha256:sha1;k=ed25519;n=a b=3B c;s=*:email;t=y:s;p=" + edP,
		"v=DKIM1; p=": "v=DKIM1;k=rsa;p=",
	} {
		r, _, err := ParseRecord(txt)
		if err != nil || r.String() != want {
			t.Errorf("%q: got %q, %v, expected %q", txt, r, err, want)
			continue
		}
		if again, _, err := ParseRecord(want); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q: got %+v, %v", want, again, err)
		}
	}
	for _, key := range []any{&rsaKey(t).PublicKey, ed25519Key(t).Public()} {
		r, err := NewRecord(key)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := ParseRecord(r.String()); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("got %+v, %v, expected %+v", again, err, r)
		}
	}
	if _, err := NewRecord("key"); !errors.Is(err, ErrKey) {
		t.Errorf("got error %v", err)
	}
}

// RFC 6376 §3.6.1 says that p= has an RSAPublicKey.
func TestRSAKeysAreReadInBothForms(t *testing.T) {
	t.Parallel()
	pkcs1 := "MIGJAoGBAOQeU5CgFPNZGIazlXo2k/eJ1jpaTTxrmqF1HrDLlt04pvaMtCJj8nXoliLRC/H9vJjMI1vdb3XLcW60AIN/PBD8EL97/y4GwJH7LPUvGP48vqUe+owqszesbiGy1PlCO8c70/OjFnJVgvMF87YR4Lcincb7aSvI5MgpP6X8rjDdAgMBAAE="
	a, _, err := ParseRecord("v=DKIM1; p=" + pkcs1)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := ParseRecord("v=DKIM1; p=" + rsaP)
	if err != nil || !reflect.DeepEqual(a.PublicKey, b.PublicKey) {
		t.Errorf("got %v and %v, %v", a.PublicKey, b.PublicKey, err)
	}
	// A key of another type in the form that can have any.
	ec := "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
	if _, _, err := ParseRecord("v=DKIM1; p=" + ec); !errors.Is(err, ErrRecordSyntax) || !strings.Contains(err.Error(), "not an rsa key") {
		t.Errorf("got error %v", err)
	}
}

func TestRecordsFitSignaturesOrNot(t *testing.T) {
	t.Parallel()
	sig := func(alg Algorithm, identity string) *Sig {
		s := &Sig{Algorithm: alg, Domain: mustDomain(t, "example.org")}
		if identity != "" {
			s.Identity = &Identity{nil, mustDomain(t, identity)}
		}
		return s
	}
	for _, tc := range []struct {
		txt  string
		sig  *Sig
		want error
		text string
	}{
		{"p=" + rsaP, sig(RSASHA256, ""), nil, ""},
		{"k=ed25519; p=" + edP, sig(Ed25519SHA256, ""), nil, ""},
		{"p=" + rsaP, sig(Ed25519SHA256, ""), ErrKey, `type "rsa" for algorithm ed25519-sha256`},
		{"k=ed25519; p=" + edP, sig(RSASHA256, ""), ErrKey, `type "ed25519" for algorithm rsa-sha256`},
		{"k=foo; p=AAAA", sig(Algorithm{"foo", "sha256"}, ""), ErrKey, `type "foo"`},
		{"p=", sig(RSASHA256, ""), ErrRevoked, ""},
		{"p=" + rsaP + "; h=sha1", sig(RSASHA256, ""), ErrKey, "tag h="},
		{"p=" + rsaP + "; h=sha1:sha256", sig(RSASHA256, ""), nil, ""},
		{"p=" + rsaP + "; s=tlsrpt", sig(RSASHA256, ""), ErrKey, "tag s="},
		{"p=" + rsaP + "; s=tlsrpt:email", sig(RSASHA256, ""), nil, ""},
		{"p=" + rsaP + "; s=*", sig(RSASHA256, ""), nil, ""},
		{"p=" + rsaP + "; t=s", sig(RSASHA256, "example.org"), nil, ""},
		{"p=" + rsaP + "; t=s", sig(RSASHA256, ""), nil, ""},
		{"p=" + rsaP + "; t=y:s", sig(RSASHA256, "a.example.org"), ErrKey, "flag s"},
		{"p=" + rsaP + "; t=y", sig(RSASHA256, "a.example.org"), nil, ""},
		{rsaRecord(t, 1023), sig(RSASHA256, ""), ErrKey, "1023 bits, fewer than 1024"},
		{rsaRecord(t, 8192), sig(RSASHA256, ""), nil, ""},
		{rsaRecord(t, 8193), sig(RSASHA256, ""), ErrKey, "8193 bits, more than 8192"},
	} {
		r, _, err := ParseRecord(tc.txt)
		if err != nil {
			t.Errorf("%q: %v", tc.txt, err)
			continue
		}
		err = r.Check(tc.sig)
		if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%q: got %v, expected %v, %q", tc.txt, err, tc.want, tc.text)
		}
	}
}

// rsaRecord returns a record with a number of so many bits that looks like a
// modulus.
func rsaRecord(t *testing.T, bits uint) string {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	n.SetBit(n, 0, 1)
	r, err := NewRecord(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	return "p=" + base64.StdEncoding.EncodeToString(r.KeyData)
}

func TestPrivateKeysAreReadFromPEM(t *testing.T) {
	t.Parallel()
	for _, alg := range []Algorithm{RSASHA256, Ed25519SHA256} {
		var pem []byte
		var err error
		if alg == RSASHA256 {
			pem, err = FormatPrivateKey(rsaKey(t))
		} else {
			pem, err = FormatPrivateKey(ed25519Key(t))
		}
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParsePrivateKey(append([]byte("comment\n"), pem...))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AlgorithmOf(k); got != alg || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	}
	if _, err := ParsePrivateKey([]byte("-----BEGIN RSA PRIVATE KEY-----\n" + rfc8463RSA + "\n-----END RSA PRIVATE KEY-----\n")); err != nil {
		t.Errorf("PKCS #1: %v", err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecPEM, err := FormatPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"nothing":     "",
		"public key":  "-----BEGIN PUBLIC KEY-----\n" + rsaP + "\n-----END PUBLIC KEY-----\n",
		"nonsense":    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"no base64":   "-----BEGIN PRIVATE KEY-----\n????\n-----END PRIVATE KEY-----\n",
		"other curve": string(ecPEM),
	} {
		if k, err := ParsePrivateKey([]byte(data)); err == nil {
			t.Errorf("%s: got %T", name, k)
		}
	}
}
