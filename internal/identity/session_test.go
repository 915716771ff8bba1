package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"

	"mox/config"
	"mox/internal/authdb"
	"mox/internal/testkit"
	"mox/sasl"
)

// login logs in and returns what came of it.
func (e *env) login(t *testing.T, user, password string) Result {
	t.Helper()
	res, err := e.c.Password(ctxbg, from("192.0.2.1"), user, password)
	tcheck(t, err)
	return res
}

// watch watches a session, and returns whether it has been ended.
func (e *env) watch(t *testing.T, res Result) (ended func() bool) {
	t.Helper()
	n := 0
	stop := e.c.Watch(ctxbg, res, func() { n++ })
	t.Cleanup(stop)
	return func() bool {
		if n > 1 {
			t.Errorf("ended %d times", n)
		}
		return n == 1
	}
}

func TestSessionsEndWithTheirPassword(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	app, err := e.c.AddAppPassword(ctxbg, "ann", "phone", authdb.ScopeAll)
	tcheck(t, err)
	_, err = e.c.AddAppPassword(ctxbg, "ann", "other", authdb.ScopeAll)
	tcheck(t, err)
	mainRes, appRes := e.login(t, "ann@example.org", password), e.login(t, "ann@example.org", app)
	scram, err := exchangeWith(t, e, from("192.0.2.1"), sasl.NewSCRAMClient(sasl.SHA256, sasl.Credentials{Identity: sasl.Identity{Authentication: "cram@example.org"}, Password: password}, sasl.SCRAMClientOptions{}))
	tcheck(t, err)
	mainEnded, appEnded, cramEnded := e.watch(t, mainRes), e.watch(t, appRes), e.watch(t, scram)
	e.c.Recheck(ctxbg, "")
	if mainEnded() || appEnded() || cramEnded() {
		t.Fatal("a session has ended although nothing has changed")
	}
	tcheck(t, e.db.RemoveAppPassword(ctxbg, "ann", "phone"))
	e.c.Recheck(ctxbg, "ann")
	if mainEnded() || !appEnded() {
		t.Fatal("the session of the app password must end, and no other one")
	}
	// One that has logged in before, and is watched only now, must not be missed.
	if late := e.watch(t, appRes); !late() {
		t.Error("session goes on although the app password was removed before it began")
	}
	tcheck(t, e.c.SetPassword(ctxbg, "ann", "another password"))
	if !mainEnded() || cramEnded() {
		t.Fatal("the session of the password must end, and that of no other account")
	}
	e.c.Recheck(ctxbg, "") // Must not end one twice.
	appEnded()
	mainEnded()
}

func TestSessionsEndWhenTheirAccountCannotLogIn(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	res := e.login(t, "ann@example.org", password)
	ended := e.watch(t, res)
	gone := e.watch(t, Result{Account: "gone"})
	if ended() || !gone() {
		t.Error("an account that is not configured has a session, or one that is has none")
	}
	static, dynamic := testStatic(e.dir), testDynamic()
	ann := dynamic.Accounts["ann"]
	ann.LoginDisabled = "moved"
	dynamic.Accounts["ann"] = ann
	snap, err := config.New(static, dynamic)
	tcheck(t, err)
	e.c.opts.Config = config.NewHolder(snap)
	e.c.Recheck(ctxbg, "")
	if !ended() {
		t.Error("session goes on although login is disabled")
	}
}

func TestACertificateIsALoginOnlyWithPreauth(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	e.c.opts.Keys = e.db
	ca := testkit.NewCA(t)
	attempt := func(account, address string, noPreauth, add bool) Attempt {
		der := ca.IssueClient(t, testkit.ECDSA, address).Certificate[0]
		cert, err := x509.ParseCertificate(der)
		tcheck(t, err)
		if add {
			k, err := authdb.NewTLSPublicKey(der, account, address, "")
			tcheck(t, err)
			k.NoIMAPPreauth = noPreauth
			tcheck(t, e.db.AddTLSPublicKey(ctxbg, k))
		}
		a := from("192.0.2.1")
		a.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
		return a
	}
	count := func() int {
		tcheck(t, e.db.Flush(ctxbg))
		l, err := e.db.LoginAttempts(ctxbg, "", 100)
		tcheck(t, err)
		return len(l)
	}
	ann := attempt("ann", "ann@example.org", false, true)
	for _, tc := range []struct {
		a             Attempt
		preauth, want bool
		err           error
		attempts      int
	}{
		{ann, false, false, nil, 0},
		{attempt("ann", "a@example.org", true, true), true, false, nil, 0},
		{attempt("", "nobody@example.org", false, false), true, false, ErrCredentials, 0},
		{attempt("ann", "bob@example.org", false, true), true, false, ErrCredentials, 0}, // Not an address of hers any more.
		{attempt("disabled", "disabled@example.org", false, true), true, false, ErrLoginDisabled, 0},
		{ann, true, true, nil, 1},
	} {
		cert, err := e.c.Certificate(ctxbg, tc.a, tc.preauth)
		if !errors.Is(err, tc.err) || cert.Preauth != tc.want || err == nil && cert.Account != "ann" {
			t.Errorf("%+v, %v; want %+v", cert, err, tc)
		}
		if n := count(); n != tc.attempts {
			t.Errorf("%d attempts recorded, want %d", n, tc.attempts)
		}
	}
	cert, err := e.c.Certificate(ctxbg, ann, true)
	tcheck(t, err)
	ended := e.watch(t, cert.Result)
	keys, err := e.db.TLSPublicKeys(ctxbg, "ann")
	tcheck(t, err)
	if ended() {
		t.Fatal("session has ended although the key is there")
	}
	for _, k := range keys {
		tcheck(t, e.db.RemoveTLSPublicKey(ctxbg, k.Fingerprint))
	}
	e.c.Recheck(ctxbg, "")
	if !ended() {
		t.Error("session goes on without its key")
	}
}

func TestLocalLoginNeedsAnAddressThatCanLogIn(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	for address, want := range map[string]error{
		"ann@example.org":       nil,
		"nobody@example.org":    ErrCredentials,
		"ann@elsewhere.example": ErrCredentials,
		"ann":                   ErrCredentials,
		"disabled@example.org":  ErrLoginDisabled,
	} {
		res, err := e.c.Local(ctxbg, Attempt{Protocol: "imap"}, address)
		if !errors.Is(err, want) || want == nil && (res.Account != "ann" || res.LoginAddress != address) {
			t.Errorf("%s: got %+v, %v", address, res, err)
		}
	}
	res, err := e.c.Local(ctxbg, Attempt{Protocol: "imap"}, "ann@example.org")
	tcheck(t, err)
	ended := e.watch(t, res)
	tcheck(t, e.c.SetPassword(ctxbg, "ann", "another password"))
	if !ended() {
		t.Error("session goes on after the password was changed")
	}
}
