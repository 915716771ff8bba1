package training

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"mox/config"
	"mox/imap"
	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/junk"
	"mox/message"
	"mox/mlog"
	"mox/store"
)

var ctxbg = context.Background()

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// env is a store with a trainer that learns only when it is told to, unless Start is
// called.
type env struct {
	testing.TB
	dir   string
	conf  *config.Holder
	store *store.Store
	*Trainer
	log  testkit.LogBuffer
	opts Options // For trainers that open makes.
}

// snapshot returns a configuration with accounts with a filter, and "none" without.
func snapshot(t testing.TB, dir string, filter config.JunkFilterFields, accounts ...string) *config.Snapshot {
	t.Helper()
	d := config.Dynamic{Domains: map[string]config.DomainFields{"example.org": {}}, Accounts: map[string]config.AccountFields{}}
	for _, name := range append(accounts, "none") {
		a := config.AccountFields{Domain: "example.org", Destinations: map[string]config.DestinationFields{name + "@example.org": {}}}
		if name != "none" {
			a.JunkFilter = &filter
		}
		d.Accounts[name] = a
	}
	s, err := config.New(config.Static{
		DataDir: dir, LogLevel: "info", Hostname: "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "none", Mailbox: "Inbox"},
	}, d)
	tcheck(t, err)
	return s
}

func newEnv(t testing.TB, o Options, accounts ...string) *env {
	if len(accounts) == 0 {
		accounts = []string{"ann"}
	}
	e := &env{TB: t, dir: t.TempDir(), opts: o}
	e.conf = config.NewHolder(snapshot(t, e.dir, config.JunkFilterFields{}, accounts...))
	e.start()
	t.Cleanup(func() {
		e.stop()
		report, err := store.Verify(ctxbg, e.dir, store.VerifyOptions{})
		if err != nil || len(report.Problems) > 0 {
			t.Errorf("verify: %v %v", err, report.Problems)
		}
	})
	return e
}

// start opens all that is on disk.
func (e *env) start() {
	e.Helper()
	var err error
	e.store, err = store.Open(ctxbg, store.Options{
		Dir: e.dir, Log: mlog.Discard(),
		Policy:  func(account string) store.Policy { return store.Policy{Train: account != "none"} },
		Lessons: func(account string) { e.Wake(account) },
	})
	tcheck(e, err)
	o := e.opts
	o.Config, o.Store, o.Dir, o.Log = e.conf, e.store, e.dir, slog.New(slog.NewTextHandler(&e.log, nil))
	e.Trainer = New(o)
}

// stop closes all. It may be called twice.
func (e *env) stop() {
	e.Helper()
	tcheck(e, e.Trainer.Close())
	tcheck(e, e.store.Close())
}

// restart is what happens after a crash, apart from what is in memory of the system.
func (e *env) restart() {
	e.Helper()
	e.stop()
	e.start()
}

func text(i int, junk bool) string {
	s := fmt.Sprintf("the garden needs water and the roses bloom letter%d", i)
	if junk {
		s = fmt.Sprintf("buy cheap pills now from our store number%d offer", i)
	}
	return fmt.Sprintf("From: <a%d@example.net>\r\nTo: <ann@example.org>\r\nSubject: hello\r\nMessage-ID: <%d@example.net>\r\n\r\n%s\r\n", i, i, s)
}

// deliver stores n messages that are junk and n that are not, flagged so, and returns
// them in turns.
func (e *env) deliver(account string, n int) (l []store.Message) {
	e.Helper()
	for i := range n {
		for _, junk := range []bool{true, false} {
			l = append(l, e.add(account, text(i, junk), junk))
		}
	}
	return l
}

func (e *env) add(account, data string, junk bool) store.Message {
	e.Helper()
	return e.addPrefixed(account, "", data, junk)
}

