package textindex

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"mox/internal/fts"
	"mox/internal/safefile"
	"mox/internal/testkit"
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

// env is a store with an indexer that works only when it is told to, unless Start is
// called.
type env struct {
	testing.TB
	dir   string
	store *store.Store
	*Indexer
	log  testkit.LogBuffer
	fs   safefile.FS // Of the store. Nil: that of the system.
	opts Options     // For indexers that start makes.
}

func newEnv(t testing.TB, o Options) *env {
	e := &env{TB: t, dir: t.TempDir(), opts: o}
	e.start()
	t.Cleanup(func() {
		e.stop()
		report, err := store.Verify(ctxbg, e.dir, store.VerifyOptions{})
		if err != nil || len(report.Problems) > 0 {
			t.Errorf("verify: %v %v", err, report.Problems)
		}
		problems, err := Verify(ctxbg, e.dir)
		if err != nil || len(problems) > 0 {
			t.Errorf("verify: %v %v", err, problems)
		}
	})
	return e
}

// start opens all that is on disk.
func (e *env) start() {
	e.Helper()
	var err error
	e.store, err = store.Open(ctxbg, store.Options{
		Dir: e.dir, Log: mlog.Discard(), FS: e.fs, UndeleteWindow: -1,
		Contents: func(account string, erased bool) { e.Wake(account, erased) },
	})
	tcheck(e, err)
	o := e.opts
	o.Store, o.Dir, o.Log = e.store, e.dir, slog.New(slog.NewTextHandler(&e.log, nil))
	if o.Delay == 0 {
		o.Delay = time.Hour
	}
	e.Indexer = New(o)
}

// stop closes all. It may be called twice.
func (e *env) stop() {
	e.Helper()
	tcheck(e, errors.Join(e.Indexer.Close(), e.store.Close()))
}

// restart is what happens after a crash, apart from what is in memory of the system.
func (e *env) restart() {
	e.Helper()
	e.stop()
	e.start()
}

// flush indexes all messages. The account is opened anew before, so that no id below
// theirs is reserved for a message to come.
func (e *env) flush(account string) {
	e.Helper()
	e.restart()
	tcheck(e, e.Flush(ctxbg, account))
}

func (e *env) account(name string) *store.Account {
	e.Helper()
	acc, err := e.store.Ensure(ctxbg, name)
	tcheck(e, err)
	return acc
}

// data is message number i.
func data(i int) string {
	return fmt.Sprintf("From: <a%d@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= %d\r\nMessage-ID: <%d@example.net>\r\n\r\nthe body has word%d and other words\r\n", i, i, i, i)
}

// add stores messages.
func (e *env) add(account string, texts ...string) (l []store.Message) {
	e.Helper()
	acc := e.account(account)
	defer acc.Release()
	for _, text := range texts {
		l = append(l, appendMessage(e, e.store, acc, text))
	}
	return l
}

func appendMessage(t testing.TB, s *store.Store, acc *store.Account, text string) store.Message {
	t.Helper()
	sp := safefile.NewSpool(safefile.SpoolOptions{Dir: s.TempDir()})
	defer sp.Close()
	_, err := sp.Write([]byte(text))
	tcheck(t, err)
	msgs, err := acc.Append(ctxbg, store.NewMessage{Mailbox: "Inbox", Spool: sp})
	tcheck(t, err)
	return msgs[0]
}

// fill stores messages with numbers from i up to, but not including, end.
func (e *env) fill(account string, i, end int) (l []store.Message) {
	e.Helper()
	for ; i < end; i++ {
		l = append(l, e.add(account, data(i))...)
	}
	return l
}

func (e *env) expunge(account string, l ...store.Message) {
	e.Helper()
	acc := e.account(account)
	defer acc.Release()
	tcheck(e, acc.Update(ctxbg, func(tx *store.Tx) error {
		var uids []uint32
		for _, m := range l {
			uids = append(uids, m.UID)
		}
		_, err := tx.Expunge(l[0].MailboxID, uids, false)
		return err
	}))
	tcheck(e, acc.Sweep(ctxbg))
}

// answer returns what the index knows of a message.
func (e *env) answer(account string, contentID int64, text string) fts.Answer {
	e.Helper()
	acc := e.account(account)
	defer acc.Release()
	r := e.Reader(ctxbg, acc)
	defer r.Close()
	s := r.Search(ctxbg, []fts.Pattern{{Text: []byte(text)}})
	if s == nil {
		e.Fatalf("no index: %s", e.log.String())
	}
	if a := s.May(0, contentID); a != fts.Maybe {
		return a
	}
	found := make([]fts.Answer, 1)
	tcheck(e, s.Match(ctxbg, []int64{contentID}, found))
	return found[0]
}

// want checks what the index of an account has.
func (e *env) want(account string, l []store.Message, numbers ...int) {
	e.Helper()
	for j, i := range numbers {
		id := l[j].ContentID
		if a := e.answer(account, id, fmt.Sprintf("word%d ", i)); a != fts.Yes {
			e.Errorf("message %d: answer %d", i, a)
		}
		if a := e.answer(account, id, fmt.Sprintf("grüße %d\n", i)); a != fts.Yes {
			e.Errorf("subject of message %d: answer %d", i, a)
		}
		if a := e.answer(account, id, "word999999"); a != fts.No {
			e.Errorf("message %d: answer %d", i, a)
		}
	}
}

// messages returns how many messages the index of an account has.
func (e *env) messages(account string) int64 {
	e.Helper()
	acc := e.account(account)
	defer acc.Release()
	r := e.Reader(ctxbg, acc)
	defer r.Close()
	s, err := r.x.Stats()
	tcheck(e, err)
	return s.Messages
}

// opened returns how many of these accounts have an open index.
func (e *env) opened(accounts ...string) (n int) {
	e.Helper()
	for _, name := range accounts {
		slot, err := e.open.Lock(ctxbg, name)
		tcheck(e, err)
		if slot.Current() != nil {
			n++
		}
		slot.Unlock()
	}
	return n
}

func (e *env) file(account string) string {
	return filepath.Join(e.dir, "accounts", account, FileName)
}

func numbers(i, end int) (l []int) {
	for ; i < end; i++ {
		l = append(l, i)
	}
	return l
}
