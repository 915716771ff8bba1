package queuedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/mjl-/bstore"
)

// sweeper is the goroutine that removes the files of erased contents.
type sweeper struct {
	d    *DB
	wake chan struct{} // Capacity 1.
	quit chan struct{}
	done chan struct{}
	once sync.Once

	mu  sync.Mutex // Guards ids.
	ids []int64    // Contents with a committed erase row.
}

func (s *sweeper) init(d *DB) {
	s.d = d
	s.wake = make(chan struct{}, 1)
	s.quit = make(chan struct{})
	s.done = make(chan struct{})
}

func (s *sweeper) add(ids []int64) {
	if len(ids) == 0 {
		return
	}
	s.mu.Lock()
	s.ids = append(s.ids, ids...)
	s.mu.Unlock()
	s.due()
}

// due makes what is due be looked at soon.
func (s *sweeper) due() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sweeper) take() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.ids), sweepBatch)
	l := s.ids[:n:n]
	s.ids = s.ids[n:]
	if len(s.ids) == 0 {
		s.ids = nil
	}
	return l
}

func (s *sweeper) run() {
	defer close(s.done)
	timer := time.NewTimer(sweepDelay)
	timer.Stop()
	defer timer.Stop()
	armed := false
	for {
		select {
		case <-s.wake:
			if !armed {
				armed = true
				timer.Reset(sweepDelay)
			}
		case <-timer.C:
			armed = false
			s.sweep()
		case <-s.quit:
			s.sweep()
			return
		}
	}
}

// sweep removes the files that are due for it. What comes meanwhile waits for the next
// time: a sync for each few would keep the commits of the queue waiting. Those that are
// held stay due.
func (s *sweeper) sweep() {
	for more := true; more; {
		l := s.take()
		if more = len(l) == sweepBatch; len(l) == 0 {
			return
		}
		held, err := s.d.removeErased(l)
		if held {
			s.mu.Lock()
			s.ids = append(l, s.ids...)
			s.mu.Unlock()
			return
		}
		if err != nil {
			// The erase rows stay, so the next start tries again.
			s.d.log.Warn("remove files of delivered messages, leaving them for the next start", "err", err)
			return
		}
	}
}

func (s *sweeper) stop() {
	s.once.Do(func() { close(s.quit) })
	<-s.done
}

// removeErased removes files whose erase rows are committed, and then the rows, unless
// files are held.
func (d *DB) removeErased(ids []int64) (held bool, err error) {
	if held, err = d.removals.Do(func() error { return d.unlink(ids) }); held || err != nil {
		return held, err
	}
	return false, d.committer.do(context.Background(), &change{apply: func(b *batch) error {
		return deleteErase(b.tx, ids)
	}})
}

// unlink removes the files of contents, and makes that durable.
func (d *DB) unlink(ids []int64) error {
	dirs := map[string]bool{}
	for _, id := range ids {
		if err := d.fs.Remove(d.pathOf(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Also synced for a file that is gone: its removal may not be on disk.
		dirs[d.dirOf(id)] = true
	}
	for dir := range dirs {
		if err := d.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", errSync, err)
		}
	}
	return nil
}

func deleteErase(tx *bstore.Tx, ids []int64) error {
	for _, id := range ids {
		if err := tx.Delete(&erase{id}); err != nil && err != bstore.ErrAbsent {
			return fmt.Errorf("delete erase row: %w", err)
		}
	}
	return nil
}
