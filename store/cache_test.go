package store

import (
	"context"
	"testing"
)

func TestScansOfMoreThanFitsLeaveWhatIsCached(t *testing.T) {
	t.Parallel()
	const fits, all = 1000, 4000
	c := newCache(0, fits*contentOverhead)
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
	const scans = 10
	hits := 0
	for range scans {
		hits += scan()
	}
	if hits /= scans; hits < fits/2 { // On the average: which records come in is by chance.
		t.Errorf("a scan finds %d of the %d records that fit", hits, fits)
	}
	if c.contents.size > c.contents.max || c.contents.Len() < fits*9/10 {
		t.Errorf("%d records of %d octets", c.contents.Len(), c.contents.size)
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
	c := newCache(0, fits*contentOverhead)
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
