package certs

import (
	"context"
	"errors"
	"sync"

	"github.com/caddyserver/certmagic"
)

// errStopped is for what would still be written after the end.
var errStopped = errors.New("certificates are not managed any more")

// storage is files that nothing is added to any more once it is closed: jobs in the
// background of certmagic end some time after that, and the directory may be in the hands
// of someone else by then.
type storage struct {
	*certmagic.FileStorage

	mu     sync.RWMutex // Held for reading during what adds files. Guards closed.
	closed bool
}

// Store is for certmagic.Storage.
func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	return s.add(func() error { return s.FileStorage.Store(ctx, key, value) })
}

// Lock is for certmagic.Storage. It waits until ctx ends.
func (s *storage) Lock(ctx context.Context, name string) error {
	return s.add(func() error { return s.FileStorage.Lock(ctx, name) })
}

func (s *storage) add(fn func() error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errStopped
	}
	return fn()
}

// close waits for what is being added. The contexts of it must have ended.
func (s *storage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}
