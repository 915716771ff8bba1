package queuedb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/internal/safefile"
	"mox/internal/testkit"
)

// model is what the queue has acknowledged.
type model struct {
	content  map[int64]string // By message id: queued for certain.
	attempts map[int64]int32
	gone     map[int64]bool // Acknowledged as removed.

	rules      map[int64]bool  // Hold rules: there for certain, or false for gone for certain.
	suppressed map[string]bool // Recipients on the suppression list, likewise.
}

// crashTest does random operations until one of them meets a fault.
type crashTest struct {
	t     *testing.T
	rng   *rand.Rand
	dir   string
	fs    *faultFS
	d     *DB
	m     model
	n     int
	doubt []int64 // Messages of the operation that has failed.
	rule  int64   // Hold rule of the operation that has failed, or zero.
	addr  string  // Recipient of the operation that has failed, or empty.
	new   map[string]bool
}

func (c *crashTest) open() error {
	var err error
	c.d, err = Open(ctxbg, Options{Dir: c.dir, FS: c.fs})
	if err == nil {
		c.d.commit = c.fs.commit
	}
	return err
}

func (c *crashTest) anyMessage() (int64, bool) {
	l, err := c.d.List(ctxbg, Filter{}, Page{})
	tcheck(c.t, err)
	if len(l) == 0 {
		return 0, false
	}
	return l[c.rng.IntN(len(l))].ID, true
}

func (c *crashTest) enqueue() error {
	c.n++
	text := fmt.Sprintf("message %d\r\n%s", c.n, strings.Repeat("x", c.rng.IntN(300)))
	s := safefile.NewSpool(safefile.SpoolOptions{Dir: c.t.TempDir(), FS: c.fs, Memory: 100})
	defer s.Close()
	if _, err := s.Write([]byte(text)); err != nil {
		return err
	}
	sub := Submission{Account: fmt.Sprintf("acc%d", c.rng.IntN(2)), Spool: s, Hold: c.rng.IntN(5) == 0}
	for range 1 + c.rng.IntN(3) {
		to := path(c.t, fmt.Sprintf("a%d@d%d.example", c.n, c.rng.IntN(3)))
		sub.Recipients = append(sub.Recipients, Recipient{To: to})
	}
	c.new[text] = true
	l, err := c.d.Enqueue(ctxbg, sub)
	if err != nil {
		return err
	}
	for _, m := range l {
		c.m.content[m.ID] = text
	}
	return nil
}

func (c *crashTest) attempt() error {
	now := time.Now()
	jobs, _, err := claimDue(c.d, claimOptions{now: now, jobs: 2, next: later(time.Duration(c.rng.IntN(2)) * time.Hour)})
	if err != nil {
		return err
	}
	var out []Outcome
	for _, job := range jobs {
		for _, m := range job.Messages {
			c.m.attempts[m.ID] = m.Attempts
			fate := Fate(c.rng.IntN(int(Drop) + 1))
			out = append(out, Outcome{ID: m.ID, Fate: fate, Result: &Result{Start: now}, Retain: time.Duration(c.rng.IntN(2)) * time.Hour})
			c.doubt = append(c.doubt, m.ID)
		}
	}
	if len(out) == 0 {
		return nil
	}
	// Half of them with the next claim in the same commit.
	if flow := jobs[0].Messages[0].Flow; c.rng.IntN(2) == 0 {
		job, _, err := c.d.FinishAndClaim(ctxbg, out, ClaimOptions{Now: now, Flow: flow, Next: later(time.Hour)})
		if err != nil {
			return err
		}
		for _, m := range job.Messages {
			c.m.attempts[m.ID] = m.Attempts
		}
	} else if err := c.d.Finish(ctxbg, out); err != nil {
		return err
	}
	for _, o := range out {
		if o.Fate == Delivered || o.Fate == Drop {
			c.remove(o.ID)
		}
	}
	c.doubt = nil
	return nil
}

func (c *crashTest) remove(id int64) {
	delete(c.m.content, id)
	c.m.gone[id] = true
}

