package reports

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"mox/internal/metrics"
)

// day is the period of reports.
const day = 24 * time.Hour

// wait waits until a time has passed. It returns false if the context has ended.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// jitter returns a random time from min, and before max.
func jitter(min, max time.Duration) time.Duration {
	return min + rand.N(max-min)
}

// pace returns the time between n reports of a round.
func pace(n int, spread time.Duration) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(spread/time.Duration(n), maxPause)
}

// rounds calls a function soon after the start, for what was due while the server was
// not running, and then after each whole hour, until the context ends.
func rounds(ctx context.Context, delayMin, delayMax time.Duration, round func(ctx context.Context)) {
	next := time.Now()
	for wait(ctx, time.Until(next.Add(jitter(delayMin, delayMax)))) {
		round(ctx)
		next = time.Now().Truncate(time.Hour).Add(time.Hour)
	}
}

// spread calls a function for each of a list, with pauses, a few at a time, and waits for
// all. A panic is about one of them only.
func spread[T any](ctx context.Context, log *slog.Logger, l []T, over time.Duration, fn func(ctx context.Context, v T)) {
	pause := pace(len(l), over)
	slots := make(chan struct{}, maxParallel)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, v := range l {
		if i > 0 && !wait(ctx, pause) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer func() {
				if x := recover(); x != nil {
					metrics.Panic(pkgName)
					log.Error("unhandled panic", slog.String("panic", fmt.Sprint(x)), slog.String("stack", string(debug.Stack())))
				}
			}()
			ctx, cancel := context.WithTimeout(ctx, domainTimeout)
			defer cancel()
			fn(ctx, v)
		})
	}
}
