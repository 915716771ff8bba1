package parallel

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// A Panic is the value that [Do] panics with.
type Panic struct {
	Value any    // What a function has panicked with.
	Stack []byte // Of its goroutine.
}

func (p Panic) Error() string { return fmt.Sprintf("%v\n%s", p.Value, p.Stack) }

// Do calls a function for the numbers from 0 to n-1, at most limit calls at the same time,
// and returns when all have returned. If any has panicked, Do panics too, with a [Panic] of
// the first, so that whoever recovers panics of its caller recovers those as well. If n is 1
// the call is in the goroutine of the caller.
func Do(n, limit int, fn func(i int)) {
	if n == 1 {
		fn(0)
		return
	}
	slots, panics := make(chan struct{}, limit), make(chan Panic, 1)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() {
				if x := recover(); x != nil {
					select {
					case panics <- Panic{x, debug.Stack()}:
					default:
					}
				}
				<-slots
			}()
			fn(i)
		})
	}
	wg.Wait()
	select {
	case p := <-panics:
		panic(p)
	default:
	}
}
