package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/bstore"

	"mox/imap"
)

func TestRelearnWritesALessonForEachJudgement(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{Train: true})
	var want []string
	var first Message
	for i := range 2*readBatch + 3 {
		m := j.deliver("Junk", &Origin{})
		if i == 0 {
			first = m
		}
		want = append(want, fmt.Sprintf("junk %d", j.nr(m)))
	}
	gone := j.deliver("Junk", &Origin{})
	j.transfer(gone, "Archive", false)
	if l, err := j.Lessons(ctx, 3); err != nil || len(l) != 3 {
		t.Fatalf("%d lessons, %v", len(l), err)
	}
	last := j.LastLesson()
	for range 2 {
		if n, err := j.Relearn(ctx); err != nil || n != len(want) {
			t.Errorf("relearn: %d, %v", n, err)
		}
	}
	if l, err := j.Lessons(ctx, 1); err != nil || l[0].Row <= last {
		t.Errorf("rows are used again: %v, %v", l, err)
	}
	got := strings.Split(j.lessons(), ", ")
	slices.Sort(got)
	slices.Sort(want) // Content ids are not given out in order.
	if !slices.Equal(got, want) {
		t.Errorf("got %d lessons, expected %d", len(got), len(want))
	}
	j.flag(first, FlagsSet, 0)
	if got := j.lessons(); got != fmt.Sprintf("undo junk %d", j.nr(first)) {
		t.Errorf("got lessons %.100q", got)
	}
}

// What is judged while the journal is written anew must count exactly once, and be
// taken back exactly if it was counted.
func TestRelearnWhileMessagesAreJudged(t *testing.T) {
	t.Parallel()
	const n = 3 * readBatch
	j := newJudgeTest(t, Policy{Train: true})
	var msgs []Message
	for range n {
		msgs = append(msgs, j.deliver("Junk", &Origin{}))
	}
	done := make(chan error, 1)
	go func() {
		_, err := j.Relearn(ctx)
		done <- err
	}()
	for i := n - 1; i >= 0; i -= 3 {
		j.flag(msgs[i], FlagsSet, []Flags{0, imap.FlagNotJunk}[i%2])
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// What a filter that has learned nothing before knows then.
	counts := map[string]int{}
	for _, l := range strings.Split(j.lessons(), ", ") {
		l, undo := strings.CutPrefix(l, "undo ")
		if counts[l]++; undo {
			counts[l] -= 2
		}
		if counts[l] < 0 || counts[l] > 1 {
			// Unless it began before Relearn did, whose rows are gone.
			t.Errorf("%s was learned %d times", l, counts[l])
		}
	}
	for i, m := range msgs {
		f := j.flags(m)
		if got := counts[fmt.Sprintf("junk %d", j.nr(m))]; (got == 1) != (f == imap.FlagJunk) {
			t.Errorf("message %d: junk %d times, flags %v", i, got, f)
		}
		if got := counts[fmt.Sprintf("ham %d", j.nr(m))]; (got == 1) != (f == imap.FlagNotJunk) {
			t.Errorf("message %d: ham %d times, flags %v", i, got, f)
		}
	}
}

// toyFilter takes lessons as a junk filter does, and finds those that cannot be.
type toyFilter struct {
	*testing.T
	a    *Account
	ham  map[int64]bool // By content.
	junk map[int64]bool
}

// take learns some rows.
func (f *toyFilter) take(n int) {
	f.Helper()
	l, err := f.a.Lessons(ctx, n)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range l {
		known := f.ham
		if r.Junk {
			known = f.junk
		}
		if known[r.ContentID] != r.Undo {
			f.Fatalf("lesson %+v, but of that the filter knows %v", r, known[r.ContentID])
		}
		known[r.ContentID] = !r.Undo
		if f.ham[r.ContentID] && f.junk[r.ContentID] {
			f.Fatalf("content %d is both", r.ContentID)
		}
	}
	if len(l) > 0 {
		if err := f.a.ForgetLessons(ctx, l[len(l)-1].Row); err != nil {
			f.Fatal(err)
		}
	}
}

// Whatever is done to messages, the filter ends up knowing of each content that is judged
// what it is, exactly once, and nothing of others.
func TestLessonsOfRandomOperations(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newModelRun(t, 200+seed)
			f := &toyFilter{t, r.a, map[int64]bool{}, map[int64]bool{}}
			for range 200 {
				want, what, err := r.step()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				r.m = want
				switch r.rnd.IntN(30) {
				case 0:
					clear(f.ham)
					clear(f.junk)
					if _, err := r.a.Relearn(ctx); err != nil {
						t.Fatal(err)
					}
				case 1, 2, 3, 4, 5:
					f.take(1 + r.rnd.IntN(20))
				}
			}
			f.take(100_000)
			n := 0
			err := r.a.read(ctx, func(tx *bstore.Tx) error {
				return bstore.QueryTx[judged](tx).ForEach(func(j judged) error {
					n++
					if f.junk[j.ContentID] != j.Junk || f.ham[j.ContentID] == j.Junk {
						t.Errorf("content %d: junk %v, but the filter knows %v and %v", j.ContentID, j.Junk, f.ham[j.ContentID], f.junk[j.ContentID])
					}
					delete(f.ham, j.ContentID)
					delete(f.junk, j.ContentID)
					return nil
				})
			})
			if err != nil || n == 0 {
				t.Fatalf("%d judgements, %v", n, err)
			}
			for id, known := range f.ham {
				if known || f.junk[id] {
					t.Errorf("content %d is not judged, but the filter knows it", id)
				}
			}
		})
	}
}

func TestLessonsAreForgottenInBatches(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{Train: true})
	j.update(func(tx *Tx) error {
		for i := range 2*pruneBatch + 1 {
			if err := tx.addLesson(lesson{ContentID: int64(i + 1)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := j.ForgetLessons(ctx, 2*pruneBatch); err != nil {
		t.Fatal(err)
	}
	l, err := j.Lessons(ctx, 10)
	if err != nil || len(l) != 1 || l[0].Row != 2*pruneBatch+1 {
		t.Errorf("left: %v, %v", l, err)
	}
}

// BenchmarkJudge is how long it takes to flag 1,000 messages as junk, and to take that
// back, which come from 100 senders.
func BenchmarkJudge(b *testing.B) {
	a := testAccount(b, func(o *Options) { o.Policy = func(string) Policy { return Policy{Train: true} } })
	const n = 1000
	uids := make([]uint32, n)
	var id int64
	for i := range n {
		m := newMessage(b, a, testMessage(i))
		m.Origin = testOrigin(i % 100)
		l, err := a.Append(ctx, m)
		if err != nil {
			b.Fatal(err)
		}
		uids[i], id = l[0].UID, l[0].MailboxID
	}
	op := FlagsAdd
	start := time.Now()
	for b.Loop() {
		err := a.Update(ctx, func(tx *Tx) error {
			_, err := tx.SetFlags(id, uids, FlagChange{Op: op, FlagSet: imap.FlagSet{Flags: imap.FlagJunk}}, -1)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		op = FlagsAdd + FlagsRemove - op
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N)/n, "µs/message")
}
