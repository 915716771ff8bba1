package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
	"mox/internal/dbformat"
	"mox/internal/safefile"
)

// maxProblems is how many problems of an account are reported.
const maxProblems = 1000

// VerifyOptions are for Verify.
type VerifyOptions struct {
	Fix       bool // Correct counts and totals, and move files without a record to lost/.
	SkipFiles bool // Do not look at message files.
	Log       *slog.Logger
}

// Problem is something that docs/storage.md says cannot be.
type Problem struct {
	Account string
	Text    string
	Fixed   bool
}

func (p Problem) String() string {
	s := fmt.Sprintf("account %s: %s", p.Account, p.Text)
	if p.Fixed {
		s += " (fixed)"
	}
	return s
}

// Report is what Verify found.
type Report struct {
	Accounts int
	Messages int64
	Size     int64 // Octets.
	Problems []Problem
}

// Verify checks all accounts in a data directory that no server runs on. Without
// Fix it changes nothing. The error is about not being able to check; what is
// wrong with the data is in the report.
func Verify(ctx context.Context, dir string, opts VerifyOptions) (rep Report, rerr error) {
	lock, err := safefile.LockDir(dir)
	if err != nil {
		return rep, fmt.Errorf("lock data directory %s (stop the server first, or verify a backup): %w", dir, err)
	}
	defer func() { rerr = errors.Join(rerr, lock.Close()) }()
	entries, err := os.ReadDir(filepath.Join(dir, "accounts"))
	if errors.Is(err, fs.ErrNotExist) {
		return rep, nil
	} else if err != nil {
		return rep, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			rep.Problems = append(rep.Problems, Problem{Account: e.Name(), Text: "stray file in the directory of accounts"})
			continue
		}
		if err := verifyAccount(ctx, dir, e.Name(), opts, &rep); err != nil {
			return rep, fmt.Errorf("account %s: %w", e.Name(), err)
		}
		rep.Accounts++
	}
	return rep, nil
}

// offlineAccount returns an account for working on its database without a store.
func offlineAccount(dataDir, name string, log *slog.Logger) *Account {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: Options{Dir: dataDir, Log: log, FS: safefile.OS, Now: time.Now}, log: log, fs: safefile.OS, cache: newCache(DefaultIndexMemory, DefaultContentMemory)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	a := &Account{store: s, name: name, dir: s.accountDir(name), log: log.With("account", name), slots: map[int64]*indexSlot{}}
	a.sessions.list = map[*Session]struct{}{}
	a.commit.a = a
	return a
}

func verifyAccount(ctx context.Context, dataDir, name string, opts VerifyOptions, rep *Report) (rerr error) {
	a := offlineAccount(dataDir, name, opts.Log)
	path := filepath.Join(a.dir, dbName)
	if err := boltpages.Check(path); err != nil {
		rep.Problems = append(rep.Problems, Problem{Account: name, Text: err.Error()})
		return nil
	}
	if err := a.listIndexes(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Debug("not looking at files with mailbox indexes", "reason", err)
	}
	db, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: databaseTimeout, MustExist: true}, recordTypes...)
	if err != nil {
		rep.Problems = append(rep.Problems, Problem{Account: name, Text: fmt.Sprintf("opening database: %v", err)})
		return nil
	}
	a.db = db
	defer func() { rerr = errors.Join(rerr, a.close()) }()
	v := newVerifier(a)
	v.skipFiles = opts.SkipFiles
	if err := v.run(ctx); err != nil {
		return err
	}
	rep.Messages += v.total.Messages
	rep.Size += v.total.Size
	fixed := false
	if opts.Fix && len(v.problems) > 0 {
		if fixed, err = v.fix(ctx); err != nil {
			return fmt.Errorf("fix: %w", err)
		}
	}
	for _, p := range v.problems {
		rep.Problems = append(rep.Problems, Problem{name, p.text, fixed && p.fixable})
	}
	return nil
}

// verify checks an account that is open. The caller holds mu.
func (a *Account) verify(ctx context.Context) (problems []string, err error) {
	v := newVerifier(a)
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	for _, p := range v.problems {
		problems = append(problems, p.text)
	}
	return problems, nil
}

// Verify checks all of the account's invariants while it is in use: changes wait
// until it is done. It returns what is wrong, nothing if all is well. Tests end
// with it.
func (a *Account) Verify(ctx context.Context) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, ErrClosed
	}
	return a.verify(ctx)
}
