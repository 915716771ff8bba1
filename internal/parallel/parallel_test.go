package parallel

import (
	"bytes"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAllAreCalledWithinTheLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 10} {
		synctest.Test(t, func(t *testing.T) {
			var running, most atomic.Int32
			calls := make([]int, n)
			Do(n, 3, func(i int) {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(time.Second)
				calls[i]++
				running.Add(-1)
			})
			if slices.ContainsFunc(calls, func(c int) bool { return c != 1 }) || int(most.Load()) != min(n, 3) {
				t.Errorf("%d: calls %v, %d at the same time", n, calls, most.Load())
			}
		})
	}
}

func TestPanicIsThatOfTheCaller(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	called := make([]bool, 5)
	defer func() {
		p, ok := recover().(Panic)
		if !ok || p.Value != why || !bytes.Contains(p.Stack, []byte("culprit")) {
			t.Errorf("got %v", p)
		}
		if slices.Contains(called, false) {
			t.Errorf("others were not called: %v", called)
		}
	}()
	Do(len(called), 2, func(i int) {
		called[i] = true
		culprit(why)
	})
	t.Error("no panic")
}

func culprit(why error) { panic(why) }
