package certs

import (
	"context"
	"crypto"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/dane"
	mdns "mox/dns"
)

// fakeTLSA is a resolver with some records.
type fakeTLSA struct {
	Resolver // Nothing else is looked up.

	mu      sync.Mutex
	records []dane.Record
	err     error
}

func (f *fakeTLSA) set(t *testing.T, keys ...HostKey) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records = nil
	for _, k := range keys {
		r, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		f.records = append(f.records, r)
	}
}

func (f *fakeTLSA) LookupTLSA(_ context.Context, port int, proto, host string) ([]mdns.TLSA, mdns.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, mdns.Result{}, f.err
	}
	if port != 25 || proto != "tcp" || host != testHost || len(f.records) == 0 {
		return nil, mdns.Result{}, mdns.ErrNotFound
	}
	return f.records, mdns.Result{}, nil
}

// rolling is a key with what takes the steps of its rollover.
type rolling struct {
	roller
	tlsa *fakeTLSA
	host mdns.Domain
	path string
	used crypto.Signer // For which there is a certificate.
}

func newRolling(t *testing.T) *rolling {
	t.Helper()
	host, err := mdns.ParseDomain(testHost)
	if err != nil {
		t.Fatal(err)
	}
	r := &rolling{tlsa: &fakeTLSA{}, host: host, path: newKeys(t, t.TempDir(), P256)[0]}
	r.roller = roller{slog.New(slog.DiscardHandler), r.tlsa, func(_ mdns.Domain, key crypto.Signer) bool { return key == r.used }}
	r.roller.inUse = func(_ mdns.Domain, key crypto.Signer) bool {
		return r.used != nil && key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(r.used)
	}
	return r
}

// at takes the step that is due at a time, and returns the number of records and
// whether the key was changed.
func (r *rolling) at(t *testing.T, now time.Time) (records int, changed bool) {
	t.Helper()
	changed, err := r.step(context.Background(), r.host, r.path, now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Records([]string{r.path})
	if err != nil {
		t.Fatal(err)
	}
	return len(l), changed
}

func TestRolloverTakesItsTime(t *testing.T) {
	t.Parallel()
	r := newRolling(t)
	old, err := readHostKey(r.path)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if n, changed := r.at(t, start.Add(10*RolloverWait)); n != 1 || changed {
		t.Fatalf("without a rollover: %d records, changed %v", n, changed)
	}
	next, when, err := StartRollover(r.path, start)
	if err != nil || when.Sub(start) > RolloverWait || when.Sub(start) < RolloverWait-2*time.Second {
		t.Fatalf("starting: %v, not before %v", err, when)
	}
	if _, _, err := StartRollover(r.path, start); err == nil || !strings.Contains(err.Error(), "not over yet") {
		t.Errorf("starting twice: %v", err)
	}
	r.tlsa.set(t, old, next)
	if n, changed := r.at(t, when.Add(-time.Second)); n != 2 || changed {
		t.Fatalf("before the time: %d records, changed %v", n, changed)
	}
	if n, changed := r.at(t, when); n != 2 || !changed {
		t.Fatalf("at the time: %d records, changed %v", n, changed)
	}
	if k, err := readHostKey(r.path); err != nil || !certifiesKey(k, next) {
		t.Fatalf("key is not the new one, %v", err)
	}
	if _, _, err := StartRollover(r.path, when); err == nil {
		t.Error("starting another one before the first is over: no error")
	}
	if n, _ := r.at(t, when.Add(RolloverWait-time.Second)); n != 2 {
		t.Fatalf("before the end: %d records", n)
	}
	r.used = old.Key
	if n, _ := r.at(t, when.Add(2*RolloverWait)); n != 2 {
		t.Fatalf("old key is in use: %d records", n)
	}
	r.used = next.Key
	if n, _ := r.at(t, when.Add(2*RolloverWait)); n != 1 {
		t.Fatalf("at the end: %d records", n)
	}
	if _, _, err := StartRollover(r.path, when); err != nil {
		t.Errorf("another one: %v", err)
	}
}

func certifiesKey(a, b HostKey) bool {
	return a.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(b.Key.Public())
}

func TestKeyStaysWhenItIsNotKnownWhatIsPublished(t *testing.T) {
	t.Parallel()
	r := newRolling(t)
	old, err := readHostKey(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := StartRollover(r.path, time.Now().Add(-2*RolloverWait)); err != nil {
		t.Fatal(err)
	}
	r.tlsa.err = mdns.ErrTemporary
	if _, err := r.step(context.Background(), r.host, r.path, time.Now()); err == nil || !strings.Contains(err.Error(), "key is not changed") {
		t.Errorf("lookup fails: got %v", err)
	}
	r.tlsa.err = nil
	r.tlsa.set(t, old)
	_, err = r.step(context.Background(), r.host, r.path, time.Now())
	if err == nil || !strings.Contains(err.Error(), "_25._tcp.mail.example. TLSA 3 1 1 ") {
		t.Errorf("record is missing: got %v", err)
	}
	// Nobody verifies with records if there are none.
	r.tlsa.set(t)
	if _, changed := r.at(t, time.Now()); !changed {
		t.Error("key was not changed although there are no records")
	}
}

func TestFilesOfRolloversThatMakeNoSenseAreErrors(t *testing.T) {
	t.Parallel()
	r := newRolling(t)
	key, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(key), "\n")
	if err := os.WriteFile(r.path+nextSuffix, []byte(text), 0600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.step(context.Background(), r.host, r.path, time.Now()); err == nil || !strings.Contains(err.Error(), "Not before") {
		t.Errorf("no time: got %v", err)
	}
	if err := os.Remove(r.path + nextSuffix); err != nil {
		t.Fatal(err)
	}
	if _, err := NewHostKey(r.path+nextSuffix, RSA2048); err != nil {
		t.Fatal(err)
	}
	if _, err := Records([]string{r.path}); err == nil || !strings.Contains(err.Error(), "another kind") {
		t.Errorf("other kind: got %v", err)
	}
	if _, err := NewHostKey(r.path, P256); err == nil {
		t.Error("key was replaced")
	}
	if _, err := NewHostKey(filepath.Join(t.TempDir(), "x"), "ed25519"); err == nil {
		t.Error("key of a kind that few understand was made")
	}
}

func TestRenewalIsBeforeTheEnd(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tc := range []struct {
		before, lifetime time.Duration
		want             float64
	}{
		{30 * day, 90 * day, 1. / 3},
		{day, 90 * day, 1. / 90},
		{30 * day, 6 * day, 0.5},
		{30 * day, 0, 0.5},
	} {
		if got := renewalRatio(tc.before, tc.lifetime); got != tc.want {
			t.Errorf("%v of %v: got %v", tc.before, tc.lifetime, got)
		}
	}
}
