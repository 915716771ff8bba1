package backup

import (
	"context"
	"sync"
)

// kind is what is known of a file that is to be copied.
type kind int

const (
	plain  kind = iota // May be replaced meanwhile.
	fixed              // A message, which is never changed.
	staged             // A copy of a database, which the backup can have.
)

// item is a file that is to be copied.
type item struct {
	path string // In the manifest.
	file string // On disk.
	size int64  // That it must have, or negative.
	kind kind
	olds []oldEntry // What was copied of this path before, best first.
}

// sourceError is about a file that is to be copied, not about where to.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// pipeline has files copied in parallel, and takes the results in the order in which the
// files were added. The number of files in it is bounded.
type pipeline struct {
	todo    chan *job
	order   chan *job
	workers sync.WaitGroup
	taker   sync.WaitGroup
	pending sync.WaitGroup

	mu  sync.Mutex // Guards err.
	err error      // The first: nothing is copied after it.
}

type job struct {
	item
	entry  Entry
	copied bool
	err    error
	done   chan struct{}
}

func newPipeline(ctx context.Context, parallel int, s sink, take func(it item, e Entry, copied bool, err error) error) *pipeline {
	p := &pipeline{todo: make(chan *job, maxWaiting), order: make(chan *job, maxWaiting)}
	for range parallel {
		p.workers.Go(func() {
			for j := range p.todo {
				if err := p.failed(); err != nil {
					j.err = err
				} else if err := ctx.Err(); err != nil {
					j.err = err
				} else {
					j.entry, j.copied, j.err = s.store(ctx, j.item)
				}
				close(j.done)
			}
		})
	}
	p.taker.Go(func() {
		for j := range p.order {
			<-j.done
			if p.failed() == nil {
				p.fail(take(j.item, j.entry, j.copied, j.err))
			}
			p.pending.Done()
		}
	})
	return p
}

func (p *pipeline) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *pipeline) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// add adds a file. What goes wrong is returned by flush.
func (p *pipeline) add(ctx context.Context, it item) {
	if err := ctx.Err(); err != nil {
		p.fail(err)
	}
	if p.failed() != nil {
		return
	}
	j := &job{item: it, done: make(chan struct{})}
	p.pending.Add(1)
	p.order <- j
	p.todo <- j
}

// flush waits until all that was added has been taken.
func (p *pipeline) flush() error {
	p.pending.Wait()
	return p.failed()
}

// close is flush, and ends the pipeline.
func (p *pipeline) close() error {
	close(p.todo)
	close(p.order)
	p.workers.Wait()
	p.taker.Wait()
	return p.failed()
}
