package authdb

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, opts Options) *DB {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	d, err := Open(ctxbg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func appPassword(account, name string) AppPassword {
	keys := func(n int) SCRAMKeys {
		b := bytes.Repeat([]byte{1}, n)
		return SCRAMKeys{Salt: []byte("salt"), Iterations: 4096, StoredKey: b, ServerKey: b}
	}
	return AppPassword{
		Account: account, Name: name, Scope: ScopeIMAP, Salt: []byte("salt"), Hash: bytes.Repeat([]byte{2}, 32),
		SCRAMSHA1: keys(20), SCRAMSHA256: keys(32),
	}
}

func TestScopesAreParsedAndWritten(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in, out string
		err     error
	}{
		{"smtp", "smtp", nil},
		{"imap, smtp", "smtp,imap", nil},
		{"web,imap,smtp,imap", "smtp,imap,web", nil},
		{"", "", ErrScope},
		{"imap,", "", ErrScope},
		{"IMAP", "", ErrScope},
		{"pop3", "", ErrScope},
	} {
		got, err := ParseScope(tc.in)
		if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || got.String() != tc.out {
			t.Errorf("%q: got %q, %v", tc.in, got, err)
		}
	}
}

func TestAppPasswordsAreAddedListedAndRemoved(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	for _, p := range []AppPassword{appPassword("ann", "phone"), appPassword("bob", "phone"), appPassword("ann", "laptop")} {
		if err := d.AddAppPassword(ctxbg, p); err != nil {
			t.Fatal(err)
		}
	}
	noScope, badScope := appPassword("ann", "x"), appPassword("ann", "x")
	noScope.Scope, badScope.Scope = 0, 8
	for _, tc := range []struct {
		p   AppPassword
		err error
	}{
		{appPassword("ann", "phone"), ErrAppPasswordExists},
		{appPassword("ann", ""), ErrAppPasswordName},
		{appPassword("ann", "a\tb"), ErrAppPasswordName},
		{appPassword("ann", "\xff"), ErrAppPasswordName},
		{appPassword("ann", strings.Repeat("x", maxName+1)), ErrAppPasswordName},
		{noScope, ErrScope},
		{badScope, ErrScope},
	} {
		if err := d.AddAppPassword(ctxbg, tc.p); !errors.Is(err, tc.err) {
			t.Errorf("%q: got %v, expected %v", tc.p.Name, err, tc.err)
		}
	}
	names := func(account string) string {
		t.Helper()
		l, err := d.AppPasswords(ctxbg, account)
		if err != nil {
			t.Fatal(err)
		}
		var s []string
		for _, p := range l {
			s = append(s, p.Account+" "+p.Name)
			if p.Created.IsZero() || !p.LastUse.IsZero() || p.Scope != ScopeIMAP {
				t.Errorf("got %+v", p)
			}
		}
		return strings.Join(s, ",")
	}
	if got := names("ann"); got != "ann phone,ann laptop" {
		t.Errorf("of ann: %s", got)
	}
	if got := names(""); got != "ann phone,bob phone,ann laptop" {
		t.Errorf("of all: %s", got)
	}
	if err := d.RemoveAppPassword(ctxbg, "ann", "phone"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range [][2]string{{"ann", "phone"}, {"ann", ""}, {"", "phone"}} {
		if err := d.RemoveAppPassword(ctxbg, tc[0], tc[1]); !errors.Is(err, ErrNoAppPassword) {
			t.Errorf("%q: %v", tc, err)
		}
	}
	if got := names(""); got != "bob phone,ann laptop" {
		t.Errorf("after removal: %s", got)
	}
}

func TestAppPasswordsOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	for i := range MaxAppPasswords {
		if err := d.AddAppPassword(ctxbg, appPassword("ann", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.AddAppPassword(ctxbg, appPassword("ann", "more")); !errors.Is(err, ErrTooManyAppPasswords) {
		t.Errorf("one too many: %v", err)
	}
	if err := d.AddAppPassword(ctxbg, appPassword("bob", "more")); err != nil {
		t.Errorf("of another account: %v", err)
	}
}

func TestLastUseOfAppPasswordComesWithTheAttempts(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	for _, name := range []string{"phone", "laptop", "gone"} {
		if err := d.AddAppPassword(ctxbg, appPassword("ann", name)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := d.AppPasswords(ctxbg, "ann")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	use := func(p AppPassword, result string, n int) {
		d.RecordLogin(LoginAttempt{
			Account: "ann", RemoteIP: fmt.Sprintf("192.0.2.%d", n), Protocol: "imap", Result: result,
			Last: at.Add(time.Duration(n) * time.Minute), AppPassword: p.Name, AppPasswordID: p.ID,
		})
	}
	use(l[0], ResultOK, 1)
	use(l[0], ResultOK, 2)
	use(l[1], "badcreds", 3) // Not of the scope.
	use(l[2], ResultOK, 4)
	if err := d.RemoveAppPassword(ctxbg, "ann", "gone"); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(ctxbg); err != nil {
		t.Fatal(err)
	}
	if l, err = d.AppPasswords(ctxbg, "ann"); err != nil || len(l) != 2 {
		t.Fatal(l, err)
	}
	if p := l[0]; !p.LastUse.Equal(at.Add(2*time.Minute)) || p.LastRemoteIP != "192.0.2.2" || p.LastProtocol != "imap" {
		t.Errorf("phone: %+v", p)
	}
	if p := l[1]; !p.LastUse.IsZero() || p.LastRemoteIP != "" {
		t.Errorf("laptop: %+v", p)
	}
}