func (c *crashTest) drop() error {
	id, ok := c.anyMessage()
	if !ok {
		return nil
	}
	c.doubt = []int64{id}
	if _, err := c.d.Drop(ctxbg, Filter{IDs: []int64{id}}, forget); err != nil {
		return err
	}
	c.doubt = nil
	c.remove(id)
	return nil
}

func (c *crashTest) change() error {
	id, ok := c.anyMessage()
	if !ok {
		return nil
	}
	f := Filter{IDs: []int64{id}}
	var err error
	switch c.rng.IntN(3) {
	case 0:
		_, err = c.d.SetHold(ctxbg, f, c.rng.IntN(2) == 0)
	case 1:
		_, err = c.d.Schedule(ctxbg, f, time.Now().Add(-time.Minute))
	case 2:
		_, err = c.d.Fail(ctxbg, f, "operator")
	}
	return err
}

// rules adds and removes a hold rule, and an address of the suppression list.
func (c *crashTest) rules() error {
	for id, there := range c.m.rules {
		if there && c.rng.IntN(2) == 0 {
			c.rule = id
			if err := c.d.RemoveHoldRule(ctxbg, id); err != nil {
				return err
			}
			c.m.rules[id], c.rule = false, 0
			break
		}
	}
	r, _, err := c.d.AddHoldRule(ctxbg, HoldRule{RecipientDomain: fmt.Sprintf("d%d.example", c.rng.IntN(6)), Automatic: c.rng.IntN(2) == 0, Account: "acc0"})
	if r.ID != 0 {
		c.m.rules[r.ID] = true
	}
	if err != nil {
		return err
	}
	c.addr = fmt.Sprintf("a%d@d.example", c.rng.IntN(10))
	add := !c.m.suppressed[c.addr]
	if add {
		_, err = c.d.AddSuppression(ctxbg, "acc0", path(c.t, c.addr), "")
	} else {
		err = c.d.RemoveSuppression(ctxbg, "acc0", path(c.t, c.addr))
	}
	if err != nil {
		return err
	}
	c.m.suppressed[c.addr], c.addr = add, ""
	return nil
}

// checkRules is check for hold rules and suppression.
func (c *crashTest) checkRules() {
	c.t.Helper()
	there := map[int64]bool{}
	l, err := c.d.HoldRules(ctxbg)
	tcheck(c.t, err)
	for _, r := range l {
		there[r.ID] = true
	}
	if c.rule != 0 {
		c.m.rules[c.rule] = there[c.rule]
	}
	for id, want := range c.m.rules {
		if there[id] != want {
			c.t.Fatalf("hold rule %d is there: %v, want %v", id, there[id], want)
		}
	}
	for id := range there {
		c.m.rules[id] = true // Committed but not acknowledged.
	}
	for i := range 10 {
		addr := fmt.Sprintf("a%d@d.example", i)
		_, err := c.d.Suppressed(ctxbg, "acc0", path(c.t, addr))
		if addr != c.addr && (err == nil) != c.m.suppressed[addr] {
			c.t.Fatalf("%s is suppressed: %v, want %v", addr, err, c.m.suppressed[addr])
		}
		c.m.suppressed[addr] = err == nil
	}
	c.rule, c.addr = 0, ""
}

func (c *crashTest) step() error {
	switch c.rng.IntN(11) {
	case 0, 1, 2, 3:
		return c.enqueue()
	case 4, 5, 6:
		return c.attempt()
	case 7:
		return c.drop()
	case 8:
		return c.change()
	case 9:
		return c.rules()
	}
	c.d.sweeper.sweep()
	if c.fs.isDown() {
		return errInjected
	}
	return nil
}

