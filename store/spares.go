package store

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"mox/internal/safefile"
)

const (
	// spareFiles is how many empty files an account that gets mail has ready for the
	// next messages, and fewSpares when more are made.
	spareFiles = 6
	fewSpares  = 3
	// spareInterval is how soon one message must follow another for more to be
	// expected.
	spareInterval = 2 * time.Second
)

// spare is an empty file for a message to come, whose name is on stable storage.
type spare struct {
	id   int64
	dir  string
	file safefile.File
}

// spares makes files for messages ahead of time, several at once, so that a message
// need not wait until the name of its file has been synced. After a crash they are
// files without a record like those of messages that were never acknowledged, but
// empty.
type spares struct {
	a    *Account
	work sync.WaitGroup

	mu      sync.Mutex // Guards what follows.
	ready   []spare    // Lowest id first.
	filling bool
	stopped bool
	last    time.Time // Of take.
}

// take returns a file, if one is ready, and has more made if messages come often.
func (s *spares) take() (sp spare, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ready) > 0 && !ok {
		sp, s.ready = s.ready[0], s.ready[1:]
		if ok = s.a.ids.held(sp.id); !ok {
			s.discard([]spare{sp}) // The account was reopened meanwhile.
		}
	}
	now := s.a.store.opts.Now()
	if len(s.ready) < fewSpares && !s.filling && !s.stopped && now.Sub(s.last) < spareInterval {
		s.filling = true
		s.work.Go(s.fill)
	}
	s.last = now
	return sp, ok
}

// fill makes files. When that fails, the next message finds out why: it makes its
// own.
func (s *spares) fill() {
	made := s.make()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling = false
	if s.stopped {
		s.discard(made)
		return
	}
	s.ready = append(s.ready, made...)
}

// make returns new files, or none.
func (s *spares) make() []spare {
	var l []spare
	var dirs []string
	err := func() error {
		for range spareFiles {
			id, ok := s.a.ids.take()
			if !ok {
				break
			}
			path := s.a.contentPath(id)
			dir := filepath.Dir(path)
			if len(dirs) == 0 || dirs[len(dirs)-1] != dir {
				if err := s.a.ensureDir(dir); err != nil {
					s.a.ids.done(id)
					return err
				}
				dirs = append(dirs, dir)
			}
			f, err := s.a.store.fs.CreateExcl(path, safefile.SpoolPerm)
			if err != nil {
				s.a.removeFiles(id)
				return err
			}
			l = append(l, spare{id, dir, f})
		}
		for _, dir := range dirs {
			if err := s.a.store.fs.SyncDir(dir); err != nil {
				return fmt.Errorf("sync message directory: %w", err)
			}
		}
		return nil
	}()
	if err != nil {
		s.a.log.Debug("making files for messages to come", "err", err)
		s.discard(l)
		return nil
	}
	return l
}

// discard removes files that are not needed.
func (s *spares) discard(l []spare) {
	var ids []int64
	for _, sp := range l {
		if err := sp.file.Close(); err != nil {
			s.a.log.Debug("closing file for a message to come", "err", err)
		}
		ids = append(ids, sp.id)
	}
	s.a.removeFiles(ids...)
}

// dropIdle removes the files that are ready if no messages have come for a while.
func (s *spares) dropIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.a.store.opts.Now().Sub(s.last) >= spareInterval {
		s.discard(s.ready)
		s.ready = nil
	}
}

// stop drops all files, and has no more made.
func (s *spares) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discard(s.ready)
	s.ready = nil
}
