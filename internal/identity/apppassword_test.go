package identity

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/internal/authdb"
	"mox/sasl"
	"mox/store"
)

func addApp(t testing.TB, e *env, account, name string, scope authdb.Scope) string {
	t.Helper()
	p, err := e.c.AddAppPassword(ctxbg, account, name, scope)
	tcheck(t, err)
	return p
}

func TestAppPasswordsCannotBeGuessed(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){4}$`)
	seen, chars := map[string]bool{}, map[rune]bool{}
	for range 1000 {
		p := NewPassword()
		if !form.MatchString(p) || seen[p] {
			t.Fatalf("password %q", p)
		}
		seen[p] = true
		for _, r := range p {
			chars[r] = true
		}
	}
	// All of the alphabet is used, and a dash.
	if n := len(chars); n != 33 {
		t.Errorf("%d characters", n)
	}
	if bits := appPasswordGroups * appPasswordGroup * math.Log2(float64(len(appPasswordAlphabet))); bits < 100 {
		t.Errorf("%v bits", bits)
	}
}

func TestAppPasswordsLogInWithEachMechanismInTheirScope(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	phone := addApp(t, e, "cram", "phone", authdb.ScopeIMAP)
	printer := addApp(t, e, "cram", "printer", authdb.ScopeSMTP)
	all := addApp(t, e, "cram", "all", authdb.ScopeAll)
	for _, tc := range []struct {
		name, pass, protocol string
		app                  string // Empty for failure.
		main                 bool
	}{
		{"first in scope", phone, "imap", "phone", false},
		{"second in scope", printer, "submission", "printer", false},
		{"all scopes, imap", all, "imap", "all", false},
		{"all scopes, submission", all, "submission", "all", false},
		{"all scopes, web", all, "webmail", "all", false},
		{"first out of scope", phone, "submission", "", false},
		{"second out of scope", printer, "imap", "", false},
		{"out of scope for the web", phone, "webmail", "", false},
		{"password of the account", password, "submission", "", true},
		{"neither", NewPassword(), "imap", "", false},
		{"in upper case", strings.ToUpper(phone), "imap", "", false},
		{"without dashes", strings.ReplaceAll(phone, "-", ""), "imap", "", false},
	} {
		for mechanism, client := range clients("cram@example.org", tc.pass) {
			a := from("10.0.0.1")
			a.Protocol = tc.protocol
			res, err := exchangeWith(t, e, a, client)
			if tc.app != "" || tc.main {
				if err != nil || res.Account != "cram" || res.AppPassword != tc.app {
					t.Errorf("%s, %s: got %+v, %v", tc.name, mechanism, res, err)
				}
				continue
			}
			if !errors.Is(err, ErrCredentials) || errors.Is(err, ErrNoSecret) {
				t.Errorf("%s, %s: got %+v, %v; expected ErrCredentials", tc.name, mechanism, res, err)
			}
			_, err = e.c.Password(ctxbg, a, "cram@example.org", all) // Forgives the failures.
			tcheck(t, err)
		}
	}
	// And without SASL.
	a := from("10.0.0.1")
	if res, err := e.c.Password(ctxbg, a, "cram@example.org", phone); err != nil || res.AppPassword != "phone" {
		t.Errorf("password: %+v, %v", res, err)
	}
	// It is of one account only.
	if _, err := e.c.Password(ctxbg, a, "ann@example.org", phone); !errors.Is(err, ErrCredentials) {
		t.Errorf("of another account: %v", err)
	}
}

func TestRefusalForScopeLooksLikeAWrongPassword(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	printer := addApp(t, e, "ann", "printer", authdb.ScopeSMTP)
	last := func(pass string) (string, error) {
		client := clients("ann@example.org", pass)[sasl.SCRAMSHA256]
		x, err := e.c.Begin(ctxbg, from("192.0.2.1"), client.Name())
		tcheck(t, err)
		defer x.Close()
		response, _, err := client.Next(nil)
		tcheck(t, err)
		challenge, _, err := x.Next(ctxbg, response)
		tcheck(t, err)
		response, _, err = client.Next(challenge)
		tcheck(t, err)
		challenge, done, err := x.Next(ctxbg, response)
		if done {
			t.Errorf("%s: logged in", pass)
		}
		return string(challenge), err
	}
	wrong, err := last("wrong password")
	if !errors.Is(err, ErrCredentials) {
		t.Fatal(err)
	}
	if got, err := last(printer); got != wrong || !errors.Is(err, ErrCredentials) {
		t.Errorf("got %q, %v; expected %q", got, err, wrong)
	}
}

func TestAppPasswordsNeedNoPasswordOfTheAccount(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	for _, account := range []string{"nopass", "noaccount"} {
		p := addApp(t, e, account, "phone", authdb.ScopeIMAP)
		q := addApp(t, e, account, "laptop", authdb.ScopeIMAP)
		for _, pass := range []string{p, q} {
			for mechanism, client := range clients(account+"@example.org", pass) {
				_, err := exchangeWith(t, e, from("192.0.2.1"), client)
				if mechanism == sasl.CRAMMD5 != errors.Is(err, ErrCredentials) || mechanism != sasl.CRAMMD5 && err != nil {
					t.Errorf("%s, %s: %v", account, mechanism, err)
				}
			}
		}
		// A password that is set later has the same salt.
		tcheck(t, e.c.SetPassword(ctxbg, account, "new password"))
		for _, pass := range []string{p, q, "new password"} {
			if _, err := exchangeWith(t, e, from("192.0.2.1"), clients(account+"@example.org", pass)[sasl.SCRAMSHA1]); err != nil {
				t.Errorf("%s, %q after a password was set: %v", account, pass, err)
			}
		}
	}
}

func TestSaltStaysWhenThePasswordIsSet(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	read := func() store.Credentials {
		t.Helper()
		acc, err := e.st.Account(ctxbg, "ann")
		tcheck(t, err)
		defer acc.Release()
		c, err := acc.Credentials(ctxbg)
		tcheck(t, err)
		return c
	}
	before := read()
	same := func(want bool) {
		t.Helper()
		c := read()
		if bytes.Equal(before.SCRAMSHA1.Salt, c.SCRAMSHA1.Salt) != want || bytes.Equal(before.SCRAMSHA256.Salt, c.SCRAMSHA256.Salt) != want {
			t.Errorf("same salts: %v", !want)
		}
		if bytes.Equal(before.SCRAMSHA256.StoredKey, c.SCRAMSHA256.StoredKey) {
			t.Error("the key is that of the previous password")
		}
	}
	tcheck(t, e.c.SetPassword(ctxbg, "ann", "another password"))
	same(true)

	// Older credentials have another iteration count, which goes with the next password.
	// App passwords keep it.
	older := func() {
		t.Helper()
		acc, err := e.st.Account(ctxbg, "ann")
		tcheck(t, err)
		defer acc.Release()
		before = read()
		before.SCRAMSHA1, before.SCRAMSHA256 = store.SCRAMKeys{}, store.SCRAMKeys{}
		for h, keys := range map[sasl.Hash]*store.SCRAMKeys{sasl.SHA1: &before.SCRAMSHA1, sasl.SHA256: &before.SCRAMSHA256} {
			k, err := sasl.NewSCRAMKeys(h, "older password", sasl.SCRAMMinIterations)
			tcheck(t, err)
			*keys = store.SCRAMKeys{Salt: k.Salt, Iterations: int32(k.Iterations), StoredKey: k.StoredKey, ServerKey: k.ServerKey}
		}
		tcheck(t, acc.SetCredentials(ctxbg, before))
	}
	login := func(pass string) error {
		_, err := exchangeWith(t, e, from("192.0.2.1"), clients("ann@example.org", pass)[sasl.SCRAMSHA256])
		return err
	}
	older()
	tcheck(t, login("older password"))
	tcheck(t, e.c.SetPassword(ctxbg, "ann", "another password"))
	same(false)
	older()
	app := addApp(t, e, "ann", "phone", authdb.ScopeIMAP)
	tcheck(t, e.c.SetPassword(ctxbg, "ann", "another password"))
	same(true)
	if n := read().SCRAMSHA256.Iterations; n != sasl.SCRAMMinIterations {
		t.Errorf("%d iterations", n)
	}
	tcheck(t, login(app))
	tcheck(t, login("another password"))

	// An account that was restored from elsewhere has another salt.
	older()
	tcheck(t, login("older password"))
	if err := login(app); !errors.Is(err, ErrCredentials) {
		t.Errorf("app password of another salt, with SCRAM: %v", err)
	}
	if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", app); err != nil {
		t.Errorf("app password of another salt: %v", err)
	}
}

func TestRemovedAppPasswordIsOfNoUse(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	app := addApp(t, e, "cram", "phone", authdb.ScopeIMAP)
	tcheck(t, func() error { _, err := e.c.Password(ctxbg, from("192.0.2.1"), "cram@example.org", app); return err }())
	tcheck(t, e.db.RemoveAppPassword(ctxbg, "cram", "phone"))
	for mechanism, client := range clients("cram@example.org", app) {
		if _, err := exchangeWith(t, e, from("192.0.2.1"), client); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}

func TestAppPasswordsThatCannotBeAdded(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	addApp(t, e, "ann", "phone", authdb.ScopeIMAP)
	for _, tc := range []struct {
		account, name string
		scope         authdb.Scope
		err           error
	}{
		{"ann", "phone", authdb.ScopeIMAP, authdb.ErrAppPasswordExists},
		{"ann", "", authdb.ScopeIMAP, authdb.ErrAppPasswordName},
		{"ann", "x", 0, authdb.ErrScope},
		{"nobody", "x", authdb.ScopeIMAP, store.ErrNoAccount},
	} {
		if p, err := e.c.AddAppPassword(ctxbg, tc.account, tc.name, tc.scope); !errors.Is(err, tc.err) || p != "" {
			t.Errorf("%+v: %q, %v", tc, p, err)
		}
	}
	e.c.opts.AppPasswords = nil
	if _, err := e.c.AddAppPassword(ctxbg, "ann", "x", authdb.ScopeIMAP); err == nil {
		t.Error("added without a database")
	}
}

func TestDisabledAccountCannotLogInWithAppPassword(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	app := addApp(t, e, "disabled", "phone", authdb.ScopeIMAP)
	for mechanism, client := range clients("disabled@example.org", app) {
		if mechanism == sasl.CRAMMD5 {
			continue // Not opted in.
		}
		if _, err := exchangeWith(t, e, from("192.0.2.1"), client); !errors.Is(err, ErrLoginDisabled) {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}

// With an app password there is no costly hash to compute, and no password to remember.
func TestAppPasswordCostsLittle(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	e.c.passwords = nil // It would panic.
	app := addApp(t, e, "ann", "phone", authdb.ScopeIMAP)
	for _, mechanism := range []string{sasl.Plain, sasl.Login} {
		if _, err := exchangeWith(t, e, from("192.0.2.1"), clients("ann@example.org", app)[mechanism]); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	if len(e.c.cache.m) != 0 {
		t.Error("it was remembered")
	}
}

func TestAttemptsAreRecorded(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	app := addApp(t, e, "ann", "printer", authdb.ScopeSMTP)
	type result struct{ account, address, mechanism, result, reason, app string }
	failed := func(user, pass, mechanism string) func() {
		return func() {
			_, err := exchangeWith(t, e, from("192.0.2.1"), clients(user, pass)[mechanism])
			if err == nil {
				t.Errorf("%s with %s logged in", user, mechanism)
			}
		}
	}
	for _, tc := range []struct {
		name string
		fn   func()
		want result
	}{
		{"success", func() {
			_, err := exchangeWith(t, e, from("192.0.2.1"), clients("ann@example.org", password)[sasl.SCRAMSHA256])
			tcheck(t, err)
		}, result{"ann", "ann@example.org", "SCRAM-SHA-256", "ok", "", ""}},
		{"mechanism LOGIN", failed("a@example.org", "wrong password", sasl.Login), result{"ann", "a@example.org", "LOGIN", "badpassword", "", ""}},
		{"wrong proof", failed("ann@example.org", "wrong password", sasl.SCRAMSHA1), result{"ann", "ann@example.org", "SCRAM-SHA-1", "badpassword", "", ""}},
		{"unknown user", failed("bob@example.org", password, sasl.Plain), result{"-", "bob@example.org", "PLAIN", "baduser", "", ""}},
		{"unknown user with SCRAM", failed("bob@example.org", password, sasl.SCRAMSHA256), result{"-", "bob@example.org", "SCRAM-SHA-256", "baduser", "", ""}},
		{"out of scope", failed("ann@example.org", app, sasl.Plain), result{"ann", "ann@example.org", "PLAIN", "badcreds", "scope", "printer"}},
		{"out of scope with SCRAM", failed("ann@example.org", app, sasl.SCRAMSHA256), result{"ann", "ann@example.org", "SCRAM-SHA-256", "badcreds", "scope", "printer"}},
		{"no secret", failed("nopass@example.org", password, sasl.SCRAMSHA256), result{"nopass", "nopass@example.org", "SCRAM-SHA-256", "badcreds", "nosecret", ""}},
		{"not opted in", failed("ann@example.org", password, sasl.CRAMMD5), result{"ann", "ann@example.org", "CRAM-MD5", "badcreds", "mechanism", ""}},
		{"disabled", failed("disabled@example.org", password, sasl.Plain), result{"disabled", "disabled@example.org", "PLAIN", "logindisabled", "", ""}},
		{"no certificate", func() {
			_, _ = exchangeWith(t, e, from("192.0.2.1"), sasl.NewExternalClient("ann@example.org"))
		}, result{"-", "ann@example.org", "EXTERNAL", "badcreds", "key", ""}},
		{"as another", func() {
			_, _ = exchangeWith(t, e, from("192.0.2.1"), sasl.NewPlainClient(sasl.Credentials{
				Identity: sasl.Identity{Authentication: "ann@example.org", Authorization: "cram@example.org"}, Password: password}))
		}, result{"ann", "ann@example.org", "PLAIN", "badcreds", "authzid", ""}},
		{"aborted", func() {
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.Plain)
			tcheck(t, err)
			x.Close()
		}, result{"-", "", "PLAIN", "aborted", "", ""}},
		{"malformed", func() {
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.Plain)
			tcheck(t, err)
			_, _, _ = x.Next(ctxbg, []byte("x"))
		}, result{"-", "", "PLAIN", "badprotocol", "", ""}},
		{"unknown mechanism", func() { _, _ = e.c.Begin(ctxbg, from("192.0.2.1"), "GSSAPI") }, result{"-", "", "unknown", "badprotocol", "", ""}},
	} {
		tc.fn()
		l, err := e.db.LoginAttempts(ctxbg, "", 1000)
		tcheck(t, err)
		i := slices.IndexFunc(l, func(a authdb.LoginAttempt) bool {
			return result{a.Account, a.LoginAddress, a.Mechanism, a.Result, a.Reason, a.AppPassword} == tc.want
		})
		if i < 0 {
			t.Errorf("%s: no record %+v in %+v", tc.name, tc.want, l[:min(len(l), 2)])
			continue
		}
		if a := l[i]; a.Count != 1 || a.RemoteIP != "192.0.2.1" || a.Protocol != "imap" || a.TLS != "" || a.KeyFingerprint != "" || time.Since(a.Last) > time.Minute {
			t.Errorf("%s: %+v", tc.name, a)
		}
	}
}
