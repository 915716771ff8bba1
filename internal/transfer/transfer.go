package transfer

import (
	"errors"
	"log/slog"
	"sync"

	"mox/internal/metrics"
)

var metricMessages = metrics.NewCounterVec("mox_transfer_messages_total", "Messages that were imported, exported, or copied from other servers.", "kind")

// Options are for [New].
type Options struct {
	TempDir string // For messages that are large. Best on the file system of the data.
	Log     *slog.Logger
}

// Transfers does what this package is for. It is safe for concurrent use.
type Transfers struct {
	opts Options

	mu      sync.Mutex
	running map[string]bool // Imports and pulls, by account and name.
}

// ErrRunning: an import or a copy is going on already.
var ErrRunning = errors.New("it is running already")

// New returns what imports, exports and copies.
func New(opts Options) *Transfers {
	return &Transfers{opts: opts, running: map[string]bool{}}
}

// alone makes sure that nothing else of that name runs for an account, until release is
// called.
func (t *Transfers) alone(account, name string) (release func(), err error) {
	key := account + "\x00" + name
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running[key] {
		return nil, ErrRunning
	}
	t.running[key] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.running, key)
	}, nil
}
