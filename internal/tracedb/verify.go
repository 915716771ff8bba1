package tracedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mjl-/bstore"
	bolt "go.etcd.io/bbolt"
)

// Verify checks the database in a data directory that no server runs on, and returns
// what is wrong. There need not be one. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := checkPages(path); err != nil {
		return []string{err.Error()}, nil
	}
	d, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if err := d.bdb.Read(ctx, func(tx *bstore.Tx) error { return verify(tx, add) }); err != nil {
		add("reading: %v", err)
	}
	return problems, d.Close()
}

// verify checks that sums are those of the steps, and that steps and names are of
// messages that are there.
func verify(tx *bstore.Tx, add func(format string, args ...any)) error {
	type sums struct {
		message
		steps int32
		size  int64
	}
	messages := map[int64]*sums{}
	err := bstore.QueryTx[message](tx).ForEach(func(m message) error {
		messages[m.ID] = &sums{message: m}
		return nil
	})
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	have := state{ID: 1, Messages: int64(len(messages))}
	err = bstore.QueryTx[Step](tx).ForEach(func(s Step) error {
		have.Steps++
		have.Size += s.size()
		if m := messages[s.Message]; m != nil {
			m.steps++
			m.size += s.size()
		} else {
			add("step %d is of message %d, which is not there", s.ID, s.Message)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("steps: %w", err)
	}
	for id, m := range messages {
		if m.steps != m.Steps || m.size != m.Size || m.steps > MaxMessageSteps {
			add("message %d has %d steps of %d octets, and its record says %d of %d", id, m.steps, m.size, m.Steps, m.Size)
		}
	}
	err = bstore.QueryTx[name](tx).ForEach(func(n name) error {
		if messages[n.Message] == nil {
			add("name %q is of message %d, which is not there", n.Name, n.Message)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("names: %w", err)
	}
	want := state{ID: 1}
	if err := tx.Get(&want); err != nil && err != bstore.ErrAbsent {
		return fmt.Errorf("sums: %w", err)
	}
	if have != want {
		add("there are %d messages, %d steps of %d octets, and the sums say %d, %d, %d", have.Messages, have.Steps, have.Size, want.Messages, want.Steps, want.Size)
	}
	return nil
}

// checkPages checks the pages of a database file.
func checkPages(path string) (rerr error) {
	defer func() {
		// The library panics on some broken files; what it says is a finding.
		if x := recover(); x != nil {
			rerr = fmt.Errorf("database file %s is damaged: %v", path, x)
		}
	}()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: openTimeout})
	if err != nil {
		return fmt.Errorf("database file %s: %w", path, err)
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return db.View(func(tx *bolt.Tx) error {
		var first error
		n := 0
		for err := range tx.Check() { // To its end, or its goroutine stays.
			if n++; first == nil {
				first = err
			}
		}
		if n > 0 {
			return fmt.Errorf("database file %s is damaged: %d findings, the first: %w", path, n, first)
		}
		return nil
	})
}
