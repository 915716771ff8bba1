package dbformat

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/bstore"
	bolt "go.etcd.io/bbolt"

	"mox/internal/boltpages"
)

// Item1 and Item2 are two formats of a record.
type Item1 struct {
	ID   int64 `bstore:"typename Item"`
	Name string
}

type Item2 struct {
	ID   int64 `bstore:"typename Item"`
	Name string
	Size int64 `bstore:"index"`
}

var (
	ctxbg = context.Background()
	opts  = &bstore.Options{Timeout: time.Second, Perm: 0640}
)

func tcheck(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// one opens a database with format 1, and adds an item.
func one(t *testing.T, path, name string) {
	t.Helper()
	db, err := Open(ctxbg, path, 1, opts, Item1{})
	tcheck(t, err)
	tcheck(t, db.Insert(ctxbg, &Item1{Name: name}))
	tcheck(t, db.Close())
}

// names returns the items of a database with format 1.
func names(t *testing.T, path string) string {
	t.Helper()
	db, err := Open(ctxbg, path, 1, opts, Item1{})
	tcheck(t, err)
	defer db.Close()
	l, err := bstore.QueryDB[Item1](ctxbg, db).SortAsc("ID").List()
	tcheck(t, err)
	var s []string
	for _, i := range l {
		s = append(s, i.Name)
	}
	return strings.Join(s, " ")
}

func snapshots(t *testing.T, dir string) []Snapshot {
	t.Helper()
	l, err := Snapshots(dir)
	tcheck(t, err)
	return l
}

func TestAnUpgradeKeepsWhatWasBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	one(t, path, "a")
	one(t, path, "b")
	if l := snapshots(t, dir); len(l) != 0 {
		t.Errorf("a new database has snapshots: %+v", l)
	}
	db, err := Open(ctxbg, path, 2, opts, Item2{})
	tcheck(t, err)
	tcheck(t, db.Close())
	l := snapshots(t, dir)
	if len(l) != 1 || l[0].Format != 2 || l[0].Commits != 0 || l[0].Since.IsZero() || l[0].Database != path {
		t.Fatalf("snapshots %+v", l)
	}
	tcheck(t, boltpages.Check(l[0].Path))
	if info, err := os.Stat(l[0].Path); err != nil || info.Mode().Perm() != 0640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got := names(t, l[0].Path); got != "a b" {
		t.Errorf("snapshot has %q", got)
	}

	// The older version does not touch it.
	if _, err := Open(ctxbg, path, 1, opts, Item1{}); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "mox upgrade back") {
		t.Errorf("opened by an older version: %v", err)
	}
	db, err = Open(ctxbg, path, 2, opts, Item2{})
	tcheck(t, err)
	tcheck(t, db.Insert(ctxbg, &Item2{Name: "c", Size: 3}))
	tcheck(t, db.Close())
	if l = snapshots(t, dir); len(l) != 1 || l[0].Commits != 2 {
		t.Errorf("after a change: %+v", l)
	}

	// And back, with the newer database kept.
	tcheck(t, Back(l[0]))
	if got := names(t, path); got != "a b" {
		t.Errorf("after going back: %q", got)
	}
	db, err = Open(ctxbg, AfterPath(l[0]), 2, opts, Item2{})
	tcheck(t, err)
	if n, err := bstore.QueryDB[Item2](ctxbg, db).Count(); err != nil || n != 3 {
		t.Errorf("kept database has %d items, %v", n, err)
	}
	tcheck(t, db.Close())
	if l := snapshots(t, dir); len(l) != 0 {
		t.Errorf("left over: %+v", l)
	}
}

func TestDatabasesWithoutFormatAreOlder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tcheck(t, os.MkdirAll(filepath.Join(dir, "accounts", "ann"), 0700))
	path := filepath.Join(dir, "accounts", "ann", "index.db")
	db, err := bstore.Open(ctxbg, path, opts, Item1{})
	tcheck(t, err)
	tcheck(t, db.Insert(ctxbg, &Item1{Name: "a"}))
	tcheck(t, db.Close())
	if got := names(t, path); got != "a" {
		t.Errorf("got %q", got)
	}
	l := snapshots(t, dir)
	if len(l) != 1 || l[0].Format != 1 {
		t.Fatalf("snapshots %+v", l)
	}
	tcheck(t, Back(l[0]))
	if r, _, _, err := read(path, time.Second); err != nil || r.Format != 0 {
		t.Errorf("after going back: %+v, %v", r, err)
	}
}

func TestAnInterruptedUpgradeKeepsTheFirstSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	one(t, path, "a")
	// As after a crash: the copy is made, and some records were changed.
	tcheck(t, snapshot(path, 2))
	tcheck(t, write(path, opts, record{Format: 1, Upgrading: 2, From: 1}))
	db, err := bstore.Open(ctxbg, path, opts, Item2{})
	tcheck(t, err)
	tcheck(t, db.Insert(ctxbg, &Item2{Name: "half"}))
	tcheck(t, db.Close())
	if _, err := Open(ctxbg, path, 1, opts, Item1{}); !errors.Is(err, ErrNewer) {
		t.Errorf("opened by the older version: %v", err)
	}
	if l := snapshots(t, dir); len(l) != 1 || !l[0].Since.IsZero() {
		t.Errorf("snapshots %+v", l)
	}
	db, err = Open(ctxbg, path, 2, opts, Item2{})
	tcheck(t, err)
	tcheck(t, db.Close())
	l := snapshots(t, dir)
	if len(l) != 1 || l[0].Since.IsZero() {
		t.Fatalf("snapshots %+v", l)
	}
	if got := names(t, l[0].Path); got != "a" {
		t.Errorf("snapshot has %q", got)
	}
}

func TestADamagedDatabaseIsNotUpgraded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	for range 50 {
		one(t, path, strings.Repeat("a", 1000))
	}
	data, err := os.ReadFile(path)
	tcheck(t, err)
	for i := 3 * os.Getpagesize(); i < len(data); i++ {
		data[i] = 0xff
	}
	tcheck(t, os.WriteFile(path, data, 0600))
	if _, err := Open(ctxbg, path, 2, opts, Item2{}); err == nil {
		t.Error("no error")
	}
	if l, _ := filepath.Glob(path + ".*"); len(l) != 0 {
		t.Errorf("files %v", l)
	}
}

func TestOldSnapshotsGoAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	one(t, path, "a")
	for _, age := range []time.Duration{0, KeepSnapshots - time.Hour, KeepSnapshots + time.Hour} {
		db, err := Open(ctxbg, path, 2, opts, Item2{})
		tcheck(t, err)
		tcheck(t, db.Close())
		tcheck(t, write(path, opts, record{Format: 2, Since: time.Now().Add(-age)}))
	}
	if l := snapshots(t, dir); len(l) != 1 {
		t.Errorf("snapshots %+v", l)
	}
	db, err := Open(ctxbg, path, 2, opts, Item2{})
	tcheck(t, err)
	tcheck(t, db.Close())
	if l := snapshots(t, dir); len(l) != 0 {
		t.Errorf("snapshots %+v", l)
	}
}

func TestFilesOfACrashWhileBeingMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	tcheck(t, os.WriteFile(path, nil, 0600))
	one(t, path, "a")
	path += "2"
	db, err := bolt.Open(path, 0600, nil)
	tcheck(t, err)
	tcheck(t, db.Close())
	one(t, path, "a")
	if r, _, _, err := read(path, time.Second); err != nil || r.Format != 1 || !r.Since.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Open(ctxbg, path+"3", 1, &bstore.Options{MustExist: true}, Item1{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