// check compares the queue with the model after a crash, and makes the model
// agree about what was in doubt.
func (c *crashTest) check() {
	c.t.Helper()
	verify(c.t, c.d)
	c.checkRules()
	for _, id := range c.doubt {
		if _, _, err := c.d.Get(ctxbg, id); errors.Is(err, ErrNotFound) {
			c.remove(id)
		}
	}
	c.doubt = nil
	for id, want := range c.m.content {
		m, base, err := c.d.Get(ctxbg, id)
		if err != nil {
			c.t.Fatalf("acknowledged message is lost: %v", err)
		}
		if got := content(c.t, c.d, base); got != want {
			c.t.Fatalf("message %d has content %q, want %q", id, got, want)
		}
		if m.Attempts < c.m.attempts[id] {
			c.t.Fatalf("message %d has forgotten an attempt", id)
		}
	}
	l, err := c.d.List(ctxbg, Filter{}, Page{})
	tcheck(c.t, err)
	for _, m := range l {
		if c.m.gone[m.ID] {
			c.t.Fatalf("message %d is back", m.ID)
		}
		if _, ok := c.m.content[m.ID]; ok {
			continue
		}
		// Committed but not acknowledged, all of it.
		base := Base{}
		_, base, err = c.d.Get(ctxbg, m.ID)
		tcheck(c.t, err)
		text := content(c.t, c.d, base)
		if !c.new[text] {
			c.t.Fatalf("message %d is unknown: %q", m.ID, text)
		}
		c.m.content[m.ID] = text
	}
}

// crash ends the process, or the machine if cut is set.
func (c *crashTest) crash(cut bool) {
	if c.d != nil {
		c.fs.failAt(1, true)
		c.fs.step()
		tcheck(c.t, c.d.Close())
		c.d = nil
	}
	if cut {
		c.fs.powerCut(c.t, c.rng)
	}
	c.fs.failAt(0, false)
}

func rounds(t testing.TB, def int) int {
	if s := os.Getenv("MOX_CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		tcheck(t, err)
		return n
	}
	if testing.Short() { // With the race detector, which is about other things.
		return def / 4
	}
	return def
}

func TestNothingAcknowledgedIsLostInACrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			c := &crashTest{
				t: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), fs: newFaultFS(t), new: map[string]bool{},
				m: model{map[int64]string{}, map[int64]int32{}, map[int64]bool{}, map[int64]bool{}, map[string]bool{}},
			}
			tcheck(t, c.open())
			crashes := 0
			for range rounds(t, 40) {
				c.fs.failAt(1+c.rng.IntN(60), true)
				for range 100 {
					if err := c.step(); err != nil {
						if !c.fs.isDown() {
							t.Fatalf("error without fault: %v", err)
						}
						break
					}
				}
				crashes++
				c.crash(c.rng.IntN(2) == 0)
				// Recovery can be interrupted as well.
				for c.rng.IntN(3) == 0 {
					c.fs.failAt(1+c.rng.IntN(4), true)
					if err := c.open(); err == nil {
						c.crash(c.rng.IntN(2) == 0)
						continue
					}
					c.crash(c.rng.IntN(2) == 0)
				}
				tcheck(t, c.open())
				c.check()
			}
			tcheck(t, c.d.Close())
		})
	}
}

// Faults that pass, at each operation in turn: a command that returns an error has
// changed nothing, or has made the queue read-only.
func TestAFaultAtAnyOperationLosesNothing(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		for k := 1; ; k++ {
			fsys := newFaultFS(t)
			fsys.err = fault
			dir := t.TempDir()
			d, err := Open(ctxbg, Options{Dir: dir, FS: fsys})
			tcheck(t, err)
			d.commit = fsys.commit
			fsys.failAt(k, false)
			errs := scenario(t, d, fsys)
			hit := fsys.countdown == 0
			fsys.failAt(0, false)
			readOnly := d.ReadOnly()
			if len(errs) > 1 && readOnly == nil {
				t.Fatalf("fault %d: %d commands failed: %v", k, len(errs), errs)
			}
			if readOnly != nil {
				if !errors.Is(readOnly, ErrReadOnly) {
					t.Fatalf("fault %d: %v", k, readOnly)
				}
				if fault == syscall.ENOSPC && !errors.Is(readOnly, ErrNoSpace) {
					t.Fatalf("fault %d: full disk is not told: %v", k, readOnly)
				}
				tcheck(t, d.Reopen(ctxbg))
			}
			verify(t, d)
			enqueue(t, d, "after", "a@one.example")
			tcheck(t, d.Close())
			d, err = Open(ctxbg, Options{Dir: dir})
			tcheck(t, err)
			verify(t, d)
			checkLost(t, d, k)
			tcheck(t, d.Close())
			if !hit {
				if k < 20 {
					t.Fatalf("only %d operations", k)
				}
				break
			}
		}
	}
}

