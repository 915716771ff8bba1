package fts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime/debug"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"
)

// noteDamage makes an error that matches ErrDamaged of what a damaged file leads to: the
// library panics on some of them, and reading beyond the end of a file that was cut off
// is a fault.
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
		switch {
		case errors.Is(*err, bolterrors.ErrDatabaseNotOpen):
			*err = ErrClosed
		case errors.Is(*err, bolterrors.ErrInvalid), errors.Is(*err, bolterrors.ErrVersionMismatch), errors.Is(*err, bolterrors.ErrChecksum):
			*err = fmt.Errorf("%w: %w", ErrDamaged, *err)
		}
	}
}

// openError makes an error that matches ErrDamaged of one about what is in a file.
func openError(err error) error {
	var path *fs.PathError
	var errno syscall.Errno
	if errors.As(err, &path) || errors.As(err, &errno) || errors.Is(err, bolterrors.ErrTimeout) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// reader reads what was appended to a record.
type reader struct {
	b   []byte
	bad bool
}

// number returns the next number, which is not negative.
func (r *reader) number() int64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt64 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

// take returns the next octets.
func (r *reader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// end returns an error if not exactly all was read.
func (r *reader) end(what string) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%w: %s cannot be read", ErrDamaged, what)
	}
	return nil
}
