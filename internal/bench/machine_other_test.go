//go:build !linux

package bench

import (
	"errors"
	"net"
	"os"
	"time"
)

// datasync syncs a file.
func datasync(f *os.File) error { return f.Sync() }

// dropCaches fails: it is known how to empty the page cache of Linux only.
func dropCaches() error { return errors.ErrUnsupported }

// keepAwake fails: it is known how to keep processors from sleeping with Linux only.
func keepAwake() (func(), error) { return nil, errors.ErrUnsupported }

// dialBlocking connects: it is known how to hide a wait from the scheduler with Linux only.
func dialBlocking(addr string, limit time.Duration) (transport, error) {
	return net.DialTimeout("tcp", addr, limit)
}