// scenario queues, claims, finishes and sweeps, and returns the errors.
func scenario(t *testing.T, d *DB, fsys *faultFS) []error {
	t.Helper()
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for i, memory := range []int{1000, 10} {
		s := safefile.NewSpool(safefile.SpoolOptions{Dir: t.TempDir(), Memory: memory, FS: fsys})
		_, err := s.Write([]byte(strings.Repeat("x", 100)))
		if err == nil {
			_, err = d.Enqueue(ctxbg, Submission{Account: "a", Spool: s, Recipients: []Recipient{{To: path(t, fmt.Sprintf("a@d%d.example", i))}}})
		}
		add(err)
		s.Close() // May be what fails: the file is then left in the temporary directory.
	}
	jobs, _, err := claimDue(d, claimOptions{now: time.Now(), jobs: 10, next: later(0)})
	add(err)
	for _, job := range jobs {
		add(d.Finish(ctxbg, []Outcome{{ID: job.Messages[0].ID, Fate: Delivered}}))
	}
	d.sweeper.sweep()
	return errs
}

// checkLost checks that a file went to the directory for lost files at most for
// the submission that met the fault.
func checkLost(t *testing.T, d *DB, k int) {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(d.lostDir(), "*"))
	tcheck(t, err)
	if len(l) > 1 {
		t.Fatalf("fault %d: lost files %v", k, l)
	}
}

func TestReopenWithoutFailureDoesNothing(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	tcheck(t, d.Reopen(ctxbg))
	l := enqueue(t, d, "x", "a@one.example")
	if l[0].ContentID != 1 {
		t.Fatalf("content id %d", l[0].ContentID)
	}
}

func TestReadOnlyQueueCanBeRead(t *testing.T) {
	t.Parallel()
	fsys := newFaultFS(t)
	d := testOpen(t, Options{FS: fsys})
	l := enqueue(t, d, "x", "a@one.example")
	d.commit = fsys.commit
	fsys.failAt(1, false)
	if _, err := d.SetHold(ctxbg, Filter{}, true); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("got %v, want read-only", err)
	}
	if _, err := d.Enqueue(ctxbg, submission(t, "x", "a@one.example")); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("got %v, want read-only", err)
	}
	m, base, err := d.Get(ctxbg, l[0].ID)
	tcheck(t, err)
	if m.Hold || content(t, d, base) != "x" {
		t.Fatal("message changed")
	}
	tcheck(t, d.Reopen(ctxbg))
	if n, err := d.SetHold(ctxbg, Filter{}, true); n != 1 || err != nil {
		t.Fatalf("after reopen: %d, %v", n, err)
	}
	verify(t, d)
}

// A submission whose file was written before the database was reopened must not
// be committed after it: recovery has moved its file.
func TestReopenMeanwhileFailsASubmission(t *testing.T) {
	t.Parallel()
	fsys := newFaultFS(t)
	d := testOpen(t, Options{FS: fsys})
	id, _, err := d.create(ctxbg, testkit.Spool(t, t.TempDir(), "x"))
	tcheck(t, err)
	d.committer.fail(errInjected)
	tcheck(t, d.Reopen(ctxbg))
	if d.ids.current(id) {
		t.Fatal("id is still current")
	}
	if l := files(t, d); len(l) != 0 {
		t.Fatalf("files %v", l)
	}
	d.abandon(id.id)
	verify(t, d)
}

func TestAFileInTheWayIsNotOverwritten(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	_, err := d.makeDir(1)
	tcheck(t, err)
	tcheck(t, os.WriteFile(d.pathOf(1), []byte("precious"), 0600))
	l := enqueue(t, d, "x", "a@one.example")
	if l[0].ContentID != 2 {
		t.Fatalf("content id %d", l[0].ContentID)
	}
	dir := d.opts.Dir
	tcheck(t, d.Close())
	d = testOpen(t, Options{Dir: dir})
	b, err := os.ReadFile(filepath.Join(d.lostDir(), "1"))
	tcheck(t, err)
	if string(b) != "precious" {
		t.Fatalf("lost file has %q", b)
	}
	verify(t, d)
}
