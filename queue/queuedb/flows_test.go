package queuedb

import (
	"slices"
	"testing"
	"time"

	"github.com/mjl-/bstore"
)

func TestQueueOfTheFirstFormatGetsFlows(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	enqueue(t, d, "x", "a@one.example", "b@two.example")
	l := enqueue(t, d, "y", "c@one.example")
	_, err := d.Fail(ctxbg, Filter{IDs: []int64{l[0].ID}}, "operator")
	tcheck(t, err)
	tcheck(t, d.bdb.Write(ctxbg, func(tx *bstore.Tx) error {
		if _, err := bstore.QueryTx[flow](tx).Delete(); err != nil {
			return err
		}
		if _, err := bstore.QueryTx[Message](tx).UpdateField("Flow", ""); err != nil {
			return err
		}
		_, err := bstore.QueryTx[state](tx).UpdateField("Version", int32(1))
		return err
	}))
	dir := d.opts.Dir
	tcheck(t, d.Close())
	d = testOpen(t, Options{Dir: dir})
	verify(t, d)
	if jobs := claim(t, d); len(jobs) != 3 {
		t.Fatalf("jobs %+v", jobs)
	}
}

func TestWatchTellsWhenFlowsAreDueAfterEachCommit(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	enqueue(t, d, "x", "a@one.example")
	type told struct {
		heads []Head
		all   bool
	}
	ch := make(chan told, 10)
	tcheck(t, d.Watch(ctxbg, func(heads []Head, all bool) { ch <- told{heads, all} }))
	first := <-ch
	if !first.all || len(first.heads) != 1 || first.heads[0].Lane != "one.example" || first.heads[0].Account != "mjl" || first.heads[0].Bulk || first.heads[0].Next.IsZero() {
		t.Fatalf("at first: %+v", first)
	}
	l := enqueue(t, d, "x", "b@two.example")
	if c := <-ch; c.all || len(c.heads) != 1 || c.heads[0].Lane != "two.example" || !c.heads[0].Next.Equal(l[0].NextAttempt) {
		t.Fatalf("after enqueue: %+v", c)
	}
	finishAll(t, d, Delivered, l)
	if c := <-ch; len(c.heads) != 1 || c.heads[0].Lane != "two.example" || !c.heads[0].Next.IsZero() {
		t.Fatalf("after the last: %+v", c)
	}
	_, err := d.SetHold(ctxbg, Filter{}, true)
	tcheck(t, err)
	if c := <-ch; len(c.heads) != 1 || !c.heads[0].Next.IsZero() {
		t.Fatalf("on hold: %+v", c)
	}
}

func TestListInPages(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	at := now().Add(time.Hour)
	var ids []int64
	for i := range 25 {
		s := submission(t, "x", "a@one.example")
		s.NextAttempt = at.Add(time.Duration(i/10) * time.Minute) // Many are due at the same time.
		l, err := d.Enqueue(ctxbg, s)
		tcheck(t, err)
		ids = append(ids, l[0].ID)
	}
	for _, p := range []Page{{}, {Desc: true}, {Sort: ByNextAttempt}, {Sort: ByNextAttempt, Desc: true}} {
		for _, f := range []Filter{{}, {Account: "mjl"}, {To: "@one.example"}, {IDs: ids}} {
			want := slices.Clone(ids)
			if p.Desc {
				slices.Reverse(want)
			}
			var got []int64
			for p, more := p, true; more; {
				p.Max = 4
				l, err := d.List(ctxbg, f, p)
				tcheck(t, err)
				for _, m := range l {
					got = append(got, m.ID)
					p.AfterID, p.AfterNext = m.ID, m.NextAttempt
				}
				more = len(l) == 4
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v, %+v: got %v", p, f, got)
			}
		}
	}
}
