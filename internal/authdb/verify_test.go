package authdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if l, err := Verify(ctxbg, dir); err != nil || len(l) > 0 {
		t.Errorf("no database: %v, %v", l, err)
	}
	d, err := Open(ctxbg, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	good, bad := newKey(t, "ann", "phone"), newKey(t, "ann", "laptop")
	bad.Certificate = good.Certificate
	for _, k := range []TLSPublicKey{good, bad} {
		if err := d.AddTLSPublicKey(ctxbg, k); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err := Verify(ctxbg, dir); err != nil || len(l) != 1 || !strings.Contains(l[0], bad.Fingerprint) {
		t.Errorf("key with another certificate: %v, %v", l, err)
	}
	// The root of the tree, after the two meta pages.
	f, err := os.OpenFile(filepath.Join(dir, FileName), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{2, 3, 4, 5} {
		if _, err := f.WriteAt([]byte(strings.Repeat("x", 4096)), off*4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err := Verify(ctxbg, dir); err != nil || len(l) != 1 || !strings.Contains(l[0], "damaged") {
		t.Errorf("damaged: %v, %v", l, err)
	}
}

func TestVerifyLooksAtAppPasswordsAndAttempts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, Options{Dir: dir})
	bad := appPassword("ann", "bad")
	bad.SCRAMSHA1 = bad.SCRAMSHA256
	for _, p := range []AppPassword{appPassword("ann", "good"), bad} {
		if err := d.AddAppPassword(ctxbg, p); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	d.RecordLogin(failure("ann", "ann@example.org", now))
	if err := d.Flush(ctxbg); err != nil {
		t.Fatal(err)
	}
	wrong := failure("bob", "bob@example.org", now)
	wrong.Key, wrong.First, wrong.Count = []byte("x"), now, 1
	if err := d.bdb.Insert(ctxbg, &wrong); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Verify(ctxbg, dir)
	if err != nil || len(l) != 2 || !strings.Contains(l[0], `"bad" of account "ann"`) || !strings.Contains(l[1], `of account "bob"`) {
		t.Errorf("got %q, %v", l, err)
	}
}
