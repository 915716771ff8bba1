package junk

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// damagedFile makes the file of a filter that has learned something, closes it and
// changes its bytes.
func damagedFile(t *testing.T, change func(b []byte) []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "junk.db")
	f, err := Open(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	trainSome(t, f, 20)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckFindsNothingInWhatWasWritten(t *testing.T) {
	t.Parallel()
	if err := Check(damagedFile(t, func(b []byte) []byte { return b })); err != nil {
		t.Error(err)
	}
	if err := Check(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestDamagedFilesAreFoundAndDoNoHarm(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	tests := []struct {
		name   string
		change func(b []byte) []byte
	}{
		{"no database at all", func(b []byte) []byte { return bytes.Repeat([]byte("junk"), len(b)/4) }},
		{"one byte", func([]byte) []byte { return []byte("x") }},
		{"cut off", func(b []byte) []byte { return b[:3*page] }},
		{"meta pages overwritten", func(b []byte) []byte { clear(b[:2*page]); return b }},
		{"all other pages overwritten", func(b []byte) []byte {
			for i := 2 * page; i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		}},
		{"all other pages empty", func(b []byte) []byte { clear(b[2*page:]); return b }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := damagedFile(t, tc.change)
			if err := Check(path); !errors.Is(err, ErrDamaged) {
				t.Errorf("check: got %v, expected ErrDamaged", err)
			}
			f, err := Open(context.Background(), path, Options{})
			if err == nil {
				_, err = f.Classify(context.Background(), read(t, text("buy cheap pills now from our store offer")))
				if cerr := f.Close(); cerr != nil {
					t.Error(cerr)
				}
			}
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("use: got %v, expected ErrDamaged", err)
			}
		})
	}
}

func TestCheckFindsWrongRecords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(tx *bolt.Tx) error
		want   error
	}{
		{"word of a lesson to come", func(tx *bolt.Tx) error {
			return tx.Bucket(bucketWords).Put(make([]byte, 8), entry{ham: 1, seen: 1 << 20}.marshal())
		}, ErrDamaged},
		{"key", func(tx *bolt.Tx) error { return tx.Bucket(bucketWords).Put([]byte("k"), entry{ham: 1}.marshal()) }, ErrDamaged},
		{"count", func(tx *bolt.Tx) error { return tx.Bucket(bucketWords).Put(make([]byte, 8), entry{ham: 1}.marshal()) }, ErrDamaged},
		{"value", func(tx *bolt.Tx) error { return tx.Bucket(bucketWords).Put(make([]byte, 8), []byte("x")) }, ErrDamaged},
		{"no words", func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketWords) }, ErrDamaged},
		{"no state", func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyState) }, ErrDamaged},
		{"version", func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyState, []byte{version + 1}) }, ErrVersion},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := damagedFile(t, func(b []byte) []byte { return b })
			db, err := bolt.Open(path, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(tc.change), db.Close()); err != nil {
				t.Fatal(err)
			}
			if err := Check(path); !errors.Is(err, tc.want) {
				t.Errorf("got %v, expected %v", err, tc.want)
			}
		})
	}
}

func TestParamsOfAnOpenFilterCanChange(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	trainSome(t, f, 40)
	tokens := read(t, text("buy cheap pills now from our store offer"))
	if v := classify(t, f, tokens); !v.Junk || len(v.Spam) < 2 {
		t.Fatalf("verdict %+v", v)
	}
	if err := f.SetParams(Params{TopWords: 1}, 0.999999999); err != nil {
		t.Fatal(err)
	}
	if v := classify(t, f, tokens); v.Junk || len(v.Spam) != 1 {
		t.Errorf("with other parameters: verdict %+v", v)
	}
	if err := f.SetParams(Params{TopWords: -1}, 0); !errors.Is(err, ErrParams) {
		t.Errorf("bad parameter: %v", err)
	}
	if err := f.SetParams(Params{}, 1); !errors.Is(err, ErrParams) {
		t.Errorf("bad threshold: %v", err)
	}
}
