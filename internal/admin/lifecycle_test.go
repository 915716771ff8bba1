package admin

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/config/edit"
	"mox/imap"
	"mox/internal/authdb"
	"mox/internal/testkit"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/store"
)

// life is an Admin with real databases, which can be closed and opened again.
type life struct {
	*Admin
	t      *testing.T
	config string
	store  *store.Store
	logins *authdb.DB
	queue  *queuedb.DB

	backups sync.Mutex
}

func newLife(t *testing.T) *life {
	t.Helper()
	dir := testkit.Dir(t, map[string]string{"config/mox.conf": staticText, "config/domains.conf": strings.Replace(dynamicText, "\tother.example: nil\n",
		"\tother.example:\n\t\tDMARC:\n\t\t\tLocalpart: reports\n\t\t\tAccount: bob\n\t\t\tMailbox: DMARC\n", 1)})
	l := &life{t: t, config: filepath.Join(dir, "config", "mox.conf")}
	l.open()
	t.Cleanup(l.close)
	return l
}

func (l *life) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) open() {
	l.t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	h, err := config.Open(l.config, log)
	l.ok(err)
	data := h.Snapshot().DataDir
	l.ok(os.MkdirAll(data, 0700))
	known := func(name string) bool { _, ok := h.Snapshot().Account(name); return ok }
	l.store, err = store.Open(ctx, store.Options{Dir: data, Known: known})
	l.ok(err)
	l.logins, err = authdb.Open(ctx, authdb.Options{Dir: data})
	l.ok(err)
	l.queue, err = queuedb.Open(ctx, queuedb.Options{Dir: data, Log: log, Known: known})
	l.ok(err)
	l.Admin = New(Options{Config: h, Store: l.store, Logins: l.logins, Queue: l.queue, Backups: &l.backups, Log: log})
}

func (l *life) close() {
	l.t.Helper()
	l.ok(errors.Join(l.store.Close(), l.logins.Close(), l.queue.Close()))
}

// enqueue queues a message of an account.
func (l *life) enqueue(account string) error {
	spool := testkit.Spool(l.t, l.t.TempDir(), "Subject: q\r\n\r\nq\r\n")
	to, err := smtp.ParseAddress("x@elsewhere.example", smtp.Strict)
	l.ok(err)
	_, err = l.queue.Enqueue(context.Background(), queuedb.Submission{Account: account, Recipients: []queuedb.Recipient{{To: to.Path(), Sender: to.Path()}, {To: to.Path()}}, Spool: spool})
	return err
}

// fill gives bob something of everything.
func (l *life) fill() {
	l.t.Helper()
	ctx := context.Background()
	acc, err := l.store.Ensure(ctx, "bob")
	l.ok(err)
	defer acc.Release()
	spool := testkit.Spool(l.t, l.t.TempDir(), "Subject: hello\r\n\r\nfor bob\r\n")
	_, err = acc.Append(ctx, store.NewMessage{Mailbox: "Inbox", Spool: spool, Flags: imap.FlagSeen | imap.FlagForwarded, Keywords: []string{"work"}})
	l.ok(err)

	l.ok(l.logins.AddAppPassword(ctx, authdb.AppPassword{Account: "bob", Name: "phone", Scope: authdb.ScopeAll, Salt: make([]byte, 16), Hash: make([]byte, 32)}))
	l.logins.RecordLogin(authdb.LoginAttempt{Account: "bob", Last: time.Now(), Protocol: "imap", Result: "badcreds"})

	l.ok(l.enqueue("bob"))
	first, err := l.queue.List(ctx, queuedb.Filter{Account: "bob"}, queuedb.Page{Max: 1})
	l.ok(err)
	_, err = l.queue.Drop(ctx, queuedb.Filter{IDs: []int64{first[0].ID}}, func(string) time.Duration { return time.Hour })
	l.ok(err)
	_, err = l.queue.AddSuppression(ctx, "bob", first[0].Recipient(), "no")
	l.ok(err)
	_, _, err = l.queue.AddHoldRule(ctx, queuedb.HoldRule{Account: "bob"})
	l.ok(err)
}

