package store

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestScansOfMoreThanFitsLeaveWhatIsCached(t *testing.T) {
	t.Parallel()
	const fits, all = 1000, 4000
	c := newCache(0, fits*contentOverhead+fits/4*pageOverhead)
	a := &Account{}
	ids := make([]int64, all)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	scan := func() (hits int) {
		for start := 0; start < all; start += 100 {
			l := make([]*content, 100)
			hits += 100 - c.fill(a, ids[start:start+100], l)
			var read []*content
			for i, ct := range l {
				if ct == nil {
					read = append(read, &content{ID: ids[start+i]})
				}
			}
			c.addScanned(a, read...)
		}
		return hits
	}
	scan()
	const scans = 100
	hits := 0
	for range scans {
		hits += scan()
	}
	if hits /= scans; hits < fits/2 { // On the average of many: which records come in is by chance.
		t.Errorf("a scan finds %d of the %d records that fit", hits, fits)
	}
	if c.contents.size > c.contents.max || len(c.contentm) < fits*9/10 {
		t.Errorf("%d records of %d octets", len(c.contentm), c.contents.size)
	}

	// Single records come in.
	c.addContents(a, &content{ID: all + 1})
	if c.content(a, all+1) == nil {
		t.Error("a record that was read alone is not cached")
	}
}

func TestAScanThatReplacesAnotherGetsRoom(t *testing.T) {
	t.Parallel()
	const fits = 1000
	c := newCache(0, fits*contentOverhead+fits/4*pageOverhead)
	a := &Account{}
	cts := func(first int64) (l []*content) {
		for i := range int64(fits) {
			l = append(l, &content{ID: first + i})
		}
		return l
	}
	c.addScanned(a, cts(1)...)
	for range 100 {
		c.addScanned(a, cts(fits+1)...)
	}
	there := 0
	for id := int64(fits + 1); id <= 2*fits; id++ {
		if c.content(a, id) != nil {
			there++
		}
	}
	if there < fits/2 {
		t.Errorf("%d of %d records that are read all the time are cached", there, fits)
	}
}

func TestContentsThatAreOpenedOnceAreNotCached(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	l, err := a.Append(ctx, newMessage(t, a, testMessage(1)))
	tcheck(t, err)
	id, c := l[0].ContentID, a.store.cache
	c.dropContent(a, id)
	for _, tc := range []struct {
		open func(context.Context, int64) (*Content, error)
		want bool
	}{{a.OpenContentOnce, false}, {a.OpenContent, true}, {a.OpenContentOnce, true}} {
		f, err := tc.open(ctx, id)
		tcheck(t, err)
		tcheck(t, f.Close())
		if got := c.content(a, id) != nil; got != tc.want {
			t.Errorf("cached %v, want %v", got, tc.want)
		}
	}
}

// Records are what they were when they were added, and forgotten one by one, together when
// room is needed, and when nobody has used them for a while.
func TestContentRecordsAreKeptTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := &Account{}, &Account{}
		const n = 3*pageRecords + 5
		c := newCache(0, 1<<20)
		var cts []*content
		for i := range int64(n) {
			ct := &content{ID: i, Size: i + 1, Digest: fmt.Appendf(nil, "digest %d", i)}
			if i%3 == 0 {
				ct.Prefix = fmt.Appendf(nil, "prefix %d", i)
			}
			cts = append(cts, ct)
		}
		c.addContents(a, cts...)
		c.addContents(a, cts[7:9]...) // They are there.
		c.addContents(b, cts[1])
		pages := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.contents.Len()
		}
		there := func() (n int) {
			for _, ct := range cts {
				if got := c.content(a, ct.ID); got != nil {
					if n++; got == ct || got.Size != ct.Size || string(got.Digest) != string(ct.Digest) || string(got.Prefix) != string(ct.Prefix) || (got.Prefix == nil) != (ct.Prefix == nil) {
						t.Errorf("record %d is %+v", ct.ID, got)
					}
				}
			}
			return n
		}
		if got := there(); got != n || pages() != 5 || c.content(b, 1) == nil || c.content(b, 2) != nil {
			t.Errorf("%d of %d records on %d pages", got, n, pages())
		}
		c.dropContent(a, 3)
		c.dropContent(a, 3)
		if got := there(); got != n-1 || pages() != 5 {
			t.Errorf("%d records on %d pages after one was forgotten", got, pages())
		}
		for i := range int64(pageRecords) {
			c.dropContent(a, i)
		}
		if got := there(); got != n-pageRecords || pages() != 4 {
			t.Errorf("%d records on %d pages after those of a page were forgotten", got, pages())
		}
		c.dropAccount(b)
		if got := there(); got != n-pageRecords || pages() != 3 || c.content(b, 1) != nil {
			t.Errorf("%d records on %d pages after those of another account were forgotten", got, pages())
		}
		time.Sleep(contentIdle - contentSweep)
		c.content(a, n-1) // And those that are with it.
		time.Sleep(2*contentSweep + time.Second)
		synctest.Wait()
		if got := there(); got != 5 || pages() != 1 {
			t.Errorf("%d records on %d pages after a while", got, pages())
		}
		time.Sleep(contentIdle + contentSweep + time.Second)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.contents.Len() != 0 || len(c.contentm) != 0 || c.contents.size != 0 || c.timer != nil {
			t.Errorf("%d pages, %d records, %d octets are left in the end, timer %v", c.contents.Len(), len(c.contentm), c.contents.size, c.timer != nil)
		}
	})
}
