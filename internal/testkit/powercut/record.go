//go:build linux

package powercut

import (
	"encoding/gob"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Recorder is a mounted recording file system.
type Recorder struct {
	Dir string // Where it is mounted.

	t     testing.TB
	root  uint64
	mu    sync.Mutex // Guards what follows.
	in    *gob.Encoder
	out   *gob.Decoder
	marks []any
}

// Mount mounts an empty recording file system until the test ends. The test is
// skipped where that is not possible, or fails in CI.
func Mount(t testing.TB) *Recorder {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		// A part of testkit does not import it for its Missing.
		const text = "the power cut test needs root and /dev/fuse"
		if os.Getenv("CI") != "" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	dir := t.TempDir()
	backing := filepath.Join(dir, "backing")
	r := &Recorder{Dir: filepath.Join(dir, "mnt"), t: t}
	for _, d := range []string{backing, r.Dir} {
		if err := os.Mkdir(d, 0755); err != nil {
			t.Fatal(err)
		}
	}
	prog := filepath.Join(dir, "mount")
	build := exec.Command("go", "build", "-o", prog, "mox/internal/testkit/powercut/mount")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build file system: %v\n%s", err, out)
	}
	r.start(prog, backing)
	return r
}

// start runs the process that has the file system.
func (r *Recorder) start(prog, backing string) {
	cmd := exec.Command(prog, backing, r.Dir)
	cmd.Stderr = r.t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := stdin.Close(); err != nil {
			r.t.Errorf("close: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			r.t.Errorf("recording file system: %v", err)
		}
	})
	r.in, r.out = gob.NewEncoder(stdin), gob.NewDecoder(stdout)
	var a response
	if err := r.out.Decode(&a); err != nil {
		r.t.Fatalf("recording file system did not start: %v", err)
	}
	r.root = a.Root
}

func (r *Recorder) ask(q request) (a response) {
	if err := r.in.Encode(q); err != nil {
		panic(fmt.Sprintf("recording file system: %v", err)) // May be called by any goroutine of a test.
	}
	if err := r.out.Decode(&a); err != nil {
		panic(fmt.Sprintf("recording file system: %v", err))
	}
	return a
}

// Mark notes in the log that something has been acknowledged.
func (r *Recorder) Mark(m any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = append(r.marks, m)
	r.ask(request{Do: "mark"})
}

// FailAt makes the k-th operation from now on, counted from 1, of some kinds fail.
// No kinds are all that change or sync.
func (r *Recorder) FailAt(k int, err syscall.Errno, ops ...Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ask(request{Do: "fail", After: k - 1, Errno: int(err), Ops: ops})
}

// Clear removes the faults that have not happened.
func (r *Recorder) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ask(request{Do: "clear"})
}

// Replay returns a replay of the log so far, at its beginning.
func (r *Recorder) Replay() *Replay {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.ask(request{Do: "log"}).Log
	p := &Replay{log: log, root: r.root, names: r.marks, files: map[uint64]*replayFile{}, dirs: map[uint64]*replayDir{}}
	p.dirs[r.root] = newDir()
	return p
}
