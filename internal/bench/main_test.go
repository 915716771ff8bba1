package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"mox/internal/testkit"
)

// A form says how much is measured.
type form struct {
	sizes  []int         // Messages in the mailboxes that are read.
	big    int           // Messages in the large mailbox that is delivered to.
	rounds int           // Of what is measured next to the disk.
	slice  time.Duration // Of each measurement in a round.
	cold   int           // Starts of the server for each command.
	drop   bool          // Also with an empty page cache.
	idle   int           // Connections that wait.
	count  int           // Messages for which syncs are counted.
	world  int           // Messages of each delivery of smtp-source.
	worlds int           // How often it delivers.
	long   int           // Messages in a long queue.
	queue  int           // Messages that are queued and sent in a round.
	queues int           // Rounds of that, for one domain and for many.

	imported int // Messages in an mbox file.
}

var (
	fullForm = form{
		sizes:  []int{20_000, 100_000},
		big:    100_000,
		rounds: 10,
		slice:  time.Second,
		cold:   3,
		drop:   true,
		idle:   500,
		count:  500,
		world:  10_000,
		worlds: 3,
		long:   100_000,
		queue:  2_500,
		queues: 3,

		imported: 200_000,
	}
	shortForm = form{
		sizes:  []int{2_000},
		big:    2_000,
		rounds: 2,
		slice:  250 * time.Millisecond,
		cold:   1,
		idle:   50,
		count:  100,
		world:  500,
		worlds: 1,
		long:   2_000,
		queue:  500,
		queues: 1,

		imported: 5_000,
	}
)

// theForm returns what was asked for with flags or environment.
func theForm() form {
	if testing.Short() || os.Getenv("MOX_BENCH") == "short" {
		return shortForm
	}
	return fullForm
}

// many is how many connections send at the same time.
const many = 32

// root returns the directory that everything is written to.
var root = sync.OnceValues(func() (string, error) {
	dir := os.Getenv("MOX_BENCH_DIR")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding a directory, MOX_BENCH_DIR can name one: %w", err)
		}
		dir = filepath.Join(cache, "mox-bench")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
})

// theRun is what must not stay when the benchmarks end.
var theRun run

type run struct {
	mu        sync.Mutex // Guards what follows.
	dir       string     // Of all that is written, empty if there is none.
	discarded []string   // Other directories.
	binary    string
	processes map[*os.Process]bool
}

// directory returns the directory of this run. The caller has the lock.
func (r *run) directory(t testing.TB) string {
	t.Helper()
	if r.dir == "" {
		dir, err := root()
		check(t, err)
		r.dir, err = os.MkdirTemp(dir, "run-")
		check(t, err)
	}
	return r.dir
}

// scratch returns a new directory in that of the run, which is removed when all has
// ended.
func scratch(t testing.TB, name string) string {
	t.Helper()
	theRun.mu.Lock()
	defer theRun.mu.Unlock()
	dir, err := os.MkdirTemp(theRun.directory(t), name+"-")
	check(t, err)
	return dir
}

// discard has a directory removed when all has ended. A file system may be slower at
// making files for minutes after many were removed: ext4 without a journal looks for
// inodes that were not used just before.
func discard(dir string) {
	theRun.mu.Lock()
	defer theRun.mu.Unlock()
	theRun.discarded = append(theRun.discarded, dir)
}

// binary returns the path of mox, as built from the source around us.
func binary(t testing.TB) string {
	t.Helper()
	theRun.mu.Lock()
	defer theRun.mu.Unlock()
	if theRun.binary != "" {
		return theRun.binary
	}
	path := filepath.Join(theRun.directory(t), "mox")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	cmd.Dir = testkit.Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building mox: %v\n%s", err, out)
	}
	theRun.binary = path
	return path
}

// started remembers a process, to be killed when we are interrupted.
func (r *run) started(p *os.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.processes == nil {
		r.processes = map[*os.Process]bool{}
	}
	r.processes[p] = true
}

func (r *run) ended(p *os.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.processes, p)
}

// cleanup ends what runs, and removes what was written.
func (r *run) cleanup() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.processes {
		_ = p.Kill() // It may have ended.
	}
	for _, dir := range append(r.discarded, r.dir) {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, "removing what was written:", err)
		}
	}
}

// check ends the benchmark if there is an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		theRun.cleanup()
		os.Exit(1)
	}()
	shorten()
	code := m.Run()
	theReport.write(os.Stdout)
	theRun.cleanup()
	os.Exit(code)
}

// shorten has each command measured for less time in the short form, unless a flag says
// for how long.
func shorten() {
	flag.Parse()
	const name = "test.benchtime"
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	if set || theForm().rounds == fullForm.rounds {
		return
	}
	if err := flag.Set(name, shortForm.slice.String()); err != nil {
		fmt.Fprintln(os.Stderr, "setting time of benchmarks:", err)
	}
}
