package safefile

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

const (
	// DefaultFloor is how many bytes must stay free on a file system for new mail to
	// be taken, unless configured otherwise.
	DefaultFloor = 500 << 20

	// FloorCacheTime is for how long a [Floor] uses what it has measured.
	FloorCacheTime = 2 * time.Second
)

// ErrNoSpace means that there is too little free space for new data.
var ErrNoSpace = errors.New("safefile: not enough free disk space")

// IsNoSpace reports whether err is [ErrNoSpace], or the operating system's word
// for a full file system or an exhausted quota.
func IsNoSpace(err error) bool {
	return errors.Is(err, ErrNoSpace) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, errQuota)
}

// FreeSpace returns the number of bytes that unprivileged users can still write
// to the file system that path is on. The error matches errors.ErrUnsupported
// where this cannot be known.
func FreeSpace(path string) (int64, error) {
	return freeSpace(path)
}

// FloorOptions are for [NewFloor].
type FloorOptions struct {
	Path string // A file or directory on the file system to watch.
	Min  int64  // Bytes that must stay free. Zero is DefaultFloor, negative is no floor.

	FreeSpace func(path string) (int64, error) // Nil is FreeSpace.
	Now       func() time.Time                 // Nil is time.Now.
}

// A Floor tells whether there is room for new data on a file system. It is safe
// for concurrent use.
type Floor struct {
	opts FloorOptions

	mu   sync.Mutex // Guards what follows.
	at   time.Time  // When free was measured.
	free int64
	err  error
}

// NewFloor returns a floor under the free space of a file system.
func NewFloor(opts FloorOptions) *Floor {
	if opts.Min == 0 {
		opts.Min = DefaultFloor
	}
	if opts.FreeSpace == nil {
		opts.FreeSpace = FreeSpace
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Floor{opts: opts}
}

// Check returns nil if need more bytes leave the floor free, and otherwise an
// error that matches [ErrNoSpace]. The free space is measured at most once per
// [FloorCacheTime]. Where it cannot be known, all fits.
func (f *Floor) Check(need int64) error {
	if f.opts.Min < 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.opts.Now()
	if f.at.IsZero() || now.Sub(f.at) >= FloorCacheTime || now.Before(f.at) {
		f.free, f.err = f.opts.FreeSpace(f.opts.Path)
		f.at = now
	}
	if errors.Is(f.err, errors.ErrUnsupported) {
		return nil
	}
	if f.err != nil {
		return fmt.Errorf("measure free space: %w", f.err)
	}
	if f.free-need < f.opts.Min {
		return fmt.Errorf("%w: %d bytes free, %d must stay free", ErrNoSpace, f.free, f.opts.Min)
	}
	return nil
}
