package safefile

import "sync"

// Removals lets files be removed, except while someone holds them: a backup, which has
// copied a database and still needs the files that the copy names. The zero value is
// ready for use, and safe for concurrent use.
type Removals struct {
	mu    sync.RWMutex // Held for reading while files are removed. Guards holds.
	holds int
}

// Hold waits until no files are being removed, and keeps them from being removed until
// release is called, which may be done more than once.
func (r *Removals) Hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.holds--
	})
}

// Do calls fn, which finds out what is to be removed and removes it, unless files are
// held. It reports whether they were, and returns the error of fn.
func (r *Removals) Do(fn func() error) (held bool, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.holds > 0 {
		return true, nil
	}
	return false, fn()
}
