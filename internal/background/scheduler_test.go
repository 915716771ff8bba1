package background

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var ctxbg = context.Background()

var (
	errClosed = errors.New("closed")
	errStep   = errors.New("step failed")
)

const delay = time.Second

// env is a scheduler that notes when which steps ran. It is closed in the end, and its
// bubble fails the test if a goroutine is left.
type env struct {
	*Scheduler
	t     *testing.T
	start time.Time

	// step is what a step does, nil for nothing. It is to be set before Start.
	step func(ctx context.Context, job *Job) (more bool, err error)

	mu  sync.Mutex
	got []string // As account@time since the start, or account!failures+delay@time.
}

// run calls fn with a scheduler that is not started, in a bubble.
func run(t *testing.T, workers int, fn func(e *env)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &env{t: t, start: time.Now()}
		e.Scheduler = New(Options{
			Delay: delay, Workers: workers, Closed: errClosed,
			Step: func(ctx context.Context, job *Job) (bool, error) {
				e.note(job.Account)
				if e.step == nil {
					return false, nil
				}
				return e.step(ctx, job)
			},
			Failed: func(job *Job, delay time.Duration, err error) {
				if !errors.Is(err, errStep) {
					t.Errorf("failed: %v", err)
				}
				e.note(fmt.Sprintf("%s!%d+%s", job.Account, job.Failures, delay))
			},
		})
		defer e.Close()
		fn(e)
	})
}

func (e *env) note(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, fmt.Sprintf("%s@%s", text, time.Since(e.start)))
}

// noted returns what ran so far.
func (e *env) noted() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got
}

// want checks what ran until some time after the start.
func (e *env) want(until time.Duration, want string) {
	e.t.Helper()
	time.Sleep(until - time.Since(e.start))
	synctest.Wait()
	if got := strings.Join(e.noted(), " "); got != want {
		e.t.Errorf("got %s\nexpected %s", got, want)
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		do   func(e *env)
		want string // Within an hour.
	}{
		"nothing runs that nobody woke": {func(e *env) { e.Start() }, ""},
		"nothing runs that is due when it is closed": {func(e *env) {
			e.WakeAfter("a", 0)
			e.Close()
			for range 10 {
				e.Start() // It may look first whether something is due.
			}
		}, ""},
		"a step runs after the delay, once for many calls": {func(e *env) {
			e.Start()
			for range 3 {
				e.Wake("a")
				time.Sleep(delay / 4)
			}
		}, "a@1s"},
		"what was planned before the start is due then": {func(e *env) {
			e.Wake("a")
			time.Sleep(3 * delay)
			e.Start()
		}, "a@3s"},
		"what has waited longest comes first": {func(e *env) {
			for _, name := range []string{"b", "c", "a"} {
				e.Wake(name)
				time.Sleep(time.Millisecond)
			}
			time.Sleep(delay)
			e.step = func(context.Context, *Job) (bool, error) { time.Sleep(delay); return false, nil }
			e.Start()
		}, "b@1.003s c@2.003s a@3.003s"},
		"one with more to do comes after those that are due": {func(e *env) {
			e.step = func(_ context.Context, job *Job) (bool, error) {
				time.Sleep(delay)
				return job.Account == "a" && len(e.noted()) < 4, nil
			}
			e.Start()
			e.Wake("a")
			time.Sleep(time.Millisecond)
			e.Wake("b")
		}, "a@1s b@2s a@3s a@4s"},
		"the earlier of two times counts": {func(e *env) {
			e.Start()
			e.WakeAfter("a", 10*time.Second)
			e.WakeAfter("a", 2*time.Second)
			e.WakeAfter("a", 5*time.Second)
		}, "a@2s"},
		"one that is woken while it runs runs again, but not at the same time": {func(e *env) {
			e.step = func(context.Context, *Job) (bool, error) {
				if len(e.noted()) == 1 {
					e.Wake("a")
				}
				time.Sleep(3 * delay)
				return false, nil
			}
			e.Start()
			e.Wake("a")
		}, "a@1s a@4s"},
		"what failed is tried again later and later": {func(e *env) {
			e.step = func(_ context.Context, job *Job) (bool, error) {
				if job.Failures == 3 {
					return false, nil
				}
				return false, errStep
			}
			e.Start()
			e.Wake("a")
		}, "a@1s a!1+2s@1s a@3s a!2+4s@3s a@7s a!3+8s@7s a@15s"},
		"a step without an error ends a series of failures": {func(e *env) {
			outcomes := []error{errStep, nil, errStep, nil}
			e.step = func(_ context.Context, job *Job) (more bool, err error) {
				err, outcomes = outcomes[0], outcomes[1:]
				return len(outcomes) == 2, err
			}
			e.Start()
			e.Wake("a")
		}, "a@1s a!1+2s@1s a@3s a@3s a!1+2s@3s a@5s"},
		"what comes up after a failure waits too, and others do not": {func(e *env) {
			e.step = func(context.Context, *Job) (bool, error) {
				if len(e.noted()) > 1 {
					return false, nil
				}
				e.WakeAfter("a", 0)
				return false, errStep
			}
			e.Start()
			e.Wake("a")
			time.Sleep(delay + time.Millisecond)
			e.WakeAfter("a", 0)
			e.WakeAfter("b", 0)
		}, "a@1s a!1+2s@1s b@1.001s a@3s"},
		"a step that got on counts failures anew": {func(e *env) {
			e.step = func(_ context.Context, job *Job) (bool, error) {
				if len(e.noted()) >= 5 {
					return false, nil
				}
				job.Failures = 0
				return true, errStep
			}
			e.Start()
			e.Wake("a")
		}, "a@1s a!1+2s@1s a@3s a!1+2s@3s a@5s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, 1, func(e *env) {
				tc.do(e)
				e.want(time.Hour, tc.want)
			})
		})
	}
}

