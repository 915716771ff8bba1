package queuedb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
	"mox/smtp"
)

func TestFiltersSelectMessages(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	a := enqueue(t, d, "x", "a@one.example", "b@two.example")
	s := submission(t, "x", "c@one.example")
	s.Account = "other"
	s.Hold = true
	s.Recipients[0].FromID = "fid"
	s.NextAttempt = time.Now().Add(time.Hour)
	b, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	yes, no := true, false
	tests := []struct {
		name string
		f    Filter
		want []int64
	}{
		{"all", Filter{}, []int64{a[0].ID, a[1].ID, b[0].ID}},
		{"ids", Filter{IDs: []int64{a[1].ID, 999}}, []int64{a[1].ID}},
		{"no ids", Filter{IDs: []int64{}}, nil},
		{"account", Filter{Account: "other"}, []int64{b[0].ID}},
		{"domain", Filter{RecipientDomain: "one.example"}, []int64{a[0].ID, b[0].ID}},
		{"fromid", Filter{FromID: "fid"}, []int64{b[0].ID}},
		{"held", Filter{Hold: &yes}, []int64{b[0].ID}},
		{"not held", Filter{Hold: &no}, []int64{a[0].ID, a[1].ID}},
		{"failed", Filter{Failed: &yes}, nil},
		{"due", Filter{Due: time.Now()}, []int64{a[0].ID, a[1].ID}},
		{"account and domain", Filter{Account: "mjl", RecipientDomain: "one.example"}, []int64{a[0].ID}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l, err := d.List(ctxbg, tc.f, Page{})
			tcheck(t, err)
			var ids []int64
			for _, m := range l {
				ids = append(ids, m.ID)
			}
			if fmt.Sprint(ids) != fmt.Sprint(tc.want) {
				t.Errorf("got %v, want %v", ids, tc.want)
			}
		})
	}
	l, err := d.List(ctxbg, Filter{}, Page{AfterID: a[0].ID, Max: 1})
	tcheck(t, err)
	if len(l) != 1 || l[0].ID != a[1].ID {
		t.Errorf("second page %v", l)
	}
	l, err = d.ListDue(ctxbg, Filter{}, 2)
	tcheck(t, err)
	if len(l) != 2 || l[0].ID == b[0].ID || l[1].ID == b[0].ID {
		t.Errorf("by next attempt: %v", l)
	}
	if _, err := d.SetHold(ctxbg, Filter{IDs: make([]int64, MaxList+1)}, true); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long list of ids: %v", err)
	}
	n, size, err := d.Usage(ctxbg, "mjl")
	if n != 2 || size != 1 || err != nil {
		t.Errorf("usage %d, %d, %v", n, size, err)
	}
}

func TestHeldMessagesAreNotClaimed(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	enqueue(t, d, "x", "a@one.example", "b@two.example")
	n, err := d.SetHold(ctxbg, Filter{}, true)
	tcheck(t, err)
	st, err := d.Status(ctxbg)
	tcheck(t, err)
	if n != 2 || st.Held != 2 || st.Lanes != 0 || !st.Next.IsZero() {
		t.Fatalf("%d held, status %+v", n, st)
	}
	if jobs := claim(t, d); len(jobs) != 0 {
		t.Fatalf("claimed %v", jobs)
	}
	if n, err := d.SetHold(ctxbg, Filter{}, true); n != 0 || err != nil {
		t.Fatalf("held again: %d, %v", n, err)
	}
	verify(t, d)
	if n, err := d.SetHold(ctxbg, Filter{Account: "mjl"}, false); n != 2 || err != nil {
		t.Fatalf("released %d, %v", n, err)
	}
	if jobs := claim(t, d); len(jobs) != 2 {
		t.Fatalf("claimed %v", jobs)
	}
	verify(t, d)
}

func TestChangesOfManyMessagesAreDoneInParts(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	var rcpts []string
	for i := range 700 {
		rcpts = append(rcpts, fmt.Sprintf("a%d@d%d.example", i, i%3))
	}
	enqueue(t, d, "x", rcpts...)
	at := time.Now().Add(-time.Minute)
	if n, err := d.Schedule(ctxbg, Filter{}, at); n != 700 || err != nil {
		t.Fatalf("scheduled %d, %v", n, err)
	}
	if n, err := d.Fail(ctxbg, Filter{RecipientDomain: "d0.example"}, "no"); n != 234 || err != nil {
		t.Fatalf("failed %d, %v", n, err)
	}
	verify(t, d)
	if n, err := d.Drop(ctxbg, Filter{}, forget); n != 700 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	d.sweeper.sweep()
	verify(t, d)
	if l := files(t, d); len(l) != 0 {
		t.Fatalf("files %v", l)
	}
}

