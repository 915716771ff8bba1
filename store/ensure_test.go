package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"

	"mox/internal/safefile"
)

// statFS waits before it says that there is no database.
type statFS struct {
	safefile.FS
	asked, goOn chan struct{}
}

func (f statFS) Stat(name string) (fs.FileInfo, error) {
	info, err := f.FS.Stat(name)
	if filepath.Base(name) == dbName && errors.Is(err, fs.ErrNotExist) {
		f.asked <- struct{}{}
		<-f.goOn
	}
	return info, err
}

func TestAnAccountIsMadeWhileSomebodyFindsThatThereIsNone(t *testing.T) {
	t.Parallel()
	f := statFS{safefile.OS, make(chan struct{}, 10), make(chan struct{})}
	o := testOptions(t)
	o.FS = f
	s, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan error)
	go func() {
		_, err := s.Account(ctx, "ann")
		found <- err
	}()
	<-f.asked
	made := make(chan error)
	go func() {
		a, err := s.Ensure(ctx, "ann")
		if err == nil {
			a.Release()
		}
		made <- err
	}()
	for waits := false; !waits; runtime.Gosched() {
		s.mu.Lock()
		waits = s.accounts["ann"].refs == 2
		s.mu.Unlock()
	}
	close(f.goOn)
	if err := <-found; !errors.Is(err, ErrNoAccount) {
		t.Errorf("looking for it: %v", err)
	}
	if err := <-made; err != nil {
		t.Errorf("making it: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
