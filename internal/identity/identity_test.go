package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/internal/authdb"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/sasl"
	"mox/store"
)

var ctxbg = context.Background()

const password = "correct horse"

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testConfig(t testing.TB, dir string) *config.Holder {
	t.Helper()
	snap, err := config.New(testStatic(dir), testDynamic())
	tcheck(t, err)
	return config.NewHolder(snap)
}

func testStatic(dir string) (static config.Static) {
	static.DataDir = dir
	static.LogLevel = "info"
	static.Hostname = "mx.example.org"
	static.Listeners = map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}}
	static.Postmaster = config.PostmasterFields{Account: "ann", Mailbox: "Inbox"}
	return static
}

func testDynamic() config.Dynamic {
	account := func(addrs ...string) config.AccountFields {
		f := config.AccountFields{Domain: "example.org", Destinations: map[string]config.DestinationFields{}}
		for _, a := range addrs {
			f.Destinations[a] = config.DestinationFields{}
		}
		return f
	}
	cram := account("cram@example.org")
	cram.CRAMMD5 = true
	cramNone := account("cramnone@example.org")
	cramNone.CRAMMD5 = true
	disabled := account("disabled@example.org")
	disabled.LoginDisabled = "moved to another server"
	return config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {LocalpartCatchallSeparator: "+"}},
		Accounts: map[string]config.AccountFields{
			"ann": account("ann@example.org", "a@example.org"), "cram": cram, "cramnone": cramNone,
			"disabled": disabled, "nopass": account("nopass@example.org"), "noaccount": account("noaccount@example.org"),
		},
	}
}

type env struct {
	c   *Checker
	log *testkit.LogBuffer
	dir string
	st  *store.Store
	db  *authdb.DB
}

// credentials of the tests' one password, derived once: that is costly on purpose.
var derived = sync.OnceValues(func() (store.Credentials, error) {
	c := &Checker{shared: &shared{passwords: sasl.NewPasswordChecker(sasl.PasswordCheckerOptions{})}}
	return c.derive(ctxbg, password, user{account: config.Account{CRAMMD5: true}})
})

func testEnv(t testing.TB) *env {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(ctxbg, store.Options{Dir: dir, Log: mlog.Discard()})
	tcheck(t, err)
	t.Cleanup(func() { st.Close() })
	db, err := authdb.Open(ctxbg, authdb.Options{Dir: dir})
	tcheck(t, err)
	t.Cleanup(func() { db.Close() })
	e := &env{log: &testkit.LogBuffer{}, dir: dir, st: st, db: db}
	e.c, err = New(Options{
		Store: st, Config: testConfig(t, dir), Dir: dir, Log: slog.New(slog.NewTextHandler(e.log, nil)),
		AppPasswords: db, Attempts: db,
	})
	tcheck(t, err)
	creds, err := derived()
	tcheck(t, err)
	for _, name := range []string{"ann", "cram", "cramnone", "disabled", "nopass"} {
		acc, err := st.Ensure(ctxbg, name)
		tcheck(t, err)
		c := creds
		switch name {
		case "nopass":
			c = store.Credentials{}
		case "cramnone", "disabled":
			c.CRAMMD5 = nil
		}
		tcheck(t, acc.SetCredentials(ctxbg, c)) // Ann has CRAM-MD5 from an earlier configuration.
		acc.Release()
	}
	return e
}

func from(ip string) Attempt {
	return Attempt{Protocol: "imap", Mechanism: "LOGIN", RemoteIP: netip.MustParseAddr(ip)}
}

func TestPasswordIsChecked(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		name, user, pass string
		account, address string
		err              error
	}{
		{"right", "ann@example.org", password, "ann", "ann@example.org", nil},
		{"other address", "A@EXAMPLE.org", password, "ann", "A@example.org", nil},
		{"with separator", "ann+imap@example.org", password, "ann", "ann+imap@example.org", nil},
		{"wrong password", "ann@example.org", "correct horsf", "", "", ErrCredentials},
		{"empty password", "ann@example.org", "", "", "", ErrCredentials},
		{"unknown user", "bob@example.org", password, "", "", ErrCredentials},
		{"unknown domain", "ann@example.com", password, "", "", ErrCredentials},
		{"account name", "ann", password, "", "", ErrCredentials},
		{"no user", "", password, "", "", ErrCredentials},
		{"control character", "ann\x00@example.org", password, "", "", ErrCredentials},
		{"account without password", "nopass@example.org", "", "", "", ErrCredentials},
		{"account without password, with one", "nopass@example.org", password, "", "", ErrCredentials},
		{"account without directory", "noaccount@example.org", password, "", "", ErrCredentials},
		{"postmaster is no login", "postmaster@mx.example.org", password, "", "", ErrCredentials},
		{"disabled", "disabled@example.org", password, "", "", ErrLoginDisabled},
		{"disabled, wrong password", "disabled@example.org", "wrong pass", "", "", ErrCredentials},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res, err := e.c.Password(ctxbg, from(fmt.Sprintf("10.%d.0.1", i)), tc.user, tc.pass)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if res.Account != tc.account || res.LoginAddress != tc.address {
				t.Fatalf("got %+v", res)
			}
		})
	}
}

