package reports

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mox/dmarc/report"
	"mox/internal/metrics"
	"mox/mlog"
)

func TestReportsOfARoundAreMadeAFewAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, done atomic.Int32
		var mu sync.Mutex
		most := int32(0)
		start := time.Now()
		spread(t.Context(), mlog.Discard(), make([]int, 20), 45*time.Minute, func(ctx context.Context, _ int) {
			mu.Lock()
			most = max(most, running.Add(1))
			mu.Unlock()
			defer running.Add(-1)
			<-ctx.Done() // As with DNS servers that do not answer.
			if !temporary(ctx.Err()) {
				t.Errorf("not temporary: %v", ctx.Err())
			}
			done.Add(1)
		})
		if done.Load() != 20 || most < 2 || most > maxParallel || time.Since(start) > 50*time.Minute {
			t.Errorf("%d done, %d at a time, within %s", done.Load(), most, time.Since(start))
		}
	})
}

func TestPanicIsAboutOneReport(t *testing.T) {
	t.Parallel()
	before := metrics.PanicCount()
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int32
		spread(t.Context(), mlog.Discard(), []int{0, 1, 2}, 0, func(_ context.Context, i int) {
			if i == 1 {
				panic("on purpose")
			}
			done.Add(1)
		})
		if done.Load() != 2 || metrics.PanicCount() == before {
			t.Errorf("%d done, %d panics", done.Load(), metrics.PanicCount()-before)
		}
	})
}

func TestStopEndsARoundAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var done atomic.Int32
		start := time.Now()
		time.AfterFunc(time.Minute, cancel)
		spread(ctx, mlog.Discard(), make([]int, 1000), 45*time.Minute, func(context.Context, int) { done.Add(1) })
		if time.Since(start) != time.Minute || done.Load() > 30 {
			t.Errorf("%d done in %s", done.Load(), time.Since(start))
		}
	})
}

func TestWhatWasQueuedIsRememberedWithinALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		n := 0
		send := func(id string) error {
			return s.once(id, func() error { n++; return nil })
		}
		failed := errors.New("failed")
		if err := s.once("a", func() error { return failed }); !errors.Is(err, failed) {
			t.Error(err)
		}
		for range 3 {
			if err := send("a"); err != nil {
				t.Error(err)
			}
		}
		if n != 1 {
			t.Errorf("queued %d times", n)
		}
		for i := range maxSent + 10 {
			if err := send(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.sent) != maxSent {
			t.Errorf("%d remembered", len(s.sent))
		}
		time.Sleep(2*day + time.Hour)
		if err := send("b"); err != nil || len(s.sent) != 1 {
			t.Errorf("%d remembered later, %v", len(s.sent), err)
		}
	})
}

func TestReportIDsAreTheSameForTheSameReportOnly(t *testing.T) {
	t.Parallel()
	begin := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	host := parseDomain(t, "bücher.example")
	ids := map[string]bool{}
	for range 2 {
		for _, about := range [][]any{{KindDMARC, "a"}, {KindTLS, "a"}, {KindTLS, "a", true}, {KindTLS, "a", false}, {KindTLS, "b"}, {KindTLS}} {
			for _, b := range []time.Time{begin, begin.Add(time.Hour)} {
				id := reportID(b, host, about...)
				ids[id] = true
				if !report.ValidReportID(id) || len(uniqueID(id)) != 16 || id[:9] != "20240301." {
					t.Errorf("id %q", id)
				}
			}
		}
	}
	if len(ids) != 12 {
		t.Errorf("%d ids", len(ids))
	}
}

func TestPauseBetweenReports(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{0: 0, 1: 0, 2: 5 * time.Minute, 9: 5 * time.Minute, 10: 270 * time.Second, 2700: time.Second} {
		if got := pace(n, 45*time.Minute); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for range 1000 {
		if d := jitter(dmarcDelayMin, dmarcDelayMax); d < 30*time.Second || d >= 90*time.Second {
			t.Fatal(d)
		}
	}
}
