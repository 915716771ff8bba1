package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

const dkimMessage = "From: ann@example.org\nTo: bob@example.net\nSubject: hello\n\ntext\n"

// The record of RFC 8463 §A.2.
const dkimEdRecord = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

func TestDKIMKeysAreMadeAndSignAndVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	zone := ""
	signed := dkimMessage
	for selector, gen := range map[string][]string{"ed": {"gened25519"}, "rsa": {"genrsa"}, "short": {"genrsa", "-bits", "1024"}} {
		key := mox(t, "", append([]string{"dkim"}, gen...)...)
		key.want(t, 0, "-----BEGIN PRIVATE KEY-----\n", "")
		path := filepath.Join(dir, selector+".pem")
		if err := os.WriteFile(path, []byte(key.out), 0600); err != nil {
			t.Fatal(err)
		}
		txt := mox(t, key.out, "dkim", "txt", selector, "example.org")
		txt.want(t, 0, selector+`._domainkey.example.org. TXT `, "")
		for _, s := range regexp.MustCompile(`"[^"]*"`).FindAllString(txt.out, -1) {
			if len(s) > 257 {
				t.Errorf("string of %d bytes", len(s)-2)
			}
		}
		if split := strings.Contains(txt.out, "("); split != (selector == "rsa") {
			t.Errorf("%s: got %q", selector, txt.out)
		}
		zone += txt.out
		r := mox(t, signed, "dkim", "sign", "-expiration", "1h", selector, "Example.ORG", path)
		r.want(t, 0, "DKIM-Signature: v=1; a=", "")
		if !strings.HasSuffix(r.out, strings.ReplaceAll(dkimMessage, "\n", "\r\n")) {
			t.Errorf("got %q", r.out)
		}
		signed = r.out
	}
	server := dnsServer(t, zone)
	r := mox(t, signed, server, "dkim", "verify")
	r.want(t, 0, "domain example.org, selector rsa, rsa-sha256, relaxed/relaxed\n", "")
	if strings.Count(r.out, "pass\n") != 3 || strings.Count(r.out, "DNSSEC: verified") != 3 || !strings.Contains(r.out, "key: rsa with 2048 bits\n") ||
		!strings.Contains(r.out, "rsa with 1024 bits, better are 2048") || !strings.Contains(r.out, "key: ed25519\n") || strings.Count(r.out, "  expires: ") != 3 {
		t.Errorf("got %s", r.out)
	}
	// As it is in a file with line feeds.
	path := filepath.Join(dir, "message.eml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(signed, "\r\n", "\n")), 0600); err != nil {
		t.Fatal(err)
	}
	if again := mox(t, "", server, "dkim", "verify", path); again != r {
		t.Errorf("from a file: got %+v", again)
	}
	mox(t, strings.Replace(signed, "text", "other", 1), server, "dkim", "verify").want(t, 0, "fail: dkim: body hash differs\n", "")
}

func TestDKIMSignHasFlags(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte(mox(t, "", "dkim", "gened25519").out), 0600); err != nil {
		t.Fatal(err)
	}
	r := mox(t, dkimMessage, "dkim", "sign", "-only", "-canon", "simple/relaxed", "-headers", "from, subject", "-dontseal", "20260101", "☺.example", path)
	r.want(t, 0, "DKIM-Signature: v=1; a=ed25519-sha256; c=simple/relaxed;", "")
	if !strings.Contains(r.out, "d=xn--74h.example;") || !strings.Contains(r.out, "s=20260101;") || !strings.Contains(r.out, "h=from:subject;") || strings.Contains(r.out, "x=") || strings.Contains(r.out, "From: ann") {
		t.Errorf("got %q", r.out)
	}
	for _, tc := range []struct {
		in   string
		args []string
		code int
		err  string
	}{
		{dkimMessage, []string{"sel", "example.org"}, 2, "usage: mox dkim sign"},
		{dkimMessage, []string{"a b", "example.org", path}, 2, `"a b" is not a selector`},
		{dkimMessage, []string{"sel", "exa mple.org", path}, 2, "malformed name"},
		{dkimMessage, []string{"-canon", "simple", "sel", "example.org", path}, 2, "not two names"},
		{dkimMessage, []string{"-canon", "a/b", "sel", "example.org", path}, 1, "canonicalization a/b"},
		{dkimMessage, []string{"-headers", "to", "sel", "example.org", path}, 1, "From is not among"},
		{dkimMessage, []string{"-expiration", "-1h", "sel", "example.org", path}, 1, "expiration -1h"},
		{"Subject: a\n\n", []string{"sel", "example.org", path}, 1, "exactly one From"},
		{dkimMessage, []string{"sel", "example.org", path + "x"}, 1, "no such file"},
		{dkimMessage, []string{"sel", "example.org", path, path + "x"}, 1, "no such file"},
		{dkimMessage, []string{"sel", "example.org", os.DevNull}, 1, `no PEM block ("mox dkim genrsa" makes a private key)`},
	} {
		mox(t, tc.in, append([]string{"dkim", "sign"}, tc.args...)...).want(t, tc.code, "", tc.err)
	}
}

