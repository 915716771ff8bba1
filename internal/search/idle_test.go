package search

import (
	"testing"
	"testing/synctest"
	"time"
)

// manyToSort returns a mailbox of 100 messages.
func manyToSort(t *testing.T) *mailbox {
	t.Helper()
	m := newMailbox(t)
	for range 20 {
		m.add(toSort...)
	}
	return m
}

// A column goes when nobody has asked for it for columnIdle, with the others of the mailbox
// staying, and in the end all is given back.
func TestColumnsThatNobodyAsksForAreGivenBack(t *testing.T) {
	t.Parallel()
	m := manyToSort(t)
	synctest.Test(t, func(t *testing.T) {
		k := NewKeys(1 << 20)
		defer k.Close()
		read := func(by string) int {
			m.digests = 0
			m.sort(k, m.index(), by, m.positions())
			return m.digests
		}
		if n := read("FROM"); n != 100 {
			t.Fatalf("%d digests were read", n)
		}
		time.Sleep(columnIdle - time.Second)
		if n := read("SUBJECT"); n != 100 {
			t.Errorf("%d digests were read for another column", n)
		}
		size := func() int64 {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.size
		}
		before := size()
		time.Sleep(sweepInterval + 2*time.Second)
		synctest.Wait()
		if now := size(); now >= before || now == 0 {
			t.Errorf("%d bytes are kept of %d when one of two columns was not asked for", now, before)
		}
		if n := read("SUBJECT"); n != 0 {
			t.Errorf("%d digests were read for a column that is in use", n)
		}
		if n := read("FROM"); n != 100 {
			t.Errorf("%d digests were read for one that was given back", n)
		}
		time.Sleep(columnIdle + sweepInterval + time.Second)
		synctest.Wait()
		k.mu.Lock()
		if k.size != 0 || len(k.slots) != 0 || k.recent.Len() != 0 || k.timer != nil {
			t.Errorf("%d bytes, %d slots, %d in order are kept in the end, timer %v", k.size, len(k.slots), k.recent.Len(), k.timer != nil)
		}
		k.mu.Unlock()
		if n := read("FROM"); n != 100 {
			t.Errorf("%d digests were read after everything was given back", n)
		}
	})
}

// What does not fit makes those columns of the mailbox go that were asked for least recently.
func TestColumnsAskedForLeastRecentlyGoFirst(t *testing.T) {
	t.Parallel()
	m := manyToSort(t)
	synctest.Test(t, func(t *testing.T) {
		k := NewKeys(1 << 20)
		defer k.Close()
		digests := func(by string) int {
			time.Sleep(time.Second)
			m.digests = 0
			m.sort(k, m.index(), by, m.positions())
			return m.digests
		}
		for _, by := range []string{"FROM", "TO", "SUBJECT"} {
			digests(by)
		}
		k.max = k.size // As much as there is.
		digests("FROM")
		digests("CC") // TO must go.
		for _, step := range []struct {
			by   string
			want int
		}{{"SUBJECT", 0}, {"FROM", 0}, {"CC", 0}, {"TO", 100}} {
			if n := digests(step.by); n != step.want {
				t.Errorf("%d digests were read for %s, want %d", n, step.by, step.want)
			}
		}
		if k.size > k.max {
			t.Errorf("%d bytes are kept, at most %d should be", k.size, k.max)
		}
	})
}
