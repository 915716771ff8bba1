package fts

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// childPath, if set, has this program write to an index until it is killed.
const childPath = "MOX_TEST_FTS_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		if err := indexForever(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// killText is the text of a message, the same each time.
func killText(id int64) Text {
	r := rand.New(rand.NewPCG(9, uint64(id)))
	return Text{Body: fold(fmt.Sprintf("number%d.", id), randomText(r, 30)), Fields: fold(randomText(r, 5))}
}

// killSkipped and killRemoved say what becomes of messages.
func killSkipped(id int64) bool { return id%17 == 0 }
func killRemoved(id int64) bool { return id%5 == 0 && !killSkipped(id) }

// indexForever adds and removes messages, and writes a line for each commit.
func indexForever(path string) error {
	x, err := Open(path)
	if err != nil {
		return err
	}
	for {
		first := x.Mark()
		n := 1 + first%23
		// What was added before the last mark is removed by now.
		var gone []int64
		for id := max(1, first-100); id < first; id++ {
			if killRemoved(id) {
				gone = append(gone, id)
			}
		}
		var b Batch
		for id := first; id < first+n; id++ {
			if killSkipped(id) {
				err = b.Skip(id)
			} else {
				err = b.Add(id, killText(id))
			}
			if err != nil {
				return err
			}
		}
		if err := errors.Join(x.Remove(ctxbg, gone), x.Apply(ctxbg, &b, first+n)); err != nil {
			return err
		}
		fmt.Println(first + n)
		if err := x.Maintain(ctxbg); err != nil {
			return err
		}
	}
}

func TestKilledWhileIndexing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fts.db")
	for round := range 6 {
		told := killChild(t, path, 10+7*round)
		if t.Failed() {
			return
		}
		tcheck(t, Check(path))
		x := open(t, path)
		if x.Mark() < told {
			t.Errorf("mark %d, but %d was told", x.Mark(), told)
		}
		verifyKilled(t, x)
		tcheck(t, x.Close())
	}
}

// killChild runs a child until it has told of n commits, and returns the last mark that
// it told.
func killChild(t *testing.T, path string, n int) (mark int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	tcheck(t, err)
	tcheck(t, cmd.Start())
	sc := bufio.NewScanner(out)
	for range n {
		if !sc.Scan() {
			t.Errorf("child has ended: %v", sc.Err())
			break
		}
		if _, err := fmt.Sscan(sc.Text(), &mark); err != nil {
			t.Errorf("child wrote %q", sc.Text())
		}
	}
	tcheck(t, cmd.Process.Kill())
	_ = cmd.Wait() // It was killed.
	return mark
}

// verifyKilled checks that the index has each message once, and finds it.
func verifyKilled(t *testing.T, x *Index) {
	t.Helper()
	m := newModel()
	m.next = x.Mark()
	ids, err := x.IDs(0, int(x.Mark()))
	tcheck(t, err)
	for _, id := range ids {
		if killSkipped(id) {
			m.skipped[id] = true
		} else {
			m.texts[id] = killText(id)
		}
	}
	for id := int64(1); id < x.Mark(); id++ {
		_, known := m.texts[id]
		if !known && !m.skipped[id] && !killRemoved(id) {
			t.Errorf("message %d is missing", id)
		}
	}
	for id := int64(1); id < x.Mark(); id += 7 {
		m.verify(t, x, Pattern{Text: fmt.Appendf(nil, "number%d.", id)})
	}
}
