package authdb

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
)

var ctxbg = context.Background()

// certificate returns a self-signed certificate in DER.
func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t *testing.T, account, name string) TLSPublicKey {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewTLSPublicKey(certificate(t, priv), account, account+"@example.org", name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysStayUntilTheyAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := Open(ctxbg, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	phone, laptop, other := newKey(t, "ann", "phone"), newKey(t, "ann", "laptop"), newKey(t, "bob", "")
	for _, k := range []TLSPublicKey{phone, laptop, other} {
		if err := d.AddTLSPublicKey(ctxbg, k); err != nil {
			t.Fatal(err)
		}
	}
	again := phone
	again.Account = "bob"
	if err := d.AddTLSPublicKey(ctxbg, again); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "ann") {
		t.Errorf("adding a key twice: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(ctxbg, Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	k, err := d.TLSPublicKey(ctxbg, phone.Fingerprint)
	if err != nil || k.Account != "ann" || k.LoginAddress != "ann@example.org" || k.Name != "phone" || k.Type != "ed25519" || k.Created.IsZero() {
		t.Errorf("got %+v, %v", k, err)
	}
	names := func(account string) (s string) {
		l, err := d.TLSPublicKeys(ctxbg, account)
		if err != nil {
			t.Error(err)
		}
		for _, k := range l {
			s += k.Account + "/" + k.Name + " "
		}
		return s
	}
	if s := names("ann"); s != "ann/phone ann/laptop " {
		t.Errorf("keys of ann: %s", s)
	}
	if s := names(""); s != "ann/phone ann/laptop bob/ " {
		t.Errorf("all keys: %s", s)
	}
	if err := d.RemoveTLSPublicKey(ctxbg, phone.Fingerprint); err != nil {
		t.Error(err)
	}
	for _, f := range []string{phone.Fingerprint, "", "x"} {
		if err := d.RemoveTLSPublicKey(ctxbg, f); !errors.Is(err, ErrNotFound) {
			t.Errorf("removing %q: %v", f, err)
		}
		if _, err := d.TLSPublicKey(ctxbg, f); !errors.Is(err, ErrNotFound) {
			t.Errorf("getting %q: %v", f, err)
		}
	}
	if s := names("ann"); s != "ann/laptop " {
		t.Errorf("keys of ann: %s", s)
	}
}

func TestKeysOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	d, err := Open(ctxbg, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range MaxAccountKeys {
		if err := d.AddTLSPublicKey(ctxbg, newKey(t, "ann", "")); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.AddTLSPublicKey(ctxbg, newKey(t, "ann", "")); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v", err)
	}
	if err := d.AddTLSPublicKey(ctxbg, newKey(t, "bob", "")); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestKeysHaveTheirTypeAndAreNotWeak(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		der        []byte
		name, typ  string
		shouldFail bool
	}{
		{certificate(t, p256), "ä", "ecdsa-p256", false},
		{certificate(t, strong), "", "rsa-2048", false},
		{certificate(t, p256), "two\nlines", "", true},
		{certificate(t, p256), strings.Repeat("x", maxName+1), "", true},
		{[]byte("x"), "", "", true},
	} {
		k, err := NewTLSPublicKey(tc.der, "ann", "ann@example.org", tc.name)
		if (err != nil) != tc.shouldFail || k.Type != tc.typ {
			t.Errorf("%q: got %+v, %v", tc.name, k, err)
		}
	}
}