func TestDKIMCommandsLookUpAndRefuse(t *testing.T) {
	t.Parallel()
	weak := "v=DKIM1; h=sha1; s=tlsrpt; t=y:s; n=some=20=1B[31mnotes; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMVAkyeJDSvF9khOL7IEoNbCDH3n4+aV2Q7Hvy0LtyXjBqhkR9m+7oZQ+JSAQDhIDYGTPgAyFmVMqk3kUR9yz5UCAwEAAQ=="
	server := dnsServer(t, `
ed._domainkey.example.org TXT "`+dkimEdRecord+`"
revoked._domainkey.example.org TXT "v=DKIM1; p="
weak._domainkey.example.org TXT "`+weak+`"
other._domainkey.example.org TXT "v=DKIM1; k=x25519; p=AAAA"
bad._domainkey.example.org TXT "v=DKIM1; p=!"
two._domainkey.example.org TXT "`+dkimEdRecord+`"
two._domainkey.example.org TXT "v=DKIM1; p="
spf._domainkey.example.org TXT "v=spf1 -all"
20260101._domainkey.xn--74h.example TXT "`+dkimEdRecord+`"
ed._domainkey.insecure.example TXT "`+dkimEdRecord+`"
`)
	for _, tc := range []commandCase{
		{"dkim|lookup|ed|example.org", 0, "ed._domainkey.example.org TXT \"" + dkimEdRecord + "\"\nDNSSEC: verified\n\nkey: ed25519\n", ""},
		{"dkim|lookup|ed|insecure.example.", 0, "DNSSEC: not verified", ""},
		{"dkim|lookup|20260101|☺.example", 0, "key: ed25519\n", ""},
		{"dkim|lookup|revoked|example.org", 0, "key: revoked", ""},
		{"dkim|lookup|other|example.org", 0, "key: of unknown type x25519", ""},
		{"dkim|lookup|weak|example.org", 0, "key: rsa with 512 bits, too few for any signature to be good\n", ""},
		{"dkim|lookup|weak|example.org", 0, "hash: sha1\n  so no signature can be good", ""},
		{"dkim|lookup|weak|example.org", 0, "services: tlsrpt\n  so it is not for e-mail\n", ""},
		{"dkim|lookup|weak|example.org", 0, "flag y: ", ""},
		{"dkim|lookup|weak|example.org", 0, "flag s: ", ""},
		{"dkim|lookup|weak|example.org", 0, `notes: some \x1b[31mnotes`, ""},
		{"dkim|lookup|none|example.org", 1, "", "no key record: none._domainkey.example.org (permerror, DNSSEC: verified)"},
		{"dkim|lookup|bad|example.org", 1, "", "bad._domainkey.example.org: dkim: malformed key record: tag p=: malformed base64"},
		{"dkim|lookup|two|example.org", 1, "", "several key records"},
		{"dkim|lookup|spf|example.org", 1, "", "only other TXT records"},
		{"dkim|lookup|ed|_domainkey", 1, "", "no key record"},
		{"dkim|lookup|ed", 2, "", "usage: mox dkim lookup selector domain"},
		{"dkim|lookup|a..b|example.org", 2, "", `"a..b" is not a selector`},
		{"dkim|lookup|ed|192.0.2.1", 2, "", "ip address"},
		{"dkim|verify|" + os.DevNull, 0, "none: the message has no DKIM signature\n", ""},
		{"dkim|verify|a|b", 2, "", "usage: mox dkim verify"},
		{"dkim|verify|/nonexistent", 1, "", "no such file"},
		{"dkim|gened25519|x", 2, "", `unexpected argument "x"`},
		{"dkim|genrsa|x", 2, "", `unexpected argument "x"`},
		{"dkim|genrsa|-bits|1023", 2, "", "cannot have 1023 bits"},
		{"dkim|genrsa|-bits|100000", 2, "", "cannot have 100000 bits"},
		{"dkim|txt|x", 2, "", "usage: mox dkim txt"},
		{"dkim|txt", 1, "", `no PEM block ("mox dkim genrsa" makes one)`},
	} {
		tc.check(t, server)
	}
	for in, want := range map[string]string{
		"DKIM-Signature: v=1; a=\x1b[31m\nFrom: a\n\n": "neutral: dkim: malformed signature: expected tag-value at column 9",
		"DKIM-Signature: v=1; a=rsa-sha1; d=example.org; s=ed; h=from; bh=2jmj7l5rSw0yVb/vlWAYkK/YBwk=; b=AAAA\nFrom: a\n\n":                                                            "permerror: dkim: unsupported algorithm: rsa-sha1 is historic",
		"DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=ed; l=1; i=a@b.example.org; t=1; h=from:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\nFrom: a\n\n": "only the first 1 bytes",
		strings.Repeat("DKIM-Signature: x\n", 12) + "\n": "policy: dkim: more than is looked at: 2 signatures after the first 10",
	} {
		mox(t, in, server, "dkim", "verify").want(t, 0, want, "")
	}
}

func TestDKIMVerifyTakesSharedSamples(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/auth/dkim")
	server := dnsServer(t, "brisbane._domainkey.football.example.com TXT \""+dkimEdRecord+"\"\n"+
		"test._domainkey.football.example.com TXT \""+strings.TrimSpace(string(testkit.ReadFile(t, filepath.Join(dir, "test.txt"))))+"\"\n")
	r := mox(t, "", server, "dkim", "verify", filepath.Join(dir, "rfc6376.signed.msg"))
	r.want(t, 0, "pass\n", "")
	if strings.Count(r.out, "pass\n") != 2 {
		t.Errorf("got %s", r.out)
	}
}