// has checks whether an account has all of what fill gave bob, or nothing at all.
func (l *life) has(account string, all bool) {
	l.t.Helper()
	ctx := context.Background()
	want := 0
	if all {
		want = 1
	}
	count := func(what string, n int, err error) {
		l.t.Helper()
		if err != nil || n != want {
			l.t.Errorf("account %s has %d of %s, expected %d, error %v", account, n, what, want, err)
		}
	}
	_, known := l.opts.Config.Snapshot().Account(account)
	if known != all {
		l.t.Errorf("account %s is in the configuration: %v", account, known)
	}
	messages := 0
	acc, err := l.store.Account(ctx, account)
	if err == nil {
		messages = int(acc.Tree().Messages())
		if problems, err := acc.Verify(ctx); err != nil || len(problems) > 0 {
			l.t.Errorf("account %s: %v, %v", account, problems, err)
		}
		acc.Release()
	} else if errors.Is(err, store.ErrNoAccount) {
		err = nil
	}
	count("messages", messages, err)
	if _, err := os.Stat(filepath.Join(l.opts.Config.Snapshot().DataDir, "accounts", account)); (err == nil) != all {
		l.t.Errorf("directory of account %s: %v", account, err)
	}
	passwords, err := l.logins.AppPasswords(ctx, account)
	count("app passwords", len(passwords), err)
	attempts, err := l.logins.LoginAttempts(ctx, account, 10)
	count("login attempts", len(attempts), err)
	queued, err := l.queue.List(ctx, queuedb.Filter{Account: account}, queuedb.Page{})
	count("queued messages", len(queued), err)
	usage, size, err := l.queue.Usage(ctx, account)
	count("usage", int(usage), err)
	if (size > 0) != all {
		l.t.Errorf("account %s has %d octets in the queue", account, size)
	}
	retired, err := l.queue.ListRetired(ctx, queuedb.RetiredFilter{Account: account}, queuedb.RetiredPage{})
	count("retired messages", len(retired), err)
	for _, r := range retired {
		if r.Message.Account != account {
			l.t.Errorf("retired message says account %s", r.Message.Account)
		}
	}
	suppressed, err := l.queue.Suppressions(ctx, account, 0, 0)
	count("suppressed addresses", len(suppressed), err)
	rules, err := l.queue.HoldRules(ctx)
	count("hold rules", len(slices.DeleteFunc(rules, func(r queuedb.HoldRule) bool { return r.Account != account })), err)
	if problems, err := l.queue.Verify(ctx); err != nil || len(problems) > 0 {
		l.t.Errorf("queue: %v, %v", problems, err)
	}
}

// nothingPending checks that no work is left over.
func (l *life) nothingPending() {
	l.t.Helper()
	if p, err := l.readPending(); err != nil || len(p) > 0 {
		l.t.Errorf("pending: %+v, %v", p, err)
	}
	entries, err := os.ReadDir(l.store.TempDir())
	if err != nil || len(entries) > 0 {
		l.t.Errorf("temporary files: %v, %v", entries, err)
	}
}

func TestARenamedAccountKeepsEverything(t *testing.T) {
	t.Parallel()
	l, ctx := newLife(t), t.Context()
	l.fill()
	acc, err := l.store.Account(ctx, "bob")
	l.ok(err)
	ended := make(chan struct{})
	s := acc.Session()
	s.OnEnd(func() { close(ended) })
	l.ok(l.RenameAccount(ctx, "bob", "robert"))
	<-ended
	s.Close()
	acc.Release()
	l.has("bob", false)
	l.has("robert", true)
	l.nothingPending()
	if got := l.opts.Config.Snapshot().Dynamic.Domains["other.example"].DMARC.Account; got != "robert" {
		t.Errorf("reports go to %q", got)
	}
	data, err := os.ReadFile(filepath.Join(l.dir(), "domains.conf"))
	l.ok(err)
	if !strings.Contains(string(data), "\t# The second.\n\trobert:\n") {
		t.Errorf("comment is gone:\n%s", data)
	}

	// Who has begun with the old name does not make an account of it again.
	if _, err := l.store.Ensure(ctx, "bob"); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("old name: %v", err)
	}
	if err := l.enqueue("bob"); err == nil {
		t.Error("queued for the old name")
	}
	l.ok(l.enqueue("robert"))
	l.ok(l.AddAccount(ctx, "bob", "other@example.org"))
}

func TestAccountsThatCannotBeRenamed(t *testing.T) {
	t.Parallel()
	l, ctx := newLife(t), t.Context()
	l.fill()
	for _, tc := range []struct {
		from, to string
		kind     error
	}{
		{"ann", "anna", ErrInUse}, // The postmaster.
		{"bob", "ann", ErrExists},
		{"bob", "../x", ErrInvalid},
		{"bob", "", ErrInvalid},
		{"eve", "mallory", ErrNotFound},
	} {
		if err := l.RenameAccount(ctx, tc.from, tc.to); !errors.Is(err, tc.kind) {
			t.Errorf("%s to %q: %v", tc.from, tc.to, err)
		}
	}
	l.backups.Lock()
	if err := l.RenameAccount(ctx, "bob", "robert"); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("during a backup: %v", err)
	}
	l.backups.Unlock()
	l.ok(os.Mkdir(filepath.Join(l.opts.Config.Snapshot().DataDir, "accounts", "left"), 0700))
	if err := l.RenameAccount(ctx, "bob", "left"); !errors.Is(err, ErrExists) {
		t.Errorf("name of a directory: %v", err)
	}
	l.has("bob", true)
	l.nothingPending()
}

func TestRenamingGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"noted", "configured", "directory", "logins", "queue", "forgotten"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			l, ctx := newLife(t), t.Context()
			l.fill()
			crash := errors.New("crash")
			l.crash = func(step string) error {
				if step == point {
					return crash
				}
				return nil
			}
			if err := l.RenameAccount(ctx, "bob", "robert"); !errors.Is(err, crash) {
				t.Fatalf("got error %v", err)
			}
			// In between, neither name can be used.
			if _, err := l.store.Ensure(ctx, "robert"); !errors.Is(err, store.ErrClosed) {
				t.Errorf("opened while being renamed: %v", err)
			}
			l.close()
			l.open()
			l.ok(l.Resume(ctx))
			l.has("bob", point == "noted")
			l.has("robert", point != "noted")
			l.nothingPending()
			l.ok(l.Resume(ctx))
		})
	}
}

func TestRemovingGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"noted", "configured", "directory", "logins", "queue", "forgotten"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			l, ctx := newLife(t), t.Context()
			l.fill()
			l.ok(l.RenameAccount(ctx, "bob", "robert")) // Reports about a domain are in its way.
			l.ok(l.opts.Config.Edit(dropReports))
			crash := errors.New("crash")
			l.crash = func(step string) error {
				if step == point {
					return crash
				}
				return nil
			}
			if _, err := l.RemoveAccount(ctx, "robert", RemoveOptions{DropQueue: true}); !errors.Is(err, crash) {
				t.Fatalf("got error %v", err)
			}
			if point != "forgotten" {
				if err := l.AddAccount(ctx, "robert", "robert@example.org"); !errors.Is(err, ErrInUse) && !errors.Is(err, ErrExists) {
					t.Errorf("added while being removed: %v", err)
				}
			}
			l.close()
			l.open()
			l.ok(l.Resume(ctx))
			l.has("robert", point == "noted")
			l.nothingPending()
		})
	}
}

func TestAccountsAreExportedBeforeTheyAreRemoved(t *testing.T) {
	t.Parallel()
	l, ctx := newLife(t), t.Context()
	l.fill()
	if _, err := l.RemoveAccount(ctx, "bob", RemoveOptions{DropQueue: true}); err == nil {
		t.Error("removed an account that reports go to")
	}
	l.ok(l.opts.Config.Edit(dropReports))
	if _, err := l.RemoveAccount(ctx, "bob", RemoveOptions{}); !errors.Is(err, ErrInUse) {
		t.Errorf("with messages in the queue: %v", err)
	}
	dir := t.TempDir()
	there := filepath.Join(dir, "there.tgz")
	l.ok(os.WriteFile(there, []byte("mine"), 0600))
	if _, err := l.RemoveAccount(ctx, "bob", RemoveOptions{Export: there, DropQueue: true}); err == nil {
		t.Error("overwrote a file")
	}
	if data, err := os.ReadFile(there); err != nil || string(data) != "mine" {
		t.Errorf("file is %q, %v", data, err)
	}
	l.has("bob", true)
	l.nothingPending()

	file := filepath.Join(dir, "bob.tgz")
	n, err := l.RemoveAccount(ctx, "bob", RemoveOptions{Export: file, DropQueue: true})
	l.ok(err)
	if n != 1 {
		t.Errorf("%d messages exported", n)
	}
	l.has("bob", false)
	l.nothingPending()
	files := readTgz(t, file)
	var name string
	for f := range files {
		if strings.HasPrefix(f, "Inbox/cur/") && !strings.HasSuffix(f, "/") {
			name = f
		}
	}
	if !strings.HasSuffix(name, ".mox:2,PSa") || files[name] != "Subject: hello\r\n\r\nfor bob\r\n" {
		t.Errorf("message is %q %q", name, files[name])
	}
	if files["Inbox/dovecot-keywords"] != "0 work\n" {
		t.Errorf("keywords %q", files["Inbox/dovecot-keywords"])
	}
	if _, ok := files["Sent/dovecot-keywords"]; !ok {
		t.Error("mailbox without messages is missing")
	}
}

func TestAccountsAreExportedToADirectory(t *testing.T) {
	t.Parallel()
	l, ctx := newLife(t), t.Context()
	l.fill()
	l.ok(l.opts.Config.Edit(dropReports))
	_, err := l.RemoveAccount(ctx, "bob", RemoveOptions{Export: "bob", DropQueue: true})
	l.ok(err)
	found, err := filepath.Glob(filepath.Join(l.opts.Config.Snapshot().DataDir, "bob", "Inbox", "cur", "*:2,PSa"))
	if err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
}

func readTgz(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(data)
	}
}

func dropReports(doc *edit.Doc, _ *config.Snapshot) error {
	return doc.Remove(edit.At("Domains", "other.example", "DMARC"))
}