func TestRetiredMessagesAreKeptForAWhile(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	s := submission(t, "x", "a@one.example", "b@two.example", "c@three.example")
	s.Base.Subject = "hello"
	s.Base.Prefix = []byte("A: b\r\n")
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	tcheck(t, d.Finish(ctxbg, []Outcome{
		{ID: l[0].ID, Fate: Delivered, Retain: time.Hour, Result: &Result{Success: true, Code: 250}},
		{ID: l[1].ID, Fate: Drop, Retain: 2 * time.Hour, Result: &Result{Code: 550}},
		{ID: l[2].ID, Fate: Delivered},
	}))
	verify(t, d)
	r, err := d.ListRetired(ctxbg, RetiredFilter{}, RetiredPage{})
	tcheck(t, err)
	if len(r) != 2 || r[0].Message.ID != l[1].ID || r[0].Success || !r[1].Success || r[0].Base.Subject != "hello" || r[0].Base.Prefix != nil {
		t.Fatalf("retired %+v", r)
	}
	if res, ok := r[0].Message.LastResult(); !ok || res.Code != 550 {
		t.Fatalf("result %+v", res)
	}
	yes := true
	none, fake := "", "fake"
	for _, tc := range []struct {
		f    RetiredFilter
		p    RetiredPage
		want []int64
	}{
		{RetiredFilter{}, RetiredPage{}, []int64{l[1].ID, l[0].ID}},
		{RetiredFilter{}, RetiredPage{Asc: true, ByActivity: true}, []int64{l[0].ID, l[1].ID}},
		{RetiredFilter{}, RetiredPage{Asc: true, ByActivity: true, Max: 1}, []int64{l[0].ID}},
		{RetiredFilter{}, RetiredPage{Asc: true, AfterID: l[0].ID}, []int64{l[1].ID}},
		{RetiredFilter{}, RetiredPage{AfterID: l[1].ID}, []int64{l[0].ID}},
		{RetiredFilter{}, RetiredPage{ByActivity: true, AfterID: r[0].Message.ID, AfterActivity: r[0].LastActivity}, []int64{l[0].ID}},
		{RetiredFilter{}, RetiredPage{ByActivity: true, Asc: true, AfterID: r[1].Message.ID, AfterActivity: r[1].LastActivity}, []int64{l[1].ID}},
		{RetiredFilter{Success: &yes}, RetiredPage{}, []int64{l[0].ID}},
		{RetiredFilter{RecipientDomain: "one.example"}, RetiredPage{}, []int64{l[0].ID}},
		{RetiredFilter{To: "@ONE.example"}, RetiredPage{}, []int64{l[0].ID}},
		{RetiredFilter{To: "A@one"}, RetiredPage{}, []int64{l[0].ID}},
		{RetiredFilter{From: "@sender.example", Account: "mjl"}, RetiredPage{}, []int64{l[1].ID, l[0].ID}},
		{RetiredFilter{From: "other"}, RetiredPage{}, nil},
		{RetiredFilter{IDs: []int64{l[1].ID, 999}}, RetiredPage{}, []int64{l[1].ID}},
		{RetiredFilter{QueuedAfter: time.Now()}, RetiredPage{}, nil},
		{RetiredFilter{QueuedBefore: time.Now(), ActivityAfter: time.Now().Add(-time.Hour)}, RetiredPage{Max: 1}, []int64{l[1].ID}},
		{RetiredFilter{ActivityBefore: time.Now().Add(-time.Hour)}, RetiredPage{}, nil},
		{RetiredFilter{Transport: &none}, RetiredPage{}, []int64{l[1].ID, l[0].ID}},
		{RetiredFilter{Transport: &fake}, RetiredPage{}, nil},
	} {
		r, err := d.ListRetired(ctxbg, tc.f, tc.p)
		tcheck(t, err)
		var got []int64
		for _, v := range r {
			got = append(got, v.Message.ID)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v, %+v: got %v, want %v", tc.f, tc.p, got, tc.want)
		}
	}
	if r, err := d.GetRetired(ctxbg, l[0].ID); err != nil || r.Message.ID != l[0].ID {
		t.Errorf("get: %+v, %v", r, err)
	}
	if _, err := d.GetRetired(ctxbg, 999); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of none: %v", err)
	}
	if n, err := d.PruneRetired(ctxbg, time.Now().Add(90*time.Minute)); n != 1 || err != nil {
		t.Fatalf("pruned %d, %v", n, err)
	}
	r, err = d.ListRetired(ctxbg, RetiredFilter{}, RetiredPage{})
	tcheck(t, err)
	if len(r) != 1 || r[0].Message.ID != l[1].ID {
		t.Fatalf("left %+v", r)
	}
}

