package batch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
)

const delay = time.Second

// written is what a writer of words has written.
type written struct {
	mu      sync.Mutex // Guards what follows.
	batches [][]string
	pruned  []time.Time
	write   func() error // What happens while one is written, or nil.
	prune   error
}

func (x *written) take() (batches [][]string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	batches, x.batches = x.batches, nil
	return batches
}

func newWriter(x *written) *Writer[[]string] {
	return New(Options[[]string]{
		New: func() []string { return nil },
		Write: func(_ context.Context, b []string) error {
			x.mu.Lock()
			x.batches = append(x.batches, b)
			fn := x.write
			x.mu.Unlock()
			if fn == nil {
				return nil
			}
			return fn()
		},
		Prune: func(_ context.Context, now time.Time) error {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.pruned = append(x.pruned, now)
			return x.prune
		},
		Delay: delay,
		Log:   mlog.Discard(),
		Pkg:   "batch",
	})
}

func add(t *testing.T, w *Writer[[]string], words ...string) {
	t.Helper()
	for _, word := range words {
		if err := w.Add(func(b *[]string) { *b = append(*b, word) }); err != nil {
			t.Error(err)
		}
	}
}

func expect(t *testing.T, x *written, want ...[]string) {
	t.Helper()
	if got := x.take(); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("written %q, want %q", got, want)
	}
}

func TestAdditionsAreWrittenTogetherAWhileAfterTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &written{}
		w := newWriter(x)
		add(t, w, "a")
		time.Sleep(delay / 2)
		add(t, w, "b")
		w.Look(func(b *[]string) {
			if !slices.Equal(*b, []string{"a", "b"}) {
				t.Errorf("%q wait", *b)
			}
		})
		expect(t, x)
		time.Sleep(delay / 2)
		synctest.Wait()
		expect(t, x, []string{"a", "b"})
		time.Sleep(time.Hour)
		expect(t, x)
		add(t, w, "c")
		if err := w.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		expect(t, x, []string{"c"})
		if err := errors.Join(w.Flush(t.Context()), w.Close()); err != nil {
			t.Error(err)
		}
		expect(t, x)
	})
}

func TestCloseWritesWhatIsLeftAndWaitsForTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &written{}
		w := newWriter(x)
		ended, goOn := false, make(chan struct{})
		x.write = func() error {
			<-goOn
			ended = true
			return nil
		}
		add(t, w, "a")
		time.Sleep(delay)
		synctest.Wait()
		add(t, w, "b")
		go close(goOn)
		if err := w.Close(); err != nil || !ended {
			t.Errorf("closed with %v, ended %v", err, ended)
		}
		expect(t, x, []string{"a"}, []string{"b"})
		for _, err := range []error{w.Add(func(*[]string) { t.Error("added") }), w.Flush(t.Context()), w.Close()} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("after close: %v", err)
			}
		}
	})
}

func TestOldRecordsAreRemovedOnceAnHourAfterWriting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &written{prune: errors.New("is logged")}
		w := newWriter(x)
		start := time.Now()
		for range 25 { // One and a half hours.
			add(t, w, "a")
			time.Sleep(4 * time.Minute)
		}
		if len(x.pruned) != 2 || x.pruned[0].Sub(start) != delay || x.pruned[1].Sub(start) != time.Hour+delay {
			t.Errorf("pruned at %v, from %v", x.pruned, start)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailuresLoseABatchOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &written{}
		w := newWriter(x)
		before := metrics.PanicCount()
		fail := errors.New("disk")
		for _, fn := range []func() error{func() error { return fail }, func() error { panic("write") }, nil} {
			x.mu.Lock()
			x.write = fn
			x.mu.Unlock()
			add(t, w, "a")
			time.Sleep(delay)
			synctest.Wait()
			expect(t, x, []string{"a"})
		}
		if metrics.PanicCount() == before {
			t.Error("panic is not counted")
		}
		x.write = func() error { return fail }
		add(t, w, "b")
		if err := w.Flush(t.Context()); err != fail {
			t.Errorf("flush: %v", err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}
