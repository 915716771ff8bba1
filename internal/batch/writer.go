package batch

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
)

// ErrClosed says that the writer is closed.
var ErrClosed = errors.New("writer is closed")

// pruneInterval is how often Options.Prune is called, while something is written.
const pruneInterval = time.Hour

// Options are how a Writer writes.
type Options[B any] struct {
	// New returns an empty batch.
	New func() B

	// Write writes a batch. It is called by one at a time, and logs what fails: the batch is
	// lost then.
	Write func(ctx context.Context, b B) error

	// Prune removes what is old. It is called after writing, once an hour. Nil for nothing.
	Prune func(ctx context.Context, now time.Time) error

	Delay time.Duration // How long what is added waits for more.
	Log   *slog.Logger
	Pkg   string // For the metric of panics.
}

// Writer collects a batch at a time, and writes it in the background. It is safe for
// concurrent use.
type Writer[B any] struct {
	opts Options[B]

	mu      sync.Mutex // Guards what follows.
	pending B
	timer   *time.Timer // Set while there is something to write.
	closed  bool
	pruned  time.Time // When Prune was called last.

	writing sync.Mutex     // Held while a batch is written.
	running sync.WaitGroup // Of writeLater, for each timer that was not stopped.
}

// New returns a Writer with an empty batch.
func New[B any](opts Options[B]) *Writer[B] {
	metrics.PanicPackages(opts.Pkg)
	return &Writer[B]{opts: opts, pending: opts.New()}
}

// Add calls fn to add to the batch, which is written later. It returns ErrClosed after Close.
func (w *Writer[B]) Add(fn func(b *B)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	fn(&w.pending)
	if w.timer == nil {
		w.running.Add(1)
		w.timer = time.AfterFunc(w.opts.Delay, w.writeLater)
	}
	return nil
}

// Look calls fn to look at the batch that waits.
func (w *Writer[B]) Look(fn func(b *B)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(&w.pending)
}

// writeLater writes in the background.
func (w *Writer[B]) writeLater() {
	defer w.running.Done()
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(w.opts.Pkg)
			w.opts.Log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
		}
	}()
	w.writeAndPrune(context.Background(), time.Now())
}

// writeAndPrune writes what waits, and once in an hour removes what is old.
func (w *Writer[B]) writeAndPrune(ctx context.Context, now time.Time) {
	if err := w.Flush(ctx); err != nil || w.opts.Prune == nil {
		return // It was logged.
	}
	w.mu.Lock()
	due := now.Sub(w.pruned) >= pruneInterval && !w.closed
	if due {
		w.pruned = now
	}
	w.mu.Unlock()
	if !due {
		return
	}
	if err := w.opts.Prune(ctx, now); err != nil && !errors.Is(err, ErrClosed) {
		w.opts.Log.Error("removing what is old", mlog.Err(err))
	}
}

// Flush writes what waits to be written. What cannot be written is lost. It returns
// ErrClosed after Close.
func (w *Writer[B]) Flush(ctx context.Context) error {
	return w.flush(ctx, false)
}

// Close writes what is left, and waits until nothing is done in the background.
func (w *Writer[B]) Close() error {
	defer w.running.Wait()
	return w.flush(context.Background(), true)
}

func (w *Writer[B]) flush(ctx context.Context, last bool) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return ErrClosed
	}
	b := w.pending
	w.pending, w.closed = w.opts.New(), last
	waited := w.timer != nil
	if waited && w.timer.Stop() {
		w.running.Done()
	}
	w.timer = nil
	w.mu.Unlock()
	if !waited {
		return nil
	}
	return w.opts.Write(ctx, b)
}
