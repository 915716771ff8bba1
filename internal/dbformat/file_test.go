package dbformat

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mjl-/bstore"
)

func TestWhatIsWrongWithAFileIsReturned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	open := func() (*bstore.DB, error) { return OpenIn(ctxbg, dir, "x.db", 1, Item1{}) }
	check := func(db *bstore.DB, add func(string, ...any)) {
		n, err := bstore.QueryDB[Item1](ctxbg, db).Count()
		tcheck(t, err)
		add("%d items", n)
	}
	want := func(l ...string) {
		t.Helper()
		if got, err := Verify(path, open, check); err != nil || !slices.Equal(got, l) {
			t.Errorf("%q, %v, want %q", got, err, l)
		}
	}
	want() // There is none.
	db, err := open()
	tcheck(t, err)
	tcheck(t, db.Insert(ctxbg, &Item1{Name: "a"}))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	tcheck(t, Copy(ctxbg, db, path+".copy"))
	tcheck(t, db.Close())
	if got := names(t, path+".copy"); got != "a" {
		t.Errorf("copy has %q", got)
	}
	want("1 items")
	failed := func() (*bstore.DB, error) { return nil, os.ErrPermission }
	if l, err := Verify(path, failed, check); !errors.Is(err, os.ErrPermission) || len(l) > 0 {
		t.Errorf("%q, %v", l, err)
	}
	tcheck(t, os.WriteFile(path, make([]byte, 4*4096), 0600))
	if l, err := Verify(path, failed, check); err != nil || len(l) != 1 {
		t.Errorf("damaged: %q, %v", l, err)
	}
	if _, err := OpenIn(ctxbg, filepath.Join(dir, "absent"), "x.db", 1, Item1{}); err == nil {
		t.Error("opened in a directory that does not exist")
	}
}