func TestDisabledLoginTellsTheConfiguredText(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	_, err := e.c.Password(ctxbg, from("10.0.0.1"), "disabled@example.org", password)
	var d *LoginDisabledError
	if !errors.As(err, &d) || d.Text != "moved to another server" {
		t.Fatalf("got %v", err)
	}
}

// The client sides of package sasl, over the steps that servers do.
func exchangeWith(t *testing.T, e *env, a Attempt, client sasl.Client) (Result, error) {
	t.Helper()
	x, err := e.c.Begin(ctxbg, a, client.Name())
	if err != nil {
		return Result{}, err
	}
	defer x.Close()
	var response []byte
	if client.ClientFirst() {
		response, _, err = client.Next(nil)
		tcheck(t, err)
		if response == nil {
			response = []byte{}
		}
	}
	for range 10 {
		challenge, done, err := x.Next(ctxbg, response)
		if err != nil {
			return Result{}, err
		}
		if done {
			return x.Result(), nil
		}
		response, _, err = client.Next(challenge)
		tcheck(t, err)
		if response == nil {
			response = []byte{}
		}
	}
	t.Fatal("exchange does not end")
	return Result{}, nil
}

func creds(user, pass string) sasl.Credentials {
	return sasl.Credentials{Identity: sasl.Identity{Authentication: user}, Password: pass}
}

func clients(user, pass string) map[string]sasl.Client {
	return map[string]sasl.Client{
		sasl.Plain:       sasl.NewPlainClient(creds(user, pass)),
		sasl.Login:       sasl.NewLoginClient(creds(user, pass)),
		sasl.CRAMMD5:     sasl.NewCRAMMD5Client(creds(user, pass)),
		sasl.SCRAMSHA1:   sasl.NewSCRAMClient(sasl.SHA1, creds(user, pass), sasl.SCRAMClientOptions{}),
		sasl.SCRAMSHA256: sasl.NewSCRAMClient(sasl.SHA256, creds(user, pass), sasl.SCRAMClientOptions{}),
	}
}

func TestMechanismsLogInWithTheRightPasswordOnly(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	n := 0
	for _, user := range []string{"cram@example.org", "ann@example.org", "bob@example.org", "nopass@example.org", "disabled@example.org"} {
		for _, pass := range []string{password, "wrong password"} {
			for name, client := range clients(user, pass) {
				n++
				a := from(fmt.Sprintf("10.%d.%d.1", n/200, n%200))
				t.Run(user+" "+pass+" "+name, func(t *testing.T) {
					t.Parallel()
					res, err := exchangeWith(t, e, a, client)
					known := user == "cram@example.org" || user == "ann@example.org" && name != sasl.CRAMMD5
					switch {
					case known && pass == password:
						if err != nil || res.LoginAddress != user {
							t.Fatalf("got %+v, %v; want success", res, err)
						}
					case user == "disabled@example.org" && pass == password && name != sasl.CRAMMD5:
						if !errors.Is(err, ErrLoginDisabled) {
							t.Fatalf("got %v, want ErrLoginDisabled", err)
						}
					default:
						if !errors.Is(err, ErrCredentials) {
							t.Fatalf("got %v, want ErrCredentials", err)
						}
					}
				})
			}
		}
	}
}

func TestAccountsWithoutTheSecretOfAMechanismAreNotCounted(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		name   string
		client func() sasl.Client
		counts bool
	}{
		{"SCRAM without password", func() sasl.Client { return clients("nopass@example.org", password)[sasl.SCRAMSHA256] }, false},
		{"CRAM-MD5, opted in after the password was set", func() sasl.Client { return clients("cramnone@example.org", password)[sasl.CRAMMD5] }, false},
		{"CRAM-MD5, not opted in", func() sasl.Client { return clients("ann@example.org", password)[sasl.CRAMMD5] }, true},
		{"CRAM-MD5, unknown user", func() sasl.Client { return clients("bob@example.org", password)[sasl.CRAMMD5] }, true},
		{"SCRAM, unknown user", func() sasl.Client { return clients("bob@example.org", password)[sasl.SCRAMSHA256] }, true},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := from(fmt.Sprintf("10.%d.0.1", i))
			for range 12 {
				_, err := exchangeWith(t, e, a, tc.client())
				if errors.Is(err, ErrRateLimited) && tc.counts {
					return
				}
				if !errors.Is(err, ErrCredentials) || errors.Is(err, ErrNoSecret) == tc.counts {
					t.Fatalf("got %v", err)
				}
			}
			if tc.counts {
				t.Fatal("not counted")
			}
		})
	}
}