func TestFailuresArePutOffOnlySoLong(t *testing.T) {
	t.Parallel()
	run(t, 1, func(e *env) {
		e.step = func(context.Context, *Job) (bool, error) { return false, errStep }
		e.Start()
		e.Wake("a")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		got := e.noted()
		if last := got[len(got)-1]; !strings.Contains(last, "+"+maxBackoff.String()+"@") {
			t.Errorf("last: %s", last)
		}
	})
}

func TestOnlySoManyStepsRunAtOnce(t *testing.T) {
	t.Parallel()
	run(t, 2, func(e *env) {
		e.step = func(ctx context.Context, _ *Job) (bool, error) { <-ctx.Done(); return false, ctx.Err() }
		e.Start()
		for _, name := range []string{"a", "b", "c"} {
			e.Wake(name)
			time.Sleep(time.Millisecond)
		}
		e.want(time.Minute, "a@1s b@1.001s")
	})
}

func TestAccountsDoNotTakeTheWorkersOfOthers(t *testing.T) {
	t.Parallel()
	run(t, 2, func(e *env) {
		e.step = func(_ context.Context, job *Job) (bool, error) {
			if job.Account == "a" && len(e.noted()) < 3 {
				e.WakeAfter("a", 0)
				time.Sleep(10 * time.Second)
			}
			return false, nil
		}
		e.Start()
		e.Wake("a")
		e.WakeAfter("b", 2*delay)
		e.want(time.Hour, "a@1s b@2s a@11s")
	})
}

func TestCloseWaitsForWhatIsInProgress(t *testing.T) {
	t.Parallel()
	run(t, 1, func(e *env) {
		e.step = func(ctx context.Context, _ *Job) (bool, error) {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), errClosed) {
				t.Errorf("cause %v", context.Cause(ctx))
			}
			time.Sleep(time.Minute)
			e.note("end")
			return true, errStep // Not a failure any more.
		}
		e.Start()
		e.Wake("a")
		time.Sleep(time.Millisecond)
		e.Wake("b")
		time.Sleep(2*delay - time.Millisecond)
		done := make(chan error, 1)
		go func() {
			done <- e.Do(ctxbg, "c", func(ctx context.Context, _ *Job) error {
				<-ctx.Done()
				time.Sleep(2 * time.Minute)
				return ctx.Err()
			})
		}()
		synctest.Wait()
		e.Close()
		e.note("closed")
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("do: %v", err)
		}
		e.Close()
		e.Wake("a")
		if err := e.Do(ctxbg, "a", nil); !errors.Is(err, errClosed) {
			t.Errorf("do after close: %v", err)
		}
		e.want(time.Hour, "a@1s end@1m2s closed@2m2s")
	})
}

func TestDoKeepsStepsOfItsAccountAway(t *testing.T) {
	t.Parallel()
	run(t, 1, func(e *env) {
		e.Start()
		err := e.Do(ctxbg, "a", func(_ context.Context, job *Job) error {
			e.Wake("a") // It does what there is.
			e.Wake("b")
			time.Sleep(10 * time.Second)
			e.note("do " + job.Account)
			return errStep
		})
		if !errors.Is(err, errStep) {
			t.Errorf("do: %v", err)
		}
		// What came up in the end is not forgotten.
		e.want(time.Hour, "b@1s do a@10s a@11s")
	})
}

func TestDoWaitsForTheStep(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(e *env, cancel func())
		want error
	}{
		"until it ends":             {func(e *env, _ func()) { time.Sleep(time.Minute) }, nil},
		"until its context ends":    {func(_ *env, cancel func()) { cancel() }, context.Canceled},
		"until the scheduler ends":  {func(e *env, _ func()) { go e.Close() }, errClosed},
		"or for another foreground": {func(e *env, _ func()) { time.Sleep(time.Minute) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, 1, func(e *env) {
				ctx, cancel := context.WithCancel(ctxbg)
				defer cancel()
				slow := func(context.Context, *Job) error { time.Sleep(30 * time.Second); return nil }
				e.step = func(ctx context.Context, job *Job) (bool, error) { return false, slow(ctx, job) }
				if strings.Contains(name, "foreground") {
					go func() { _ = e.Do(ctxbg, "a", slow) }()
				} else {
					e.Start()
					e.WakeAfter("a", 0)
				}
				synctest.Wait()
				var ran []time.Duration
				done := make(chan error, 1)
				go func() {
					done <- e.Do(ctx, "a", func(context.Context, *Job) error { ran = append(ran, time.Since(e.start)); return nil })
				}()
				synctest.Wait()
				tc.end(e, cancel)
				if err := <-done; !errors.Is(err, tc.want) {
					t.Errorf("got %v, expected %v", err, tc.want)
				}
				if want := []time.Duration{30 * time.Second}; tc.want == nil && !slices.Equal(ran, want) || tc.want != nil && ran != nil {
					t.Errorf("ran at %v", ran)
				}
			})
		})
	}
}

// A panic in the foreground is that of its caller, and leaves nothing locked.
func TestPanicInDo(t *testing.T) {
	t.Parallel()
	run(t, 1, func(e *env) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = e.Do(ctxbg, "a", func(context.Context, *Job) error { panic("test") })
		}()
		if err := e.Do(ctxbg, "a", func(context.Context, *Job) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
