package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestATakenAccountIsClosedForOthers(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	s := a.store
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(1))); err != nil {
		t.Fatal(err)
	}
	ended := 0
	session := a.Session()
	session.OnEnd(func() { ended++ })
	defer session.Close()
	taken, err := s.Take(ctx, "mox")
	if err != nil {
		t.Fatal(err)
	}
	if ended != 1 {
		t.Errorf("session was ended %d times", ended)
	}
	late := a.Session() // Of who had the account before.
	late.OnEnd(func() { ended++ })
	late.Close()
	if ended != 2 {
		t.Error("late session was not ended")
	}
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(2))); !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v", err)
	}
	for name, fn := range map[string]func() error{
		"ensure": func() error { _, err := s.Ensure(ctx, "mox"); return err },
		"open":   func() error { _, err := s.Account(ctx, "mox"); return err },
		"take":   func() error { _, err := s.Take(ctx, "mox"); return err },
	} {
		if err := fn(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if mine, err := taken.Open(ctx); err != nil || mine.Tree().Messages() != 1 {
		t.Errorf("open for who took it: %v", err)
	}
	if err := taken.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := s.Account(ctx, "mox")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if n := again.Tree().Messages(); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestTakenAccountsAreMovedAndRemoved(t *testing.T) {
	t.Parallel()
	known := "mox"
	a := testAccount(t, func(o *Options) { o.Known = func(name string) bool { return name == known } })
	s := a.store
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(1))); err != nil {
		t.Fatal(err)
	}
	take := func(name string) *Taken {
		t.Helper()
		taken, err := s.Take(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	from, to := take("mox"), take("new")
	known = "new"
	for range 2 { // The second time, there is nothing left to do.
		if err := from.MoveTo(to); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(from.Release(), to.Release()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure(ctx, "mox"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("made an account that is not known: %v", err)
	}
	b, err := s.Ensure(ctx, "new")
	if err != nil || b.Tree().Messages() != 1 {
		t.Fatalf("after the move: %v", err)
	}
	b.Release()

	// What is in the way is not overwritten.
	other := take("other")
	if err := os.Mkdir(filepath.Join(s.opts.Dir, "accounts", "other"), 0700); err != nil {
		t.Fatal(err)
	}
	from = take("new")
	if err := from.MoveTo(other); err == nil {
		t.Error("moved over another account")
	}
	for range 2 {
		if err := from.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(from.Release(), other.Release()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Account(ctx, "new"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("after removal: %v", err)
	}
	if l, err := os.ReadDir(s.TempDir()); err != nil || len(l) > 0 {
		t.Errorf("left: %v, %v", l, err)
	}
}
