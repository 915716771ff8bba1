package config

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/dkim"
)

func TestNewDomainSignsWithTwoKindsOfKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600))
	f, err := NewDKIM(dir, parseDomain(t, "☺.example"), now)
	if err != nil {
		t.Fatal(err)
	}
	static, dynamic := Static{
		DataDir:    "data",
		LogLevel:   "info",
		Hostname:   "mx.example.org",
		Listeners:  map[string]ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: PostmasterFields{Account: "ann", Mailbox: "Inbox"},
	}, Dynamic{
		Domains:  map[string]DomainFields{"☺.example": {DKIM: f}},
		Accounts: map[string]AccountFields{"ann": {Domain: "☺.example"}},
	}
	if err := Create(dir, static, dynamic); err != nil {
		t.Fatal(err)
	}
	s, err := Load(filepath.Join(dir, StaticName))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := s.Domain(parseDomain(t, "☺.example"))
	var algs []string
	for _, sel := range append(d.Sign, d.Selectors["2027c"], d.Selectors["2027d"]) {
		alg, err := dkim.AlgorithmOf(sel.Key)
		if err != nil {
			t.Fatal(err)
		}
		algs = append(algs, sel.Name.ASCII+"="+alg.String())
		if sel.Expiration != 72*time.Hour || sel.HeaderCanon != dkim.Relaxed || sel.Headers != nil || sel.DontSeal {
			t.Errorf("selector %+v", sel)
		}
	}
	if got := strings.Join(algs, " "); got != "2027a=rsa-sha256 2027b=ed25519-sha256 2027c=rsa-sha256 2027d=ed25519-sha256" || len(d.Selectors) != 4 {
		t.Errorf("got %s", got)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "dkim"))
	if err != nil || len(entries) != 4 || entries[0].Name() != "2027a._domainkey.xn--74h.example.20270101T010000.rsa2048.privatekey.pkcs8.pem" {
		t.Errorf("got %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode()&0007 != 0 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestKeyFileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	f, err := NewSelector(dir, "a", parseDomain(t, "example.org"), key, now)
	if err != nil || !strings.HasSuffix(f.PrivateKeyFile, ".ed25519.privatekey.pkcs8.pem") {
		t.Fatalf("got %+v, %v", f, err)
	}
	if _, err := NewSelector(dir, "a", parseDomain(t, "example.org"), key, now); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
}
