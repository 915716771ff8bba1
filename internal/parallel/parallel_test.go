package parallel

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAllAreCalledWithinTheLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 10} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			running, most := 0, 0
			calls := make([]int, n)
			Do(n, 3, func(i int) {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				time.Sleep(time.Second)
				calls[i]++
				mu.Lock()
				running--
				mu.Unlock()
			})
			if slices.ContainsFunc(calls, func(c int) bool { return c != 1 }) || most != min(n, 3) {
				t.Errorf("%d: calls %v, %d at the same time", n, calls, most)
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
