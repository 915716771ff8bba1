package boltpages

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func markOf(t *testing.T, data []byte) Mark {
	t.Helper()
	m, err := ReadMark(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEachCommitHasAnotherMark(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	seen := map[Mark]bool{}
	var last Mark
	for i := range 5 {
		update(t, path, func(b *bolt.Bucket) error {
			if i == 3 {
				return nil // It changes nothing.
			}
			return b.Put(key(i), []byte("x"))
		})
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := markOf(t, data)
		if seen[m] || m.Commit <= last.Commit {
			t.Errorf("commit %d has mark %+v after %+v", i, m, last)
		}
		seen[m], last = true, m

		// It is the number that the library gives to the last commit.
		db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.View(func(tx *bolt.Tx) error {
			if tx.ID() != int(m.Commit) {
				t.Errorf("mark %+v of commit %d", m, tx.ID())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMarkIsThatOfTheLastCompleteCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	fill(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, path, func(b *bolt.Bucket) error { return b.Put([]byte("k"), []byte("v")) })
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	old, now := markOf(t, before), markOf(t, after)
	page := size * int(now.Commit%2)
	for off := page + metaStart; off < page+metaEnd; off++ {
		torn := bytes.Clone(after)
		torn[off] ^= 1
		m, err := ReadMark(bytes.NewReader(torn))
		// Without the first page, there is no telling where the second is.
		if page == 0 && err == nil || page > 0 && (err != nil || m != old) {
			t.Errorf("octet %d: %+v, %v, want %+v", off, m, err, old)
		}
	}
	for _, data := range [][]byte{nil, []byte("no database"), make([]byte, 2*size), after[:metaEnd-1]} {
		if m, err := ReadMark(bytes.NewReader(data)); err == nil {
			t.Errorf("%d octets have mark %+v", len(data), m)
		}
	}
}
