package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/dkim"
	"mox/dns"
	"mox/internal/testkit"
)

const testDKIM = `		DKIM:
			Selectors:
				2026a:
					PrivateKeyFile: dkim/rsa.pem
					Expiration: 72h
				2026b:
					Hash: sha256
					Canonicalization:
						HeaderRelaxed: false
						BodyRelaxed: true
					Headers:
						- from
						- Subject
					DontSealHeaders: true
					PrivateKeyFile: dkim/ed25519.pem
				☺.old:
					Canonicalization:
						BodyRelaxed: false
					PrivateKeyFile: dkim/ed25519.pem
			Sign:
				- 2026a
				- 2026b
`

// dkimFiles returns a directory with configuration and keys.
func dkimFiles(t *testing.T, dynamic string) string {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM, err := dkim.FormatPrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPEM, err := dkim.FormatPrivateKey(edKey)
	if err != nil {
		t.Fatal(err)
	}
	return testkit.Dir(t, map[string]string{
		"mox.conf":         testStatic,
		"domains.conf":     dynamic,
		"dkim/rsa.pem":     string(rsaPEM),
		"dkim/ed25519.pem": string(edPEM),
		"dkim/empty.pem":   "",
		"dkim/large.pem":   strings.Repeat("x", maxKeyFile+1),
	})
}

func parseDomain(t *testing.T, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSelectorsAreLoadedWithTheirKeys(t *testing.T) {
	t.Parallel()
	s, err := Load(filepath.Join(dkimFiles(t, withFields(t, testDKIM)), StaticName))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := s.Domain(parseDomain(t, "example.org"))
	if len(d.Selectors) != 3 || len(d.Sign) != 2 {
		t.Fatalf("got %d selectors, %d to sign with", len(d.Selectors), len(d.Sign))
	}
	a, b, old := d.Sign[0], d.Sign[1], d.Selectors["☺.old"]
	if _, ok := a.Key.(*rsa.PrivateKey); !ok || a.Name.ASCII != "2026a" || a.HeaderCanon != dkim.Relaxed || a.BodyCanon != dkim.Relaxed || a.Headers != nil || a.DontSeal || a.Expiration != 72*time.Hour {
		t.Errorf("first selector: %T, %+v", a.Key, a)
	}
	if _, ok := b.Key.(ed25519.PrivateKey); !ok || b.HeaderCanon != dkim.Simple || b.BodyCanon != dkim.Relaxed || strings.Join(b.Headers, " ") != "from Subject" || !b.DontSeal || b.Expiration != 0 {
		t.Errorf("second selector: %T, %+v", b.Key, b)
	}
	if old.Name.ASCII != "xn--74h.old" || old.HeaderCanon != dkim.Relaxed || old.BodyCanon != dkim.Simple {
		t.Errorf("third selector: %+v", old)
	}
}

func TestErrorsOfDKIMNameTheField(t *testing.T) {
	t.Parallel()
	dir := dkimFiles(t, "")
	for name, tc := range map[string]struct{ from, to, want string }{
		"no such key":           {"dkim/rsa.pem", "dkim/none.pem", "Selectors.2026a.PrivateKeyFile: open " + filepath.Join(dir, "dkim/none.pem") + ": no such file or directory"},
		"no key in file":        {"dkim/rsa.pem", "dkim/empty.pem", "Selectors.2026a.PrivateKeyFile: " + filepath.Join(dir, "dkim/empty.pem") + ": not a private key: no PEM block"},
		"large key file":        {"dkim/rsa.pem", "dkim/large.pem", "Selectors.2026a.PrivateKeyFile: " + filepath.Join(dir, "dkim/large.pem") + " is larger than 32768 bytes"},
		"sha1":                  {"Hash: sha256", "Hash: sha1", "Selectors.2026b.Hash: sha1 is not possible"},
		"other hash":            {"Hash: sha256", "Hash: md5", `Selectors.2026b.Hash: "md5" is not a hash`},
		"without From":          {"- from\n", "- To\n", "Selectors.2026b.Headers: From must be among"},
		"field added later":     {"- Subject\n", "- received\n", "Selectors.2026b.Headers[1]: received cannot be signed"},
		"field twice":           {"- Subject\n", "- From\n", "Selectors.2026b.Headers[1]: From is listed twice"},
		"no field name":         {"- Subject\n", "- Sub:ject\n", `Selectors.2026b.Headers[1]: "Sub:ject" is not the name`},
		"negative expiration":   {"72h", "-1h", "Selectors.2026a.Expiration: must be in whole seconds"},
		"fraction of a second":  {"72h", "1.5s", "Selectors.2026a.Expiration: must be in whole seconds"},
		"selector unknown":      {"\t\t\t\t- 2026b\n", "\t\t\t\t- 2026c\n", `Sign[1]: selector "2026c" is not in Selectors`},
		"selector twice":        {"\t\t\t\t- 2026b\n", "\t\t\t\t- 2026a\n", `Sign[1]: selector "2026a" is listed twice`},
		"selector in punycode":  {"☺.old:", "xn--74h.old:", "must be written in unicode and lower case"},
		"selector upper case":   {"☺.old:", "OLD:", `Selectors.OLD: selector "OLD" must be written in unicode and lower case, as "old"`},
		"selector not possible": {"☺.old:", "a..b:", "is not a selector"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(filepath.Join(dir, StaticName), []byte(testStatic), []byte(change(t, withFields(t, testDKIM), tc.from, tc.to)))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "Domains.") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestKeyThatCannotBeReadKeepsTheConfigurationBefore(t *testing.T) {
	t.Parallel()
	dir := dkimFiles(t, withFields(t, testDKIM))
	var log strings.Builder
	h, err := Open(filepath.Join(dir, StaticName), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	reload := func(dynamic string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, DynamicName), []byte(dynamic), 0600); err != nil {
			t.Fatal(err)
		}
		_ = h.Reload() // It is logged.
	}
	org := parseDomain(t, "example.org")
	reload(change(t, withFields(t, testDKIM), "dkim/rsa.pem", "dkim/missing.pem"))
	if d, _ := h.Snapshot().Domain(org); len(d.Sign) != 2 || !strings.Contains(log.String(), "2026a.PrivateKeyFile") {
		t.Errorf("after bad key: %d selectors, log %s", len(d.Sign), log.String())
	}
	reload(change(t, withFields(t, testDKIM), "\t\t\t\t- 2026b\n", ""))
	if d, _ := h.Snapshot().Domain(org); len(d.Sign) != 1 {
		t.Errorf("after change: %d selectors", len(d.Sign))
	}
}

func TestClosestDomainWithSelectorsSignsForTheSystem(t *testing.T) {
	t.Parallel()
	dynamic := withFields(t, testDKIM) // For example.org.
	dynamic = change(t, dynamic, "\tcase.example:\n", "\tdeep.mx.example.org: nil\n\tcase.example:\n")
	s, err := Load(filepath.Join(dkimFiles(t, dynamic), StaticName))
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{
		"example.org":         "example.org",
		"mx.example.org":      "example.org",
		"deep.mx.example.org": "example.org", // Configured, without keys.
		"case.example":        "",
		"org":                 "",
		"example.net":         "",
		"badexample.org":      "",
	} {
		d, ok := s.SignsFor(parseDomain(t, from))
		if d.Domain.ASCII != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v", from, d.Domain.ASCII, ok)
		}
	}
	if d, ok := s.SignsFor(dns.Domain{}); ok {
		t.Errorf("no domain: got %v", d.Domain)
	}
}
