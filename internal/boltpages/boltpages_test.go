package boltpages

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// update changes a database, with a bucket "b".
func update(t *testing.T, path string, fn func(b *bolt.Bucket) error) {
	t.Helper()
	db, err := bolt.Open(path, 0640, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("b"))
		if err != nil {
			return err
		}
		return fn(b)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func key(i int) []byte { return fmt.Appendf(nil, "key %d", i) }

func fill(t *testing.T, path string) {
	t.Helper()
	update(t, path, func(b *bolt.Bucket) (err error) {
		for i := range 2000 {
			err = errors.Join(err, b.Put(key(i), bytes.Repeat([]byte("x"), 100)))
		}
		return err
	})
}

func TestCompactGivesBackWhatIsFree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	fill(t, path)
	update(t, path, func(b *bolt.Bucket) (err error) {
		for i := range 1999 {
			err = errors.Join(err, b.Delete(key(i)))
		}
		return errors.Join(err, b.SetSequence(7))
	})
	if err := os.WriteFile(path+".compact", []byte("left"), 0600); err != nil {
		t.Fatal(err)
	}
	before, after, err := Compact(path)
	if err != nil || after == 0 || after > before/2 {
		t.Fatalf("%d bytes before, %d after, %v", before, after, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != after || info.Mode() != 0640 {
		t.Errorf("%v, %v", info, err)
	}
	update(t, path, func(b *bolt.Bucket) error {
		if b.Get(key(0)) != nil || len(b.Get(key(1999))) != 100 || b.Sequence() != 7 {
			t.Error("what was in it has changed")
		}
		return nil
	})
}

func TestCompactLeavesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	if err := os.WriteFile(path, []byte("no database"), 0600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) != 1 {
		t.Errorf("%v, %v", l, err)
	}
	if _, _, err := Compact(filepath.Join(dir, "absent.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	if err := Check(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the check has made a file")
	}
	fill(t, path)
	if err := Check(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	pages := bytes.Clone(good)
	for i := 2 * size; i < len(pages); i++ { // All but the two meta pages.
		pages[i] ^= 0x55
	}
	for name, data := range map[string][]byte{"pages": pages, "meta pages": append(make([]byte, 2*size), good[2*size:]...), "empty pages": make([]byte, len(good)), "text": []byte("no database")} {
		if err := os.WriteFile(path, data, 0600); err != nil {
			t.Fatal(err)
		}
		if err := Check(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
