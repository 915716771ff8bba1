package boltpages

import (
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// timeout bounds the wait for the lock on a file.
const timeout = 5 * time.Second

// Check reads all pages of a database file that nobody has open for writing. An error
// says which file, and what is wrong. It changes nothing, and makes no file.
func Check(path string) (rerr error) {
	defer recovered(path, &rerr)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("database file: %w", err)
	}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: timeout})
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

// recovered makes an error of a panic. The library panics on some broken files; what it
// says is a finding.
func recovered(path string, err *error) {
	if x := recover(); x != nil {
		*err = fmt.Errorf("database file %s is damaged: %v", path, x)
	}
}
