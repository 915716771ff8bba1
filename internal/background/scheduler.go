package background

import (
	"context"
	"sync"
	"time"
)

// Time until a step that failed is tried again, doubled each time.
const minBackoff, maxBackoff = 2 * time.Second, 10 * time.Minute

// Options are for [New]. All are needed.
type Options struct {
	Delay   time.Duration // From Wake to the step, for more to come.
	Workers int           // How many steps run at the same time.
	Closed  error         // What Do returns when the scheduler is closed.

	// Step does a part of what there is to do, and says whether there is more. When ctx ends
	// it should end early. It recovers its panics itself.
	Step func(ctx context.Context, job *Job) (more bool, err error)
	// Failed is told the error of a step, which is tried again after a delay, before anything
	// else is done with the job. It is not called for errors once the scheduler is closed.
	Failed func(job *Job, delay time.Duration, err error)
}

// A Job is what there is to do for an account. Only who does it may use it: a step, or the
// function that Do calls.
type Job struct {
	Account  string
	Failures int // Steps that failed in a row. It may be set to zero by a step that got on.
}

// A Scheduler runs the steps of all accounts.
type Scheduler struct {
	opts   Options
	ctx    context.Context // Ends when the scheduler is closed, while mu is held.
	cancel context.CancelCauseFunc
	work   sync.WaitGroup
	signal chan struct{} // Something was planned, or a step has ended. Of size 1.

	mu       sync.Mutex // Guards what follows. Never held while waiting for anything.
	accounts map[string]*account
	pending  map[*account]time.Time // When to run a step.
}

// account is what the scheduler has of an account.
type account struct {
	job  Job
	held chan struct{} // Holds an element while someone has the job.

	// Guarded by Scheduler.mu.
	running bool      // In the background.
	retry   time.Time // After a failure, when to try again.
}

// New returns a scheduler, which runs steps when Start is called.
func New(opts Options) *Scheduler {
	s := &Scheduler{opts: opts, signal: make(chan struct{}, 1), accounts: map[string]*account{}, pending: map[*account]time.Time{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// Context returns a context that ends when the scheduler is closed, with Options.Closed as
// its cause.
func (s *Scheduler) Context() context.Context { return s.ctx }

// Start begins to run steps, also for what was planned before.
func (s *Scheduler) Start() { s.work.Go(s.schedule) }

// Close stops after what is in progress, which is told by its context, and waits for that.
// It may be called again.
func (s *Scheduler) Close() {
	s.mu.Lock()
	s.cancel(s.opts.Closed)
	s.mu.Unlock()
	s.work.Wait()
}

// account returns what there is of an account. The caller holds mu.
func (s *Scheduler) account(name string) *account {
	a, ok := s.accounts[name]
	if !ok {
		a = &account{job: Job{Account: name}, held: make(chan struct{}, 1)}
		s.accounts[name] = a
	}
	return a
}

// Wake says that there is something to do for an account. It does not wait, and calls
// nothing.
func (s *Scheduler) Wake(name string) { s.WakeAfter(name, s.opts.Delay) }

// WakeAfter is Wake with a delay of its own.
func (s *Scheduler) WakeAfter(name string, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan(s.account(name), time.Now().Add(delay))
}

// plan has a step run at a time, or earlier if that was planned before, but not too soon
// after a failure. The caller holds mu.
func (s *Scheduler) plan(a *account, at time.Time) {
	if at.Before(a.retry) {
		at = a.retry
	}
	if due, ok := s.pending[a]; !ok || at.Before(due) {
		s.pending[a] = at
	}
	s.look()
}

// look has schedule look at what is due.
func (s *Scheduler) look() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// schedule starts what is due, until the scheduler is closed.
func (s *Scheduler) schedule() {
	free := make(chan struct{}, s.opts.Workers)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case free <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		a, wait := s.pick()
		if a != nil {
			s.work.Go(func() {
				defer func() { <-free }()
				s.background(a)
			})
			continue
		}
		<-free
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.signal:
		case <-s.ctx.Done():
			return
		}
	}
}

// pick returns the account that is due and has waited longest. If there is none, wait is
// how long until one is.
func (s *Scheduler) pick() (first *account, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait = time.Hour
	if s.ctx.Err() != nil {
		return nil, wait
	}
	now := time.Now()
	for a, at := range s.pending {
		switch {
		case a.running: // There is a signal when that ends.
		case at.After(now):
			wait = min(wait, at.Sub(now))
		case first == nil || at.Before(s.pending[first]):
			first = a
		}
	}
	if first != nil {
		delete(s.pending, first)
		first.running = true
	}
	return first, wait
}

// background runs a step for an account, and plans what comes next.
func (s *Scheduler) background(a *account) {
	more, delay := false, time.Duration(0)
	select {
	case a.held <- struct{}{}:
		more, delay = s.step(&a.job)
		<-a.held
	default: // Who has the job does all there is.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.running, a.retry = false, time.Now().Add(delay)
	if more {
		if delay > 0 {
			delete(s.pending, a) // What came in meanwhile waits too.
		}
		s.plan(a, time.Now())
	}
	s.look()
}

// step runs a step. If there is more to do, delay is how long that must wait at least. The
// caller has the job.
func (s *Scheduler) step(job *Job) (more bool, delay time.Duration) {
	more, err := s.opts.Step(s.ctx, job)
	job.Failures++
	switch {
	case err == nil:
		job.Failures = 0
	case s.ctx.Err() == nil:
		more, delay = true, min(maxBackoff, minBackoff<<min(job.Failures-1, 20))
		s.opts.Failed(job, delay, err)
	}
	return more, delay
}

// Do calls fn while no step runs for an account, after waiting for one that does. It must do
// all there is to do. Its context also ends when the scheduler is closed, which waits for fn.
// After Close, Do returns Options.Closed.
func (s *Scheduler) Do(ctx context.Context, name string, fn func(ctx context.Context, job *Job) error) error {
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return s.opts.Closed
	}
	s.work.Add(1)
	defer s.work.Done()
	a := s.account(name)
	s.mu.Unlock()
	select {
	case a.held <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return s.opts.Closed
	}
	defer s.Wake(name) // For what came in meanwhile.
	defer func() { <-a.held }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return fn(ctx, &a.job)
}
