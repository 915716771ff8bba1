package sasl

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An argon2id hash of "password" made by the reference implementation, from its
// own tests: t=2, m=2^16 KiB, p=1, salt "somesalt".
const referenceHash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestPasswordHash(t *testing.T) {
	t.Parallel()
	hash := HashPassword("pencil")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || HashPassword("pencil") == hash {
		t.Fatalf("got %s", hash)
	}
	tests := []struct {
		name, hash, password string
		match                bool
		err                  error
	}{
		{"right", hash, "pencil", true, nil},
		{"wrong", hash, "crayon", false, nil},
		{"empty", hash, "", false, nil},
		{"of the reference implementation", referenceHash, "password", true, nil},
		{"of the reference implementation, wrong", referenceHash, "Password", false, nil},
		{"not a hash", "pencil", "pencil", false, ErrHash},
		{"empty hash", "", "", false, ErrHash},
		{"other algorithm", strings.Replace(referenceHash, "argon2id", "argon2i", 1), "password", false, ErrHash},
		{"other version", strings.Replace(referenceHash, "v=19", "v=16", 1), "password", false, ErrHash},
		{"too much memory", strings.Replace(referenceHash, "m=65536", "m=4294967295", 1), "password", false, ErrHash},
		{"too little memory", strings.Replace(referenceHash, "m=65536", "m=7", 1), "password", false, ErrHash},
		{"too many rounds", strings.Replace(referenceHash, "t=2", "t=1000", 1), "password", false, ErrHash},
		{"no rounds", strings.Replace(referenceHash, "t=2", "t=0", 1), "password", false, ErrHash},
		{"no threads", strings.Replace(referenceHash, "p=1", "p=0", 1), "password", false, ErrHash},
		{"text after parameters", strings.Replace(referenceHash, "p=1", "p=1,x", 1), "password", false, ErrHash},
		{"salt not base64", strings.Replace(referenceHash, "c29tZXNhbHQ", "c29tZXNhbH", 1), "password", false, ErrHash},
		{"short hash", referenceHash[:len(referenceHash)-30], "password", false, ErrHash},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			match, err := VerifyPassword(tc.hash, tc.password)
			if match != tc.match || !errors.Is(err, tc.err) {
				t.Fatalf("got %v, %v, want %v, %v", match, err, tc.match, tc.err)
			}
		})
	}
	if NeedsRehash(hash) || !NeedsRehash(referenceHash) || !NeedsRehash("") {
		t.Error("wrong about the need for a new hash")
	}
}

func TestPasswordHashIsOfThePreparedPassword(t *testing.T) {
	t.Parallel()
	if match, err := VerifyPassword(HashPassword("re\u0301 x"), "ré\u1680x"); err != nil || !match {
		t.Fatalf("got %v, %v", match, err)
	}
}

func TestPasswordChecker(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := NewPasswordChecker(PasswordCheckerOptions{})
	hash, err := c.Hash(ctx, "pencil")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, hash, password string
		match, rehash        bool
		err                  error
	}{
		{"right", hash, "pencil", true, false, nil},
		{"wrong", hash, "crayon", false, false, nil},
		{"unknown user", "", "pencil", false, false, nil},
		{"right, old parameters", referenceHash, "password", true, true, nil},
		{"wrong, old parameters", referenceHash, "pencil", false, false, nil},
		{"broken hash", "x", "pencil", false, false, ErrHash},
	}
	for _, tc := range tests {
		match, rehash, err := c.Check(ctx, tc.hash, tc.password)
		if match != tc.match || rehash != tc.rehash || !errors.Is(err, tc.err) {
			t.Errorf("%s: got %v, %v, %v", tc.name, match, rehash, err)
		}
	}
}

func TestPasswordCheckerUsesAsMuchTimeForUnknownUsers(t *testing.T) {
	t.Parallel()
	c := NewPasswordChecker(PasswordCheckerOptions{})
	dummy, err := parseArgonHash(c.dummy)
	if err != nil {
		t.Fatal(err)
	}
	real, err := parseArgonHash(HashPassword("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	if dummy.memory != real.memory || dummy.time != real.time || dummy.threads != real.threads || len(dummy.key) != len(real.key) || len(dummy.salt) != len(real.salt) {
		t.Fatalf("dummy hash %s differs in cost", c.dummy)
	}
}

func TestPasswordCheckerLimitsConcurrentChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewPasswordChecker(PasswordCheckerOptions{Concurrent: 2})
		for range 2 {
			if err := c.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := c.Check(ctx, "", "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v while all slots are taken", err)
		}
		if _, err := c.Hash(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v while all slots are taken", err)
		}
		done := make(chan error)
		go func() {
			_, _, err := c.Check(t.Context(), "", "x")
			done <- err
		}()
		synctest.Wait()
		c.release()
		if err := <-done; err != nil {
			t.Fatalf("got %v after a slot was released", err)
		}
	})
}

func FuzzPasswordHash(f *testing.F) {
	f.Add(referenceHash)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseArgonHash(s)
		if err != nil {
			return
		}
		if got := h.String(); got != s {
			t.Fatalf("%q became %q", s, got)
		}
		if h.memory > maxArgonMemory || h.time > maxArgonTime || h.threads > maxArgonThreads {
			t.Fatalf("%q costs too much", s)
		}
	})
}

func BenchmarkHashPassword(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		HashPassword("pencil")
	}
}