func (e *env) addPrefixed(account, prefix, data string, junk bool) store.Message {
	e.Helper()
	acc, err := e.store.Ensure(ctxbg, account)
	tcheck(e, err)
	defer acc.Release()
	sp := safefile.NewSpool(safefile.SpoolOptions{Dir: e.store.TempDir()})
	defer sp.Close()
	_, err = sp.Write([]byte(data))
	tcheck(e, err)
	m := store.NewMessage{Mailbox: "Inbox", Spool: sp, Prefix: []byte(prefix), Flags: imap.FlagNotJunk}
	if junk {
		m.Flags = imap.FlagJunk
	}
	msgs, err := acc.Append(ctxbg, m)
	tcheck(e, err)
	return msgs[0]
}

func (e *env) update(account string, fn func(tx *store.Tx) error) {
	e.Helper()
	acc, err := e.store.Ensure(ctxbg, account)
	tcheck(e, err)
	defer acc.Release()
	tcheck(e, acc.Update(ctxbg, fn))
}

// flag replaces the flags of a message.
func (e *env) flag(account string, m store.Message, f store.Flags) {
	e.Helper()
	e.update(account, func(tx *store.Tx) error {
		_, err := tx.SetFlags(m.MailboxID, []uint32{m.UID}, store.FlagChange{FlagSet: imap.FlagSet{Flags: f}}, -1)
		return err
	})
}

// rows returns how many rows are in the journal.
func (e *env) rows(account string) int {
	e.Helper()
	acc, err := e.store.Ensure(ctxbg, account)
	tcheck(e, err)
	defer acc.Release()
	l, err := acc.Lessons(ctxbg, 10000)
	tcheck(e, err)
	return len(l)
}

// stats opens the filter as it is on disk.
func (e *env) stats(account string) junk.Stats {
	e.Helper()
	conf, _ := e.conf.Snapshot().Account(account)
	f, err := e.acquire(ctxbg, account, *conf.JunkFilter)
	tcheck(e, err)
	defer func() { tcheck(e, e.open.Release(f)) }()
	return f.Stats()
}

// want checks how many lessons a filter has had, and that nothing is left to learn.
func (e *env) want(account string, ham, spam int) {
	e.Helper()
	if s := e.stats(account); s.Ham != ham || s.Spam != spam {
		e.Errorf("filter has %d ham, %d junk, expected %d and %d", s.Ham, s.Spam, ham, spam)
	}
	if n := e.rows(account); n != 0 {
		e.Errorf("%d rows are left", n)
	}
}

func tokens(t testing.TB, data string) *junk.Tokens {
	t.Helper()
	r := strings.NewReader(data)
	root, err := message.Parse(r, r.Size(), message.Limits{})
	tcheck(t, err)
	l, err := junk.Read(r, r.Size(), root)
	tcheck(t, err)
	return l
}

// isJunk judges a message that is like those of deliver.
func (e *env) isJunk(account string, junk bool) bool {
	e.Helper()
	v, ok, err := e.Classify(ctxbg, account, tokens(e, text(-1, junk)))
	if err != nil || !ok {
		e.Fatalf("classify: %v, %v", ok, err)
	}
	return v.Junk
}

// files returns the names of the files of the filter of an account.
func (e *env) files(account string) string {
	e.Helper()
	entries, err := os.ReadDir(e.dir + "/accounts/" + account)
	tcheck(e, err)
	var l []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), FileName) {
			l = append(l, entry.Name())
		}
	}
	return strings.Join(l, " ")
}

// opened returns the accounts with an open filter.
func (e *env) opened() string {
	e.Helper()
	var l []string
	for _, name := range slices.Sorted(maps.Keys(e.conf.Snapshot().Dynamic.Accounts)) {
		if e.current(name) != nil {
			l = append(l, name)
		}
	}
	return strings.Join(l, " ")
}

// current returns the open filter of an account, or nil.
func (e *env) current(name string) *filter {
	e.Helper()
	slot, err := e.open.Lock(ctxbg, name)
	tcheck(e, err)
	defer slot.Unlock()
	return slot.Current()
}

var errCrash = errors.New("crash")
