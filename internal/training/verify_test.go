package training

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{}, "ann", "bob", "cleo")
	e.deliver("ann", 5)
	e.deliver("bob", 5)
	e.deliver("none", 1)
	tcheck(t, e.Flush(ctxbg, "ann"))
	tcheck(t, e.Flush(ctxbg, "bob"))
	e.isJunk("cleo", true) // Leaves a new one.
	e.stop()
	if problems, err := Verify(ctxbg, e.dir); err != nil || len(problems) > 0 {
		t.Errorf("got %q, %v", problems, err)
	}
	e.damage("bob", func(b []byte) []byte { return b[:1] })
	problems, err := Verify(ctxbg, e.dir)
	if err != nil || len(problems) != 1 || !strings.HasPrefix(problems[0], "account bob: ") || !strings.Contains(problems[0], "damaged") {
		t.Errorf("got %q, %v", problems, err)
	}
	if problems, err := Verify(ctxbg, t.TempDir()); err != nil || len(problems) > 0 {
		t.Errorf("empty directory: got %q, %v", problems, err)
	}
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	if _, err := Verify(ctx, e.dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	e.start()
	tcheck(t, e.Flush(ctxbg, "bob")) // Nothing to learn does not open it.
	e.isJunk("bob", true)
	tcheck(t, e.Flush(ctxbg, "bob"))
	e.want("bob", 5, 5)
}
