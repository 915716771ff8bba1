package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"mox/internal/metrics"
)

// together commits changes that wait at the same time in one transaction.
type together struct {
	mu      sync.Mutex // Guards what follows.
	waiting []*waitingChange
	running bool
}

// A waitingChange is a call of UpdateTogether. Err is set when done is closed.
type waitingChange struct {
	fn   func(tx *Tx) error
	err  error
	done chan struct{}
}

// UpdateTogether is Update for small changes that many callers make at the same time,
// such as to counters: those that wait are committed together. Fn can be called more
// than once, for when another one's fails; only the last call counts.
func (a *Account) UpdateTogether(ctx context.Context, fn func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waitingChange{fn: fn, done: make(chan struct{})}
	t := &a.together
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	lead := !t.running
	t.running = true
	t.mu.Unlock()
	if lead {
		go a.runTogether()
	}
	<-w.done // Once it waits, it will be committed: the caller must know how that ended.
	return w.err
}

// runTogether commits until nothing waits.
func (a *Account) runTogether() {
	t := &a.together
	for {
		t.mu.Lock()
		n := min(len(t.waiting), maxBatch)
		batch := t.waiting[:n:n]
		t.waiting = t.waiting[n:]
		if n == 0 {
			t.running, t.waiting = false, nil
		}
		t.mu.Unlock()
		if n == 0 {
			return
		}
		a.commitChanges(batch)
		for _, w := range batch {
			close(w.done)
		}
	}
}

// commitChanges sets the error of each change. If one fails, all are made on their own,
// for what it has written cannot be told apart.
func (a *Account) commitChanges(batch []*waitingChange) {
	ctx := context.Background()
	err := a.Update(ctx, func(tx *Tx) error {
		for _, w := range batch {
			if err := w.call(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	for _, w := range batch {
		if len(batch) == 1 || errors.Is(err, errCommit) {
			w.err = err
		} else {
			w.err = a.Update(ctx, w.call)
		}
	}
}

// call calls the function of a change. A panic is an error of this change: it is not in
// the goroutine of the caller.
func (w *waitingChange) call(tx *Tx) (err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkg)
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	return w.fn(tx)
}
