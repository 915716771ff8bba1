package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestChangesAreCommittedTogether(t *testing.T) {
	t.Parallel()
	s, err := Open(ctx, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	a, err := s.Ensure(ctx, "mox")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	errNot := errors.New("not this one")
	const n = 200
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = a.UpdateTogether(ctx, func(tx *Tx) error {
				if err := tx.AddCounter("x", 1); err != nil {
					return err
				}
				switch i % 50 {
				case 7:
					return errNot
				case 8:
					panic("no")
				}
				return nil
			})
		})
	}
	wg.Wait()
	failed := 0
	for i, err := range errs {
		switch i % 50 {
		case 7:
			if !errors.Is(err, errNot) {
				t.Errorf("%d: %v", i, err)
			}
			failed++
		case 8:
			if err == nil {
				t.Errorf("%d: no error", i)
			}
			failed++
		default:
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	sum, err := a.CounterSum(ctx, "x", time.Time{})
	if want := int64(n - failed); err != nil || sum != want {
		t.Errorf("sum %d, %v, want %d", sum, err, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.UpdateTogether(ctx, func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func BenchmarkUpdateTogether(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, err := Open(ctx, Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			a, err := s.Ensure(ctx, "mox")
			if err != nil {
				b.Fatal(err)
			}
			defer a.Release()
			b.SetParallelism(n)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := a.UpdateTogether(ctx, func(tx *Tx) error { return tx.AddCounter("x", 1) }); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
