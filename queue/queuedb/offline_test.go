package queuedb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/safefile"
	"mox/mlog"
)

// closedQueue returns a data directory with a queue of one message, and the file of
// that.
func closedQueue(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	d := testOpen(t, Options{Dir: dir})
	m := enqueue(t, d, "content\r\n", "a@rcpt.example")
	file = d.pathOf(m[0].ContentID)
	tcheck(t, d.Close())
	return dir, file
}

func verifyDir(t *testing.T, dir string, want ...string) {
	t.Helper()
	l, err := VerifyDir(ctxbg, dir)
	tcheck(t, err)
	if len(l) != len(want) {
		t.Fatalf("got problems %v, expected %v", l, want)
	}
	for i, p := range l {
		if !strings.Contains(p.String(), want[i]) {
			t.Errorf("got problem %q, expected %q", p, want[i])
		}
	}
}

func TestQueueWithoutServerIsVerifiedAndRepaired(t *testing.T) {
	t.Parallel()
	dir, file := closedQueue(t)
	verifyDir(t, dir)

	// A file that a crash has left is no problem, and stays.
	d := testOpen(t, Options{Dir: dir})
	reserved := d.pathOf(d.ids.next)
	tcheck(t, d.Close())
	tcheck(t, os.MkdirAll(filepath.Dir(reserved), 0700))
	tcheck(t, os.WriteFile(reserved, []byte("x"), 0600))
	verifyDir(t, dir)
	if _, err := os.Stat(reserved); err != nil {
		t.Errorf("verifying changed something: %v", err)
	}

	// One with an id of before is.
	stray := filepath.Join(filepath.Dir(file), "2")
	tcheck(t, os.WriteFile(stray, []byte("x"), 0600))
	verifyDir(t, dir, stray+" has no record")
	found, left, err := RepairDir(ctxbg, dir, mlog.Discard())
	if err != nil || len(found) != 1 || len(left) != 0 {
		t.Errorf("found %v, left %v, %v", found, left, err)
	}
	verifyDir(t, dir)

	// What is lost stays a problem until the sender was told.
	tcheck(t, os.Truncate(file, 3))
	verifyDir(t, dir, "file of content 1 has 3 octets")
	found, left, err = RepairDir(ctxbg, dir, mlog.Discard())
	if err != nil || len(found) != 1 || len(left) != 1 {
		t.Errorf("found %v, left %v, %v", found, left, err)
	}
}

func TestDirectoryWithoutQueueHasNoProblems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	verifyDir(t, dir)
	if found, left, err := RepairDir(ctxbg, dir, mlog.Discard()); err != nil || len(found)+len(left) != 0 {
		t.Errorf("found %v, left %v, %v", found, left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "queue")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a queue was made: %v", err)
	}
}

func TestQueueThatIsNoDatabaseIsAProblem(t *testing.T) {
	t.Parallel()
	dir, _ := closedQueue(t)
	tcheck(t, os.WriteFile(dbPath(dir), []byte("not a database"), 0600))
	verifyDir(t, dir, "database file")
}

func TestQueueInUseIsNotVerified(t *testing.T) {
	t.Parallel()
	dir, _ := closedQueue(t)
	lock, err := safefile.LockDir(dir)
	tcheck(t, err)
	defer lock.Close()
	if _, err := VerifyDir(ctxbg, dir); !errors.Is(err, safefile.ErrLocked) {
		t.Errorf("verify: got error %v", err)
	}
	if _, _, err := RepairDir(ctxbg, dir, mlog.Discard()); !errors.Is(err, safefile.ErrLocked) {
		t.Errorf("repair: got error %v", err)
	}
}
