package junk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged: the file is not that of a filter, or parts of it are not what was
// written. It can be removed, and made again from the messages.
var ErrDamaged = errors.New("junk filter file is damaged")

// noteDamage makes an error that matches ErrDamaged of what a damaged file leads to:
// the library panics on some of them, and reading beyond the end of a file that was
// cut off is a fault.
//
//	defer noteDamage(&err)()
func noteDamage(err *error) func() {
	faults := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(faults)
		if x := recover(); x != nil {
			*err = fmt.Errorf("%w: %v", ErrDamaged, x)
			return
		}
		for _, e := range []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum, errCorrupt} {
			if errors.Is(*err, e) {
				*err = fmt.Errorf("%w: %w", ErrDamaged, *err)
			}
		}
	}
}

// Check checks a file that is not open as a filter: its structure, and what is in it.
// The error matches ErrDamaged or ErrVersion, or is about not being able to check.
func Check(path string) (rerr error) {
	defer noteDamage(&rerr)()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: openTimeout})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%w: file has %d of %d bytes", ErrDamaged, info.Size(), tx.Size())
		}
		var first error
		for err := range tx.Check() { // All of them: the channel must be drained.
			if first == nil {
				first = fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		if first != nil {
			return first
		}
		return checkRecords(tx)
	})
}

// checkRecords checks what is in a file.
func checkRecords(tx *bolt.Tx) error {
	words, meta := tx.Bucket(bucketWords), tx.Bucket(bucketMeta)
	if words == nil || meta == nil {
		return fmt.Errorf("%w: it has no words", ErrDamaged)
	}
	var st state
	if err := st.unmarshal(meta.Get(keyState)); err != nil {
		return err
	}
	n := uint32(0)
	err := words.ForEach(func(k, v []byte) error {
		n++
		var e entry
		if err := e.unmarshal(v); err != nil {
			return err
		}
		if len(k) != binary.Size(uint64(0)) || e.seen > st.Lessons {
			return fmt.Errorf("%w: a word is not what it can be", ErrDamaged)
		}
		return nil
	})
	if err == nil && n != st.Words {
		err = fmt.Errorf("%w: %d words, but the count says %d", ErrDamaged, n, st.Words)
	}
	return err
}

// SetParams changes the parameters and the threshold of an open filter; what it has
// learned stays. The error matches ErrParams.
func (f *Filter) SetParams(p Params, threshold float64) error {
	o := Options{Params: p, Threshold: threshold}
	if err := o.check(); err != nil {
		return err
	}
	o = o.withDefaults()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opts.Params, f.opts.Threshold = o.Params, o.Threshold
	return nil
}