func TestVerifyFindsAndRepairFixes(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, d *DB, fn func(tx *bstore.Tx) error) {
		t.Helper()
		tcheck(t, d.bdb.Write(ctxbg, fn))
	}
	tests := []struct {
		name  string
		harm  func(t *testing.T, d *DB, l []Message)
		want  string
		fixed bool
	}{
		{"total", func(t *testing.T, d *DB, l []Message) {
			write(t, d, func(tx *bstore.Tx) error {
				st := state{ID: 1}
				if err := tx.Get(&st); err != nil {
					return err
				}
				st.Held++
				return tx.Update(&st)
			})
		}, "totals", true},
		{"flow", func(t *testing.T, d *DB, l []Message) {
			write(t, d, func(tx *bstore.Tx) error { return tx.Delete(&flow{Name: "one.example\tn\tmjl"}) })
		}, "flows", true},
		{"time of flow", func(t *testing.T, d *DB, l []Message) {
			write(t, d, func(tx *bstore.Tx) error {
				return tx.Update(&flow{"one.example\tn\tmjl", "one.example", "mjl", false, time.Now().Add(time.Hour)})
			})
		}, "flow", true},
		{"usage", func(t *testing.T, d *DB, l []Message) {
			write(t, d, func(tx *bstore.Tx) error { return tx.Update(&usage{"mjl", 7, 1}) })
		}, "account", true},
		{"orphan", func(t *testing.T, d *DB, l []Message) {
			write(t, d, func(tx *bstore.Tx) error {
				for _, m := range l {
					if err := tx.Delete(&Message{ID: m.ID}); err != nil {
						return err
					}
				}
				return tx.Delete(&Base{ID: l[0].ContentID})
			})
		}, "has no record", true},
		{"missing file", func(t *testing.T, d *DB, l []Message) {
			tcheck(t, os.Remove(d.pathOf(l[0].ContentID)))
		}, "has no file", false},
		{"short file", func(t *testing.T, d *DB, l []Message) {
			tcheck(t, os.Truncate(d.pathOf(l[0].ContentID), 0))
		}, "has 0 octets", false},
		{"message without content", func(t *testing.T, d *DB, l []Message) {
			write(t, d, func(tx *bstore.Tx) error {
				m := l[0]
				m.ContentID = 99
				return tx.Update(&m)
			})
		}, "has no content", false},
		{"strange file", func(t *testing.T, d *DB, l []Message) {
			tcheck(t, os.WriteFile(filepath.Join(d.dirOf(1), "README"), nil, 0600))
		}, "not of the queue", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := testOpen(t, Options{})
			l := enqueue(t, d, "x", "a@one.example", "b@two.example")
			verify(t, d)
			tc.harm(t, d, l)
			problems, err := d.Verify(ctxbg)
			tcheck(t, err)
			found := false
			for _, p := range problems {
				found = found || strings.Contains(p.String(), tc.want)
			}
			if !found {
				t.Fatalf("problems %v, want %q", problems, tc.want)
			}
			left, err := d.Repair(ctxbg)
			tcheck(t, err)
			if (len(left) == 0) != tc.fixed {
				t.Fatalf("left after repair: %v", left)
			}
		})
	}
}

func TestSendersOfLostContentsAreTold(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	l := enqueue(t, d, "x", "a@one.example", "b@two.example")
	good := enqueue(t, d, "x", "c@three.example")
	tcheck(t, os.Remove(d.pathOf(l[0].ContentID)))
	_, err := d.Repair(ctxbg)
	tcheck(t, err)
	for _, m := range l {
		m, _, err := d.Get(ctxbg, m.ID)
		tcheck(t, err)
		if r, ok := m.LastResult(); !m.Failed || !ok || !strings.Contains(r.Error, "lost") {
			t.Errorf("message %+v", m)
		}
	}
	if m, _, err := d.Get(ctxbg, good[0].ID); err != nil || m.Failed {
		t.Errorf("other message %+v, %v", m, err)
	}
	finishAll(t, d, Drop, l)
	verify(t, d)
}

func TestReservedRangeStartsAtTheOldestFileInDoubt(t *testing.T) {
	t.Parallel()
	var p idPool
	p.reset(10, 15)
	for want := int64(10); want < 13; want++ {
		if n, ok := p.take(); !ok || n.id != want {
			t.Fatalf("took %v, %v", n, ok)
		}
	}
	p.release(10)
	if low, short := p.short(); low != 11 || !short {
		t.Fatalf("low %d, short %v; want 11 and true", low, short)
	}
	p.release(11)
	p.release(12)
	if low, _ := p.short(); low != 13 {
		t.Fatalf("low %d, want 13", low)
	}
	p.keep(5) // Of an earlier range: its file could not be removed.
	if low, _ := p.short(); low != 5 {
		t.Fatalf("low %d, want 5", low)
	}
	p.take()
	p.take()
	if _, ok := p.take(); ok {
		t.Fatal("took an id that is not reserved")
	}
	if !p.inFlight(14) || !p.inFlight(15) || p.inFlight(12) {
		t.Fatal("in flight")
	}
}

func TestCompactKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := testOpen(t, Options{Dir: dir})
	var rcpts []string
	for i := range MaxRecipients {
		rcpts = append(rcpts, fmt.Sprintf("a%d@d%d.example", i, i))
	}
	l := enqueue(t, d, "x", rcpts...)
	keep := enqueue(t, d, "kept", "a@one.example")
	finishAll(t, d, Delivered, l)
	tcheck(t, d.Close())
	before, after, err := boltpages.Compact(dbPath(dir))
	tcheck(t, err)
	if after >= before || after == 0 {
		t.Fatalf("%d bytes before, %d after", before, after)
	}
	d = testOpen(t, Options{Dir: dir, CheckPages: true})
	verify(t, d)
	_, base, err := d.Get(ctxbg, keep[0].ID)
	tcheck(t, err)
	if content(t, d, base) != "kept" {
		t.Fatal("content changed")
	}
	if n := enqueue(t, d, "new", "a@one.example"); n[0].ID <= keep[0].ID {
		t.Fatalf("id %d is used again", n[0].ID)
	}
}

func TestDamagedPagesAreFound(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	dir := d.opts.Dir
	enqueue(t, d, "x", "a@one.example")
	tcheck(t, d.Close())
	b, err := os.ReadFile(dbPath(dir))
	tcheck(t, err)
	for i := 2 * os.Getpagesize(); i < len(b); i++ { // After the two meta pages.
		b[i] ^= 0x55
	}
	tcheck(t, os.WriteFile(dbPath(dir), b, 0600))
	if _, err := Open(ctxbg, Options{Dir: dir, CheckPages: true}); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Fatalf("got %v", err)
	}
}

func TestFiltersOfAddressesTimesAndTransport(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	at := now()
	s := submission(t, "x", "Ann.Two@one.example", "b@sub.one.example")
	s.NextAttempt = at.Add(time.Hour)
	s.Transport = "relay"
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	null := submission(t, "x", "c@two.example")
	null.Recipients[0].Sender = smtp.Path{}
	n, err := d.Enqueue(ctxbg, null)
	tcheck(t, err)
	a, b, c := l[0].ID, l[1].ID, n[0].ID
	none, relay := "", "relay"
	for _, tc := range []struct {
		name string
		f    Filter
		want []int64
	}{
		{"text in recipient", Filter{To: "N.two@ONE"}, []int64{a}},
		{"domain of recipient", Filter{To: "@One.example"}, []int64{a}},
		{"text that is in a domain", Filter{To: "one.example"}, []int64{a, b}},
		{"text in sender", Filter{From: "MJL@"}, []int64{a, b}},
		{"domain of sender", Filter{From: "@sender.example"}, []int64{a, b}},
		{"null reverse-path", Filter{From: "<>"}, []int64{c}},
		{"sender domain", Filter{SenderDomain: "sender.example", RecipientDomain: "one.example"}, []int64{a}},
		{"due later", Filter{NextAfter: at.Add(time.Minute)}, []int64{a, b}},
		{"due sooner", Filter{NextBefore: at.Add(time.Minute)}, []int64{c}},
		{"queued before", Filter{QueuedBefore: at}, nil},
		{"queued after", Filter{QueuedAfter: at.Add(-time.Second), QueuedBefore: at.Add(time.Hour)}, []int64{a, b, c}},
		{"transport", Filter{Transport: &relay}, []int64{a, b}},
		{"no transport", Filter{Transport: &none}, []int64{c}},
	} {
		l, err := d.List(ctxbg, tc.f, Page{})
		tcheck(t, err)
		var got []int64
		for _, m := range l {
			got = append(got, m.ID)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
	if n, err := d.Postpone(ctxbg, Filter{To: "@two.example"}, 2*time.Hour); n != 1 || err != nil {
		t.Fatalf("postponed %d, %v", n, err)
	}
	m, _, err := d.Get(ctxbg, c)
	tcheck(t, err)
	if !m.NextAttempt.Equal(n[0].NextAttempt.Add(2 * time.Hour)) {
		t.Errorf("next attempt %v after %v", m.NextAttempt, n[0].NextAttempt)
	}
	if _, err := d.List(ctxbg, Filter{IDs: make([]int64, MaxList+1)}, Page{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many ids: %v", err)
	}
	verify(t, d)
}
