package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// acmeStatic is testStatic with certificates from an authority, and more lines for
// that.
func acmeStatic(t *testing.T, lines string) string {
	t.Helper()
	s := change(t, testStatic, "\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: mx.crt\n\t\t\t\t\tKeyFile: /etc/mx.key\n",
		"\t\t\tACME: le\n\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- hostkeys/ec.pem\n")
	return s + "ACME:\n\tle:\n\t\tDirectoryURL: https://acme-v02.api.letsencrypt.org/directory\n\t\tContactEmail: ann@☺.example\n" + lines
}

func TestListenersGetCertificatesFromAnAuthority(t *testing.T) {
	t.Parallel()
	s, err := testLoad(acmeStatic(t, "\t\tRenewBefore: 240h\n\t\tPort: 1443\n\t\tExternalAccountBinding:\n\t\t\tKeyID: kid\n\t\t\tKeyFile: eab.key\n"), testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	want := ACME{Name: "le", DirectoryURL: "https://acme-v02.api.letsencrypt.org/directory", ContactEmail: "ann@xn--74h.example",
		RenewBefore: 240 * time.Hour, Port: 1443, IssuerDomainName: "letsencrypt.org", EABKeyID: "kid", EABKeyFile: "/etc/mox/eab.key"}
	if got := s.ACME["le"]; got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	l := s.Listeners[0]
	if l.TLS.ACME != "le" || !slices.Equal(l.TLS.HostKeyFiles, []string{"/etc/mox/hostkeys/ec.pem"}) || l.ACMEPort != 1443 {
		t.Errorf("got listener with %+v, port %d", l.TLS, l.ACMEPort)
	}
	if services := l.Services(); services[len(services)-1] != (Service{"ACME", 1443}) {
		t.Errorf("got services %v", services)
	}
	if hosts := s.CertificateHosts("le"); len(hosts) != 1 || hosts[0].ASCII != "mx.example.org" {
		t.Errorf("got hosts %v", hosts)
	}
	if hosts := s.CertificateHosts(""); len(hosts) != 0 {
		t.Errorf("without an authority: got hosts %v", hosts)
	}
}

func TestNoPortIsOpenForAuthoritiesThatLookIntoDNS(t *testing.T) {
	t.Parallel()
	s, err := testLoad(acmeStatic(t, "\t\tDNS01:\n\t\t\tProvider: rfc2136\n\t\t\tServer: 192.0.2.1:53\n\t\t\tKeyName: mox\n\t\t\tKeyFile: tsig\n"), testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	if s.Listeners[0].ACMEPort != 0 {
		t.Errorf("port is %d", s.Listeners[0].ACMEPort)
	}
	want := DNS01{Provider: "rfc2136", Server: "192.0.2.1:53", KeyName: "mox", KeyAlgorithm: "hmac-sha256", KeyFile: "/etc/mox/tsig"}
	if got := s.ACME["le"].DNS01; *got != want {
		t.Errorf("got %+v", *got)
	}
}

func TestACMEIsChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ lines, from, to, want string }{
		{"", "https://acme", "http://acme", "ACME.le.DirectoryURL"},
		{"", "ann@☺.example", "ann", "ACME.le.ContactEmail"},
		{"", "ann@☺.example", "☺@b.example", "must be ASCII"},
		{"\t\tRenewBefore: 1m\n", "", "", "at least 1h0m0s"},
		{"\t\tPort: 70000\n", "", "", "ACME.le.Port"},
		{"", "\tle:", "\ta/b:", `name "a/b"`},
		{"", "ACME: le", "ACME: other", "Listeners.public.TLS.ACME: there is no ACME.other"},
		{"", "ACME: le", "ACME: le\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: a\n\t\t\t\t\tKeyFile: b", "not both"},
		{"", "\t\t\tACME: le\n", "", "at least one certificate is needed, or an authority"},
		{"", "- hostkeys/ec.pem", "- ", "HostPrivateKeyFiles[0]"},
		{"\t\tExternalAccountBinding:\n\t\t\tKeyID: \n\t\t\tKeyFile: a\n", "", "", "KeyID"},
		{"\t\tDNS01:\n\t\t\tProvider: nobody\n", "", "", `unknown provider "nobody", use one of cloudflare, desec, gandi, hetzner, ovh, porkbun, route53, rfc2136`},
		{"\t\tDNS01:\n\t\t\tProvider: gandi\n", "", "", "DNS01.TokenFile"},
		{"\t\tDNS01:\n\t\t\tProvider: gandi\n\t\t\tTokenFile: a\n\t\t\tKeyName: a\n", "", "", "for rfc2136 only"},
		{"\t\tDNS01:\n\t\t\tProvider: rfc2136\n\t\t\tServer: host\n\t\t\tKeyName: a\n\t\t\tKeyFile: b\n", "", "", "DNS01.Server"},
		{"\t\tDNS01:\n\t\t\tProvider: rfc2136\n\t\t\tServer: host:53\n", "", "", "DNS01.KeyFile"},
		{"\t\tDNS01:\n\t\t\tProvider: rfc2136\n\t\t\tServer: host:53\n\t\t\tKeyName: a\n\t\t\tKeyFile: b\n\t\t\tKeyAlgorithm: md5\n", "", "", "unknown algorithm"},
		{"\t\tDNS01:\n\t\t\tProvider: rfc2136\n\t\t\tServer: host:53\n\t\t\tKeyName: a\n\t\t\tKeyFile: b\n\t\t\tTokenFile: c\n", "", "", "which has KeyFile"},
	} {
		text := acmeStatic(t, tc.lines)
		if tc.from != "" {
			text = change(t, text, tc.from, tc.to)
		}
		_, err := testLoad(text, testDynamic)
		if got := errorLines(t, err); !strings.Contains(got, tc.want) {
			t.Errorf("%q %q: got %q, want %q", tc.lines, tc.to, got, tc.want)
		}
	}
}

