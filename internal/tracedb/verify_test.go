package tracedb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mjl-/bstore"
)

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for what, damage := range map[string]func(tx *bstore.Tx) error{
		"there are 2 chunks of steps, and messages have 1": func(tx *bstore.Tx) error {
			return tx.Insert(&chunk{Message: 5, Steps: []Step{{Time: at, Kind: Queued}}})
		},
		"does not have its chunk": func(tx *bstore.Tx) error { return tx.Delete(&chunk{ID: 1}) },
		"and its record says": func(tx *bstore.Tx) error {
			_, err := bstore.QueryTx[message](tx).UpdateFields(map[string]any{"Size": int64(1)})
			return err
		},
		"there are 3 keys, and messages have 2": func(tx *bstore.Tx) error { return tx.Insert(&key{keyOf("m:x", 5)}) },
		`is not found by "m:x@y"`:               func(tx *bstore.Tx) error { return tx.Delete(&key{keyOf("m:x@y", at.UnixNano())}) },
		"the sums say": func(tx *bstore.Tx) error {
			_, err := bstore.QueryTx[state](tx).UpdateFields(map[string]any{"Messages": int64(9)})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d, err := Open(ctxbg, Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			smtpMessage(d, 1, at, "x@y", "<>", "ann@mox.example")
			if err := d.Flush(ctxbg); err != nil {
				t.Fatal(err)
			}
			if err := d.bdb.Write(ctxbg, damage); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			l, err := Verify(ctxbg, dir)
			if err != nil || !strings.Contains(strings.Join(l, "\n"), what) {
				t.Errorf("got %q, %v", l, err)
			}
		})
	}
}

func TestVerifyTakesWhatIsNotThereAndFindsWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if l, err := Verify(ctxbg, dir); err != nil || len(l) > 0 {
		t.Errorf("no file: %q, %v", l, err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), make([]byte, 20000), 0600); err != nil {
		t.Fatal(err)
	}
	if l, err := Verify(ctxbg, dir); err != nil || len(l) != 1 {
		t.Errorf("no database: %q, %v", l, err)
	}
}
