package config

import (
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mox/internal/metrics"
)

const (
	// ReloadInterval is how often domains.conf is looked at, at most.
	ReloadInterval = time.Second

	// settleTime is for how long the file must not have been written to. Some write to it in
	// place, and the beginning of a configuration may be one without errors that lacks accounts.
	settleTime = ReloadInterval / 2
)

var (
	metricReload = metrics.NewCounterVec("mox_config_reload_total",
		"Times that domains.conf was read again, by result: ok, or error if it has errors and the previous one stays in use.", "result")
	metricInUse = metrics.NewGauge("mox_config_reload_success",
		"1 if domains.conf is in use as it is on disk, 0 if it has errors and a previous one is in use.")
)

// Holder hands out the current [Snapshot]. It reads domains.conf again when that
// has changed.
type Holder struct {
	log     *slog.Logger
	current atomic.Pointer[Snapshot]
	next    atomic.Int64 // Unix nanoseconds from which on the file is looked at again.

	changed atomic.Pointer[chan struct{}] // Closed when the snapshot is replaced.

	mu   sync.Mutex  // Held while looking at the file.
	info fs.FileInfo // Of domains.conf as last read, also if that failed. Nil if not from a file.
}

// NewHolder returns a holder for a snapshot that never changes, for tests and
// tools.
func NewHolder(s *Snapshot) *Holder {
	h := &Holder{}
	h.set(s)
	return h
}

// Open loads the configuration at path, as [Load], and watches its domains.conf.
func Open(path string, log *slog.Logger, overrides ...Override) (*Holder, error) {
	return OpenWith(path, Options{Log: log, Overrides: overrides})
}

// OpenWith is [Open] with options, of which Log must be given.
func OpenWith(path string, opts Options) (*Holder, error) {
	s, dyn, err := open(path, opts)
	if err != nil {
		return nil, err
	}
	h := &Holder{log: opts.Log, info: dyn.info}
	h.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	h.set(s)
	metricInUse.Set(1)
	return h, nil
}

// set makes a snapshot the current one.
func (h *Holder) set(s *Snapshot) {
	h.current.Store(s)
	next := make(chan struct{})
	if previous := h.changed.Swap(&next); previous != nil {
		close(*previous)
	}
}

// Changed returns a channel that is closed when there is another snapshot than the one
// that a call of [Holder.Snapshot] after this returns. Nobody looks at domains.conf for it.
func (h *Holder) Changed() <-chan struct{} {
	return *h.changed.Load()
}

// Snapshot returns the current configuration. At most once per [ReloadInterval] it
// looks whether domains.conf has changed, and one caller reads it while others get
// the previous one. If the file is wrong, that is logged once and the previous
// snapshot stays.
func (h *Holder) Snapshot() *Snapshot {
	if h.log != nil && time.Now().UnixNano() >= h.next.Load() && h.mu.TryLock() {
		_ = h.reload(false) // It is logged.
		h.mu.Unlock()
	}
	return h.current.Load()
}

// Reload reads domains.conf again now, and the keys it names, whether or not it has
// changed. The error is the one that is logged, and the previous snapshot stays then.
func (h *Holder) Reload() error {
	if h.log == nil {
		return ErrNotFile
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reload(true)
}

// reload reads domains.conf again if it has changed, or if it is forced to. It must be
// called with mu held.
func (h *Holder) reload(force bool) error {
	defer func() {
		h.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	}()
	s := h.current.Load()
	path := dynamicPath(s.Path)
	info, err := os.Stat(path)
	if err != nil {
		if h.info == nil && !force {
			return nil // It was logged.
		}
		h.info = nil
		return h.refuse(path, "cannot be read", err)
	}
	if !force && (unchanged(info, h.info) || unsettled(info)) {
		return nil
	}
	f, err := readFile(path)
	if err != nil {
		h.info = info
		return h.refuse(path, "cannot be read", err)
	}
	h.info = f.info
	n, err := s.withDynamic(f.data)
	if err != nil {
		return h.refuse(path, "has errors", err)
	}
	h.set(n)
	metricReload.WithLabelValues("ok").Inc()
	metricInUse.Set(1)
	h.log.Info("reloaded domains.conf", "domains", len(n.domains), "accounts", len(n.accounts))
	return nil
}

// refuse says that a file is not taken.
func (h *Holder) refuse(path, why string, err error) error {
	metricReload.WithLabelValues("error").Inc()
	metricInUse.Set(0)
	h.log.Error("domains.conf "+why+", previous configuration stays in use", "err", err, "path", path)
	return err
}

// unsettled reports whether a file may still be being written. A time in the future says
// nothing about that.
func unsettled(info fs.FileInfo) bool {
	age := time.Since(info.ModTime())
	return age >= 0 && age < settleTime
}

// unchanged reports whether a file is the same as before: a new file in its place,
// another size or modification time are a change.
func unchanged(a, b fs.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
