package config

import (
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ReloadInterval is how long a change to domains.conf may go unnoticed.
const ReloadInterval = time.Second

// Holder hands out the current [Snapshot]. It reads domains.conf again when that
// has changed.
type Holder struct {
	log     *slog.Logger
	current atomic.Pointer[Snapshot]
	next    atomic.Int64 // Unix nanoseconds from which on the file is looked at again.

	mu   sync.Mutex  // Held while looking at the file.
	info fs.FileInfo // Of domains.conf as last read, also if that failed. Nil if not from a file.
}

// NewHolder returns a holder for a snapshot that never changes, for tests and
// tools.
func NewHolder(s *Snapshot) *Holder {
	h := &Holder{}
	h.current.Store(s)
	return h
}

// Open loads the configuration at path, as [Load], and watches its domains.conf.
func Open(path string, log *slog.Logger, overrides ...Override) (*Holder, error) {
	s, dyn, err := open(path, overrides)
	if err != nil {
		return nil, err
	}
	h := &Holder{log: log, info: dyn.info}
	h.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	h.current.Store(s)
	return h, nil
}

// Snapshot returns the current configuration. At most once per [ReloadInterval] it
// looks whether domains.conf has changed, and one caller reads it while others get
// the previous one. If the file is wrong, that is logged once and the previous
// snapshot stays.
func (h *Holder) Snapshot() *Snapshot {
	if h.log != nil && time.Now().UnixNano() >= h.next.Load() && h.mu.TryLock() {
		h.reload()
		h.mu.Unlock()
	}
	return h.current.Load()
}

// reload looks at domains.conf. It must be called with mu held.
func (h *Holder) reload() {
	defer func() {
		h.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	}()
	s := h.current.Load()
	path := dynamicPath(s.Path)
	info, err := os.Stat(path)
	if err != nil {
		if h.info != nil {
			h.log.Error("domains.conf cannot be read, previous configuration stays in use", "err", err, "path", path)
		}
		h.info = nil
		return
	}
	if unchanged(info, h.info) {
		return
	}
	f, err := readFile(path)
	if err != nil {
		h.info = info
		h.log.Error("domains.conf cannot be read, previous configuration stays in use", "err", err, "path", path)
		return
	}
	h.info = f.info
	n, err := s.withDynamic(f.data)
	if err != nil {
		h.log.Error("domains.conf has errors, previous configuration stays in use", "err", err, "path", path)
		return
	}
	h.current.Store(n)
	h.log.Info("reloaded domains.conf", "domains", len(n.domains), "accounts", len(n.accounts))
}

// unchanged reports whether a file is the same as before: a new file in its place,
// another size or modification time are a change.
func unchanged(a, b fs.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