// hostKey returns a key in a PEM block.
func hostKey(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestHostKeysAreOfKindsThatAllUnderstand(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		data []byte
		err  string
	}{
		"P-256":              {hostKey(t, ec), ""},
		"P-256 after a note": {append([]byte("A note.\n"), hostKey(t, ec)...), ""},
		"P-256 as SEC 1":     {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER}), ""},
		"RSA":                {hostKey(t, rsaKey), ""},
		"RSA as PKCS #1":     {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}), ""},
		"P-384":              {hostKey(t, large), "curve P-384"},
		"Ed25519":            {hostKey(t, ed), "must be RSA with 2048 bits or ECDSA"},
		"no PEM":             {[]byte("key"), "no private key"},
		"certificate":        {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}), `"CERTIFICATE"`},
		"broken":             {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "private key: "},
	} {
		key, err := ParseHostKey(tc.data)
		if tc.err == "" && (err != nil || key == nil) || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func TestFilesForCertificatesAreOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ec.pem": hostKey(t, ec), "eab": []byte("!"), "empty": nil, "good": []byte("AQID\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	check := func(eab, token string, keys ...string) string {
		s := &Snapshot{
			ACME:      map[string]ACME{"le": {Name: "le", EABKeyID: "kid", EABKeyFile: path(eab), DNS01: &DNS01{TokenFile: path(token)}}},
			Listeners: []Listener{{Name: "public", TLS: &TLS{ACME: "le"}}},
		}
		for _, k := range keys {
			s.Listeners[0].TLS.HostKeyFiles = append(s.Listeners[0].TLS.HostKeyFiles, path(k))
		}
		return errorLines(t, s.CheckFiles())
	}
	if got := check("good", "good", "ec.pem"); got != "" {
		t.Errorf("files are right: %s", got)
	}
	for _, tc := range []struct{ eab, token, key, want string }{
		{"eab", "good", "ec.pem", "has no key in base64url"},
		{"missing", "good", "ec.pem", "ExternalAccountBinding.KeyFile: "},
		{"good", "empty", "ec.pem", "DNS01.TokenFile: "},
		{"good", "missing", "ec.pem", "no such file"},
		{"good", "good", "missing", "HostPrivateKeyFiles[1]: "},
		{"good", "good", "ec.pem", "HostPrivateKeyFiles[1]: there is a key of this kind already"},
	} {
		if got := check(tc.eab, tc.token, "ec.pem", tc.key); !strings.Contains(got, tc.want) {
			t.Errorf("%+v: got %q", tc, got)
		}
	}
}
