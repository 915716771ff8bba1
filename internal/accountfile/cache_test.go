package accountfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

var ctxbg = context.Background()

var (
	errClosed  = errors.New("closed")
	errOpen    = errors.New("cannot be opened")
	errClosing = errors.New("cannot be closed")
)

// file is a file that says whether it is open.
type file struct {
	Uses
	t      testing.TB
	name   string
	closed bool
	err    error // Of Close.
}

func (f *file) Close() error {
	if f.closed {
		f.t.Errorf("%s is closed twice", f.name)
	}
	f.closed = true
	return f.err
}

// env is a cache for two files.
type env struct {
	*Cache[*file]
	t      testing.TB
	end    func() // Ends its context.
	failed []error
}

func newEnv(t testing.TB) *env {
	ctx, cancel := context.WithCancelCause(ctxbg)
	e := &env{t: t, end: func() { cancel(errClosed) }}
	e.Cache = New[*file](Options{Context: ctx, Max: 2, Failed: func(_ string, err error) { e.failed = append(e.failed, err) }})
	t.Cleanup(e.end)
	return e
}

// acquire returns a file that is opened if it is not open.
func (e *env) acquire(name string) *file {
	e.t.Helper()
	f, err := e.Acquire(ctxbg, name, func() (*file, error) { return &file{t: e.t, name: name}, nil })
	if err != nil {
		e.t.Fatal(err)
	}
	return f
}

func (e *env) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Error(err)
	}
}

// use acquires files one after another, and releases them.
func (e *env) use(names string) {
	e.t.Helper()
	for name := range strings.FieldsSeq(names) {
		e.check(e.Release(e.acquire(name)))
	}
}

// want checks which files are open, last used first.
func (e *env) want(names string) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	var l []string
	for x := e.open.Front(); x != nil; x = x.Next() {
		s := x.Value.(*Slot[*file])
		if s.account != s.file.name || s.file.closed {
			e.t.Errorf("slot %s has file %+v", s.account, s.file)
		}
		l = append(l, s.account)
	}
	if got := strings.Join(l, " "); got != names {
		e.t.Errorf("open are %s, expected %s", got, names)
	}
}

// There is room for two. The last one is in use while room is made for it.
func TestFilesThatWereNotUsedForLongestAreClosed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ inUse, use, want string }{
		{"", "", ""},
		{"", "a a a", "a"},
		{"", "a b c", "c b"},
		{"", "a b a c", "c a"},
		{"a", "b c d", "d a"},
		{"a b", "c d", "d b a"},
		{"a b c", "", "c b a"},
		{"a b c", "b d", "d b c a"},
	} {
		t.Run(tc.inUse+" in use, "+tc.use, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			var l []*file
			for name := range strings.FieldsSeq(tc.inUse) {
				l = append(l, e.acquire(name))
			}
			e.use(tc.use)
			e.want(tc.want)
			for _, f := range l {
				if f.closed {
					t.Errorf("%s is closed while it is used", f.name)
				}
				e.check(e.Release(f))
			}
		})
	}
}

func TestFilesThatAreReplacedStayOpenForWhoUsesThem(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	old, again := e.acquire("a"), e.acquire("a")
	if old != again {
		t.Fatal("opened twice")
	}
	slot, err := e.Lock(ctxbg, "a")
	e.check(err)
	other := &file{t: t, name: "a"}
	e.check(slot.Drop(other)) // Which it is not.
	if slot.Current() != old {
		t.Errorf("current is %+v", slot.Current())
	}
	e.check(slot.Drop(old))
	if f, err := slot.Use(); f != nil || err != nil || slot.Current() != nil {
		t.Errorf("after it was dropped: %+v, %v", f, err)
	}
	e.check(slot.Put(other))
	if f, err := slot.Use(); f != other || err != nil {
		t.Errorf("after another one was put: %+v, %v", f, err)
	}
	slot.Unlock()
	e.check(e.Release(other))
	e.check(e.Release(old))
	if old.closed {
		t.Error("closed while it is used")
	}
	old.err = errClosing
	if err := e.Release(again); !old.closed || !errors.Is(err, errClosing) {
		t.Errorf("last user: closed %v, %v", old.closed, err)
	}
	e.want("a")
	e.check(e.Drop(ctxbg, "a", nil))
	e.check(e.Drop(ctxbg, "a", nil))
	if e.want(""); !other.closed {
		t.Error("not closed without users")
	}
}

