package admin

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/authdb"
	"mox/internal/testkit"
	"mox/queue/queuedb"
	"mox/store"
)

const staticText = `DataDir: ../data
LogLevel: info
Hostname: mail.example.org
Listeners:
	local:
		IPs:
			- 127.0.0.1
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

const dynamicText = `# Ours.
Domains:
	example.org:
		LocalpartCatchallSeparator: +
		Aliases:
			# Those who sell.
			sales:
				Addresses:
					- ann@example.org
					- bob@example.org
	other.example: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
			anna@example.org: nil

	# The second.
	bob:
		Domain: example.org
		Destinations:
			bob@example.org: nil
`

// world is an Admin with what it works with.
type world struct {
	*Admin
	t      *testing.T
	dir    string // Of the configuration.
	logins fakeLogins
	queue  fakeQueue
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := testkit.Dir(t, map[string]string{"config/mox.conf": staticText, "config/domains.conf": dynamicText})
	w := &world{t: t, dir: filepath.Join(dir, "config")}
	log := slog.New(slog.DiscardHandler)
	h, err := config.Open(filepath.Join(w.dir, "mox.conf"), log)
	if err != nil {
		t.Fatal(err)
	}
	data := h.Snapshot().DataDir
	w.ok(os.MkdirAll(data, 0700))
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	w.ok(err)
	t.Cleanup(func() { w.ok(st.Close()) })
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	w.Admin = New(Options{Config: h, Store: st, Logins: &w.logins, Queue: &w.queue, Log: log, Now: func() time.Time { return now }})
	return w
}

// text returns domains.conf.
func (w *world) text() string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "domains.conf"))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// ok fails the test if a change failed.
func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("got error %v", err)
	}
}

// refused checks that a change was refused, for a reason, and that nothing was changed.
func (w *world) refused(before string, err, kind error, text string) {
	w.t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		w.t.Errorf("got error %v, expected %v with %q", err, kind, text)
	}
	if w.text() != before {
		w.t.Errorf("file was changed:\n%s", w.text())
	}
}

// changed checks what has become of domains.conf: each old text was replaced by the new
// one after it.
func (w *world) changed(before string, oldnew ...string) {
	w.t.Helper()
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(before, oldnew[i]) {
			w.t.Fatalf("text %q is not in the file", oldnew[i])
		}
		before = strings.Replace(before, oldnew[i], oldnew[i+1], 1)
	}
	if got := w.text(); got != before {
		w.t.Errorf("file is:\n%s\nexpected:\n%s", got, before)
	}
}

type fakeLogins struct {
	keys []authdb.TLSPublicKey
}

func (l *fakeLogins) TLSPublicKeys(_ context.Context, account string) ([]authdb.TLSPublicKey, error) {
	return slices.DeleteFunc(slices.Clone(l.keys), func(k authdb.TLSPublicKey) bool { return account != "" && k.Account != account }), nil
}

func (l *fakeLogins) RemoveAccount(_ context.Context, account string) error {
	l.keys = slices.DeleteFunc(l.keys, func(k authdb.TLSPublicKey) bool { return k.Account == account })
	return nil
}

func (l *fakeLogins) RenameAccount(context.Context, string, string) error { return nil }

type fakeQueue []queuedb.Message

func (q fakeQueue) List(_ context.Context, f queuedb.Filter, p queuedb.Page) ([]queuedb.Message, error) {
	l := slices.DeleteFunc(slices.Clone(q), func(m queuedb.Message) bool { return m.Account != f.Account || m.ID <= p.AfterID })
	return l[:min(len(l), p.Max)], nil
}

func (q fakeQueue) RemoveAccount(context.Context, string) error         { return nil }
func (q fakeQueue) RenameAccount(context.Context, string, string) error { return nil }

func TestAccountsAreAddedDisabledAndRemoved(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	w.ok(w.AddAccount(ctx, "eve", "Eve@other.example"))
	added := strings.TrimPrefix(w.text(), dynamicText)
	for _, want := range []string{"\teve:\n\t\tDomain: other.example\n", "\t\t\tEve@other.example: nil\n", "RejectsMailbox: Rejects", "Threshold: 0.95", "Period: 12h\n", "JunkMailboxRegexp: ^(junk|spam)\n"} {
		if !strings.Contains(added, want) {
			t.Errorf("no %q in what was added:\n%s", want, added)
		}
	}
	before := w.text()
	w.refused(before, w.AddAccount(ctx, "eve", "x@other.example"), ErrExists, `account "eve" exists`)
	w.refused(before, w.AddAccount(ctx, "mallory", "eve@other.example"), nil, "")
	w.refused(before, w.AddAccount(ctx, "../x", "x@other.example"), ErrInvalid, "directory")
	w.refused(before, w.AddAccount(ctx, "x", "x"), ErrInvalid, "address")
	data := w.opts.Config.Snapshot().DataDir
	w.ok(os.MkdirAll(filepath.Join(data, "accounts", "old"), 0700))
	w.refused(before, w.AddAccount(ctx, "old", "old@other.example"), ErrExists, "has data")

	w.ok(w.DisableAccount(ctx, "eve", "come back later"))
	if a, err := w.Account("eve"); err != nil || a.LoginDisabled != "come back later" || len(w.Accounts()) != 3 {
		t.Errorf("got %+v, %v", a, err)
	}
	w.ok(w.EnableAccount(ctx, "eve"))
	w.changed(before)
	w.refused(before, w.DisableAccount(ctx, "eve", ""), ErrInvalid, "text")
	w.refused(before, w.EnableAccount(ctx, "x"), ErrNotFound, "does not exist")

	w.logins.keys = []authdb.TLSPublicKey{{Fingerprint: "f", Account: "eve"}, {Fingerprint: "g", Account: "ann"}}
	w.queue = fakeQueue{{ID: 1, Account: "eve"}}
	_, err := w.RemoveAccount(ctx, "eve", RemoveOptions{})
	w.refused(before, err, ErrInUse, "in the queue")
	w.queue = nil
	_, err = w.RemoveAccount(ctx, "eve", RemoveOptions{})
	w.ok(err)
	w.changed(dynamicText)
	if len(w.logins.keys) != 1 {
		t.Errorf("after removal: %+v", w.logins)
	}
	_, err = w.RemoveAccount(ctx, "eve", RemoveOptions{})
	w.refused(dynamicText, err, ErrNotFound, "")
	_, err = w.RemoveAccount(ctx, "ann", RemoveOptions{}) // The postmaster.
	var cerrs config.Errors
	if !errors.As(err, &cerrs) || !strings.Contains(err.Error(), "Postmaster.Account") || w.text() != dynamicText {
		t.Errorf("got error %v", err)
	}
}

func TestRemovedAccountsLeaveAliases(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	_, err := w.RemoveAccount(ctx, "bob", RemoveOptions{})
	w.ok(err)
	w.changed(dynamicText, "\t\t\t\t\t- bob@example.org\n", "", "\tbob:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\tbob@example.org: nil\n", "")
}

func TestAddressesAreAddedAndRemoved(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	w.ok(w.AddAddress(ctx, "robert@EXAMPLE.org", "bob"))
	w.changed(dynamicText, "\t\t\tbob@example.org: nil\n", "\t\t\tbob@example.org: nil\n\t\t\trobert@example.org: nil\n")
	before := w.text()
	w.refused(before, w.AddAddress(ctx, "Robert@example.org", "ann"), ErrExists, `"bob"`)
	w.refused(before, w.AddAddress(ctx, "x@example.org", "nobody"), ErrNotFound, "account")
	w.refused(before, w.AddAddress(ctx, "@", "bob"), ErrInvalid, "domain")
	for _, bad := range []string{"x@unknown.example", "a+b@example.org", "sales@example.org"} {
		var cerrs config.Errors
		if err := w.AddAddress(ctx, bad, "bob"); !errors.As(err, &cerrs) || w.text() != before {
			t.Errorf("%s: got error %v", bad, err)
		}
	}
	w.ok(w.RemoveAddress(ctx, "ROBERT@example.org"))
	w.changed(dynamicText)
	w.refused(dynamicText, w.RemoveAddress(ctx, "robert@example.org"), ErrNotFound, "no account")
	w.refused(dynamicText, w.RemoveAddress(ctx, "bob@example.org"), ErrInUse, "last one")

	w.logins.keys = []authdb.TLSPublicKey{{Fingerprint: "f", Account: "ann", LoginAddress: "Ann@example.org"}}
	w.refused(dynamicText, w.RemoveAddress(ctx, "ann@example.org"), ErrInUse, "client certificate f")
	w.logins.keys = nil
	w.queue = fakeQueue{{ID: 1, Account: "ann", SenderLocalpart: "anna", SenderDomain: "example.org"}, {ID: 2, Account: "ann", SenderLocalpart: "Ann+x", SenderDomain: "example.org"}}
	w.refused(dynamicText, w.RemoveAddress(ctx, "ann@example.org"), ErrInUse, "in the queue")
	w.ok(w.AddAddress(ctx, "@example.org", "ann"))
	w.ok(w.RemoveAddress(ctx, "ann@example.org")) // The catchall gets errors.
	w.changed(dynamicText, "\t\t\tann@example.org: nil\n", "", "\t\t\tanna@example.org: nil\n", "\t\t\tanna@example.org: nil\n\t\t\t@example.org: nil\n", "\t\t\t\t\t- ann@example.org\n", "")
	w.ok(w.RemoveAddress(ctx, "@example.org"))
}

func TestAliasesChange(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	yes, no := true, false
	w.ok(w.AddAlias(ctx, "team@other.example", config.AliasFields{Addresses: []string{"ann@example.org"}, PostPublic: true}))
	w.changed(dynamicText, "other.example: nil\n", "other.example:\n\t\tAliases:\n\t\t\tteam:\n\t\t\t\tAddresses:\n\t\t\t\t\t- ann@example.org\n\t\t\t\tPostPublic: true\n")
	before := w.text()
	w.refused(before, w.AddAlias(ctx, "Team@other.example", config.AliasFields{Addresses: []string{"ann@example.org"}}), ErrExists, "")
	w.refused(before, w.AddAlias(ctx, "x@unknown.example", config.AliasFields{Addresses: []string{"ann@example.org"}}), ErrNotFound, "domain")
	w.refused(before, w.RemoveMembers(ctx, "team@other.example", "ann@example.org"), ErrInUse, "last member")
	_, err := w.RemoveAccount(ctx, "ann", RemoveOptions{})
	w.refused(before, err, ErrInUse, "last member of alias team@other.example")
	w.ok(w.UpdateAlias(ctx, "TEAM@other.example", AliasChange{PostPublic: &no, ListMembers: &yes}))
	if al, err := w.Alias("team@other.example"); err != nil || al.Fields.PostPublic || !al.Fields.ListMembers || al.Fields.AllowMsgFrom {
		t.Errorf("got %+v, %v", al, err)
	}
	w.ok(w.RemoveAlias(ctx, "team@other.example"))
	w.changed(dynamicText)
	w.refused(dynamicText, w.RemoveAlias(ctx, "team@other.example"), ErrNotFound, "")

	w.ok(w.AddMembers(ctx, "sales@example.org", "Anna@example.org"))
	w.changed(dynamicText, "- bob@example.org\n", "- bob@example.org\n\t\t\t\t\t- Anna@example.org\n")
	before = w.text()
	w.refused(before, w.AddMembers(ctx, "sales@example.org", "anna@example.org"), ErrExists, "member")
	w.refused(before, w.RemoveMembers(ctx, "sales@example.org", "bob@example.org", "x@example.org"), ErrNotFound, "not a member")
	w.ok(w.RemoveMembers(ctx, "sales@example.org", "ANN@example.org", "anna@example.org"))
	w.changed(dynamicText, "\t\t\t\t\t- ann@example.org\n", "")
	if l, err := w.Aliases("example.org"); err != nil || len(l) != 1 || l[0].Address != "sales@example.org" {
		t.Errorf("got %+v, %v", l, err)
	}
	if _, err := w.Aliases("x.example"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got error %v", err)
	}
}

func (w *world) keys(dir string) []string {
	w.t.Helper()
	l, err := filepath.Glob(filepath.Join(w.dir, "dkim", dir, "*.pem"))
	w.ok(err)
	for i := range l {
		l[i] = filepath.Base(l[i])
	}
	return l
}

func TestDomainsAreAddedAndRemovedWithTheirKeys(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	w.refused(dynamicText, w.AddDomain(ctx, NewDomain{Domain: "example.org", Account: "ann"}), ErrExists, "domain")
	w.refused(dynamicText, w.AddDomain(ctx, NewDomain{Domain: "new.example", Account: "eve"}), ErrNotFound, "localpart")
	w.refused(dynamicText, w.AddDomain(ctx, NewDomain{Domain: "new.example", Account: "ann", Localpart: "ann"}), ErrExists, "leave out")
	if err := w.AddDomain(ctx, NewDomain{Domain: "new.example", Account: "eve", Localpart: "dmarcreports"}); err == nil || len(w.keys("")) != 0 || w.text() != dynamicText {
		t.Errorf("address for reports as that of an account: %v, keys %q", err, w.keys(""))
	}
	w.ok(w.AddDomain(ctx, NewDomain{Domain: "new.example", Account: "eve", Localpart: "eve", Disabled: true}))
	keys := w.keys("")
	s := w.opts.Config.Snapshot()
	d := s.Dynamic.Domains["new.example"]
	if len(keys) != 4 || len(d.DKIM.Selectors) != 4 || !slices.Equal(d.DKIM.Sign, []string{"2026a", "2026b"}) || !d.Disabled || d.DMARC.Account != "eve" || d.TLSRPT.Mailbox != "TLSRPT" {
		t.Errorf("keys %q, domain %+v", keys, d)
	}
	before := w.text()
	w.ok(w.SetDomainDisabled(ctx, "new.example", false))
	w.changed(before, "\t\tDisabled: true\n", "")
	before = w.text()
	w.refused(before, w.SetDomainDisabled(ctx, "x.example", true), ErrNotFound, "")
	w.refused(before, w.RemoveDomain(ctx, "new.example"), ErrInUse, `account "eve" has addresses`)

	_, err := w.RemoveAccount(ctx, "eve", RemoveOptions{})
	var cerrs config.Errors
	if !errors.As(err, &cerrs) {
		t.Errorf("account that gets reports: got error %v", err)
	}
	w.ok(w.AddAddress(ctx, "eve@other.example", "eve"))
	w.ok(w.RemoveAddress(ctx, "eve@new.example"))
	if err := w.RemoveDomain(ctx, "new.example"); !errors.As(err, &cerrs) || !strings.Contains(err.Error(), "Accounts.eve.Domain") {
		t.Errorf("default domain of an account: got error %v", err)
	}
	w.logins.keys = []authdb.TLSPublicKey{{Fingerprint: "f", Account: "eve", LoginAddress: "x@new.example"}}
	before = w.text()
	w.refused(before, w.RemoveDomain(ctx, "new.example"), ErrInUse, "client certificate")
	w.refused(before, w.RemoveDomain(ctx, "x.example"), ErrNotFound, "")
	if l := w.keys("old"); len(l) != 0 {
		t.Errorf("keys were moved: %q", l)
	}
}

func TestKeysMoveToADirectoryForOldOnes(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	w.ok(w.AddDKIM(ctx, "other.example", "first", KeyEd25519, true))
	w.ok(w.AddDKIM(ctx, "other.example", "second", KeyEd25519, false))
	w.refused(w.text(), w.AddDKIM(ctx, "other.example", "first", KeyEd25519, false), ErrExists, "selector")
	w.refused(w.text(), w.AddDKIM(ctx, "other.example", "x", "dsa", false), ErrInvalid, "dsa")
	w.refused(w.text(), w.AddDKIM(ctx, "other.example", "x y", KeyRSA, false), ErrInvalid, "selector")
	w.refused(w.text(), w.AddDKIM(ctx, "x.example", "x", KeyRSA, false), ErrNotFound, "domain")
	d, _ := w.opts.Config.Snapshot().Domain(dns.Domain{ASCII: "other.example"})
	if len(d.Selectors) != 2 || len(d.Sign) != 1 || d.Sign[0].Name.ASCII != "first" {
		t.Fatalf("got %+v", d)
	}
	w.ok(w.RemoveDKIM(ctx, "other.example", "first"))
	if now, old := w.keys(""), w.keys("old"); len(now) != 1 || !strings.HasPrefix(now[0], "second.") || len(old) != 1 || !strings.HasPrefix(old[0], "first.") {
		t.Errorf("keys %q, old keys %q", now, old)
	}
	w.refused(w.text(), w.RemoveDKIM(ctx, "other.example", "first"), ErrNotFound, "selector")
	w.ok(w.RemoveDomain(ctx, "other.example"))
	w.changed(dynamicText, "\tother.example: nil\n", "")
	if now, old := w.keys(""), w.keys("old"); len(now) != 0 || len(old) != 2 {
		t.Errorf("keys %q, old keys %q", now, old)
	}
	w.refused(w.text(), w.RemoveDomain(ctx, "example.org"), ErrInUse, "last domain")
	w.refused(w.text(), w.RemoveDKIM(ctx, "example.org", "x"), ErrNotFound, "no DKIM keys")
}