func TestEachAttemptIsOneLineForToolsThatBlockAddresses(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	line := func(fn func()) string {
		t.Helper()
		e.log.Take()
		fn()
		l := strings.Split(strings.TrimSpace(e.log.Take()), "\n")
		if len(l) != 1 {
			t.Fatalf("lines %q", l)
		}
		return l[0]
	}
	got := line(func() {
		_, _ = e.c.Password(ctxbg, from("192.0.2.1"), "bob@example.org result=ok", "secret-password")
	})
	want := `msg="login attempt" result=baduser remote=192.0.2.1 protocol=imap mechanism=LOGIN username="bob@example.org result=ok"`
	if !strings.Contains(got, want) || strings.Contains(got, "secret-password") {
		t.Errorf("got %s", got)
	}
	got = line(func() {
		_, _ = e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", password)
	})
	if want := `result=ok remote=192.0.2.1 protocol=imap mechanism=LOGIN account=ann username=ann@example.org`; !strings.Contains(got, want) {
		t.Errorf("got %s", got)
	}
	got = line(func() {
		x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.SCRAMSHA1)
		tcheck(t, err)
		x.Close()
		x.Close()
	})
	if !strings.Contains(got, "result=aborted") || !strings.Contains(got, "mechanism=SCRAM-SHA-1") {
		t.Errorf("got %s", got)
	}
	got = line(func() {
		_, _ = e.c.Password(ctxbg, from("192.0.2.1"), strings.Repeat("x", 10000), password)
	})
	if len(got) > 1000 {
		t.Errorf("line of %d octets", len(got))
	}
}

func TestContextThatEndsIsNotAFailedLogin(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	if _, err := e.c.Password(ctx, from("192.0.2.1"), "bob@example.org", password); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if log := e.log.Take(); !strings.Contains(log, "result=aborted") {
		t.Fatal(log)
	}
}

func TestSlowdownGrowsWithFailures(t *testing.T) {
	t.Parallel()
	for failures, want := range []Slowdown{{0, false}, {0, false}, {0, false}, {0, true}, {time.Second, true}, {2 * time.Second, true}} {
		if got := SlowdownFor(failures); got != want {
			t.Errorf("%d: got %+v, want %+v", failures, got, want)
		}
	}
	if got := SlowdownFor(1000); got.Delay != maxDelay {
		t.Errorf("got %v", got)
	}
}

func FuzzExchange(f *testing.F) {
	dir := f.TempDir()
	st, err := store.Open(ctxbg, store.Options{Dir: dir, Log: mlog.Discard()})
	tcheck(f, err)
	f.Cleanup(func() { st.Close() })
	c, err := New(Options{Store: st, Config: testConfig(f, dir), Dir: dir, Limits: config.Limits{AuthFailuresPerMinute: -1}})
	tcheck(f, err)
	f.Add(uint8(0), []byte("\x00ann@example.org\x00password"), []byte{})
	f.Add(uint8(1), []byte("ann@example.org"), []byte("password"))
	f.Add(uint8(2), []byte("ann@example.org 00112233445566778899aabbccddeeff"), []byte{})
	f.Add(uint8(3), []byte("n,,n=ann@example.org,r=clientnonce"), []byte("c=biws,r=x,p=AA=="))
	names := []string{sasl.Plain, sasl.Login, sasl.CRAMMD5, sasl.SCRAMSHA256, sasl.SCRAMSHA1Plus, sasl.External}
	f.Fuzz(func(t *testing.T, which uint8, r1, r2 []byte) {
		x, err := c.Begin(ctxbg, from("192.0.2.1"), names[int(which)%len(names)])
		tcheck(t, err)
		defer x.Close()
		for _, r := range [][]byte{nil, r1, r2, {}} {
			_, done, err := x.Next(ctxbg, r)
			if done || x.Result() != (Result{}) {
				t.Fatalf("logged in with %q %q", r1, r2)
			}
			if err != nil {
				return
			}
		}
	})
}

// What a client that has failed holds on to is its connection, and no account or file.
func TestAttemptsThatAreNotOverHoldNoAccount(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		testkit.Missing(t, "open files of the process are not known: %v", err)
	}
	_, err := derived() // Outside of the bubble: it is shared.
	tcheck(t, err)
	synctest.Test(t, func(t *testing.T) {
		e := testEnv(t)
		addApp(t, e, "ann", "phone", authdb.ScopeIMAP)
		open := func() (n int) {
			entries, err := os.ReadDir("/proc/self/fd")
			tcheck(t, err)
			for _, entry := range entries {
				if path, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasPrefix(path, filepath.Join(e.dir, "accounts", "ann")+"/") {
					n++
				}
			}
			return n
		}
		var exchanges []Exchange
		for _, name := range []string{sasl.SCRAMSHA256, sasl.SCRAMSHA1} {
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), name)
			tcheck(t, err)
			defer x.Close()
			_, _, err = x.Next(ctxbg, []byte("n,,n=ann@example.org,r=clientnonce"))
			tcheck(t, err)
			exchanges = append(exchanges, x)
		}
		if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", "wrong password"); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
		if open() == 0 {
			t.Error("the account was never open")
		}
		time.Sleep(time.Hour) // Until the store has closed what nobody holds.
		synctest.Wait()
		if n := open(); n != 0 {
			t.Errorf("%d files of the account are open", n)
		}
		for _, x := range exchanges {
			if _, _, err := x.Next(ctxbg, []byte("x")); !errors.Is(err, sasl.ErrProtocol) {
				t.Errorf("next step: %v", err)
			}
		}
	})
}
