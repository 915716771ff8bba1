//go:build !linux

package bench

import (
	"errors"
	"os"
)

// datasync syncs a file.
func datasync(f *os.File) error { return f.Sync() }

// dropCaches fails: it is known how to empty the page cache of Linux only.
func dropCaches() error { return errors.ErrUnsupported }

// keepAwake fails: it is known how to keep processors from sleeping with Linux only.
func keepAwake() (func(), error) { return nil, errors.ErrUnsupported }