func TestLockedFilesAreNotOpenedOrClosed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.use("a")
	slot, err := e.Lock(ctxbg, "a")
	e.check(err)
	e.use("b c d") // They go first, though they were used later.
	e.want("d a")
	e.check(slot.Drop(nil))
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	if _, err := e.Acquire(ctx, "a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("acquire: %v", err)
	}
	if err := e.Drop(ctx, "a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("drop: %v", err)
	}
	slot.Unlock()
	e.use("a")
}

func TestOneOpensAFileForAllWhoWaitForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		opening := make(chan struct{})
		for range 3 {
			go func() {
				f, err := e.Acquire(ctxbg, "a", func() (*file, error) {
					<-opening // A second one would wait forever.
					return &file{t: t, name: "a"}, nil
				})
				e.check(err)
				e.check(e.Release(f))
			}()
		}
		synctest.Wait()
		opening <- struct{}{}
		synctest.Wait()
	})
}

func TestErrorsOfFiles(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	if _, err := e.Acquire(ctxbg, "a", func() (*file, error) { return nil, errOpen }); !errors.Is(err, errOpen) {
		t.Errorf("acquire: %v", err)
	}
	e.want("")
	func() {
		defer func() { _ = recover() }()
		_, _ = e.Acquire(ctxbg, "a", func() (*file, error) { panic("test") })
	}()
	f := e.acquire("a")
	f.err = errClosing
	e.check(e.Release(f))
	e.use("b c d")
	if len(e.failed) != 1 || !errors.Is(e.failed[0], errClosing) {
		t.Errorf("failed: %v", e.failed)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	used, unused := e.acquire("a"), e.acquire("b")
	e.check(e.Release(unused))
	unused.err = errClosing
	late := &file{t: t, name: "c"}
	if _, err := e.Acquire(ctxbg, "c", func() (*file, error) { e.end(); return late, nil }); !errors.Is(err, errClosed) || !late.closed {
		t.Errorf("file that was being opened: closed %v, %v", late.closed, err)
	}
	if _, err := e.Acquire(ctxbg, "a", nil); !errors.Is(err, errClosed) {
		t.Errorf("acquire: %v", err)
	}
	if err := e.Close(); !errors.Is(err, errClosing) || !unused.closed || used.closed {
		t.Errorf("close: %v, closed %v, in use %v", err, unused.closed, used.closed)
	}
	e.check(e.Release(used))
	if !used.closed {
		t.Error("not closed by its last user")
	}
	e.check(e.Close())
	e.want("")
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	names := []string{"a", "b", "c", "d"}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				f := e.acquire(names[(i*j+i)%len(names)])
				if f.closed {
					t.Error("got a file that is closed")
				}
				if j%7 == 0 {
					e.check(e.Drop(ctxbg, f.name, f))
				}
				e.check(e.Release(f))
			}
		})
	}
	wg.Wait()
	e.use("a b")
	e.want("b a")
}

func TestVerify(t *testing.T) {
	t.Parallel()
	errDamaged, errVersion := errors.New("damaged"), errors.New("version")
	dir := t.TempDir()
	verify := func(ctx context.Context) ([]string, error) {
		return Verify(ctx, dir, "x.db", func(path string) error {
			b, err := os.ReadFile(path)
			for _, e := range []error{errDamaged, errVersion, errOpen} {
				if string(b) == e.Error() {
					err = e
				}
			}
			return err
		}, errDamaged, errVersion)
	}
	if l, err := verify(ctxbg); l != nil || err != nil {
		t.Errorf("empty directory: %q, %v", l, err)
	}
	write := func(account, text string) {
		t.Helper()
		path := filepath.Join(dir, "accounts", account, "x.db")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0700), os.WriteFile(path, []byte(text), 0600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, account := range []string{"a", "b", "c"} {
		write(account, map[string]string{"a": "fine", "b": "damaged", "c": "version"}[account])
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "accounts/none"), 0700), os.WriteFile(filepath.Join(dir, "accounts/stray"), nil, 0600)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"account b: damaged (the server will make a new one from the messages)",
		"account c: version (the server will make a new one from the messages)",
	}
	if l, err := verify(ctxbg); err != nil || !slices.Equal(l, want) {
		t.Errorf("got %q, %v", l, err)
	}
	write("d", errOpen.Error())
	if l, err := verify(ctxbg); !errors.Is(err, errOpen) || !slices.Equal(l, want) {
		t.Errorf("another error: %q, %v", l, err)
	}
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	if _, err := verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
