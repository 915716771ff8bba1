package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/sasl"
	"mox/store"
)

func TestSetPasswordDerivesAllSecrets(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	// Full-width and composed forms of the same characters, RFC 8265 §4.2.
	tcheck(t, e.c.SetPassword(ctxbg, "noaccount", "pässwörd 1"))
	for name, client := range clients("noaccount@example.org", "pa\u0308sswo\u0308rd\u00a01") {
		_, err := exchangeWith(t, e, from("192.0.2.1"), client)
		if name == sasl.CRAMMD5 != errors.Is(err, ErrCredentials) || name != sasl.CRAMMD5 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	acc, err := e.st.Account(ctxbg, "noaccount")
	tcheck(t, err)
	defer acc.Release()
	c, err := acc.Credentials(ctxbg)
	tcheck(t, err)
	if c.CRAMMD5 != nil || c.Changed.IsZero() || !strings.HasPrefix(c.Argon2id, "$argon2id$") {
		t.Errorf("credentials %+v", c)
	}
	tcheck(t, e.c.SetPassword(ctxbg, "cramnone", password))
	if _, err := exchangeWith(t, e, from("192.0.2.1"), clients("cramnone@example.org", password)[sasl.CRAMMD5]); err != nil {
		t.Errorf("CRAM-MD5 after the password was set again: %v", err)
	}
}

func TestNewPasswordReplacesTheOldOneAtOnce(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	login := func(pass string) error {
		_, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", pass)
		return err
	}
	tcheck(t, login(password))
	tcheck(t, login(password)) // From the cache.
	tcheck(t, e.c.SetPassword(ctxbg, "ann", "another password"))
	if err := login(password); !errors.Is(err, ErrCredentials) {
		t.Fatalf("old password: %v", err)
	}
	tcheck(t, login("another password"))
}

func TestPasswordsThatCannotBeSet(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		account, pass string
		want          error
	}{
		{"ann", "1234567", ErrPasswordTooShort},
		{"ann", "ääääääa", ErrPasswordTooShort},
		{"ann", "", ErrPasswordTooShort},
		{"ann", strings.Repeat("x", MaxPassword+1), ErrPasswordTooLong},
		{"ann", "12345678\xff", ErrPasswordUTF8},
		{"nobody", "12345678", store.ErrNoAccount},
	}
	for _, tc := range tests {
		if err := e.c.SetPassword(ctxbg, tc.account, tc.pass); !errors.Is(err, tc.want) {
			t.Errorf("%s %q: got %v, want %v", tc.account, tc.pass, err, tc.want)
		}
	}
}

func TestPasswordCacheIsBoundedAndExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p passwordCache
		p.init()
		for i := range maxCache + 10 {
			p.add(fmt.Sprint("account", i), "hash", "pass")
		}
		if len(p.m) != maxCache {
			t.Fatalf("%d entries", len(p.m))
		}
		p.add("a", "hash", "pass")
		for _, tc := range []struct {
			account, hash, pass string
			want                bool
		}{{"a", "hash", "pass", true}, {"a", "hash", "Pass", false}, {"a", "hash2", "pass", false}, {"b", "hash", "pass", false}, {"a", "", "pass", false}, {"a", "has", "hpass", false}} {
			if got := p.has(tc.account, tc.hash, tc.pass); got != tc.want {
				t.Errorf("%+v: %v", tc, got)
			}
		}
		time.Sleep(cacheTime)
		if p.has("a", "hash", "pass") {
			t.Error("entry did not expire")
		}
	})
}
