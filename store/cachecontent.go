package store

import (
	"container/list"
	"math/rand/v2"
	"time"
)

// Content records in memory. They are many and small, and come and go: each kept as it was
// read would leave holes in memory where others have been, half as much again as they need.
// So those that were read together are copied next to each other, and go together.

const (
	// pageRecords is how many records are kept together at most.
	pageRecords = 16

	// contentOverhead is what a cached record costs besides its bytes, and pageOverhead what
	// those that are kept together cost.
	contentOverhead = 160
	pageOverhead    = 150

	// contentIdle is how long records stay after they were last used, and contentSweep how
	// often that is looked at, while there are any.
	contentIdle  = 10 * time.Minute
	contentSweep = time.Minute
)

type contentKey struct {
	a  *Account
	id int64
}

// contentPage is records of an account that are kept together. Their bytes are in one slice.
type contentPage struct {
	a       *Account
	records []content
	live    int // Of records: those that the cache still has.
	size    int64
	used    time.Time
}

// cachedContent is where a record is.
type cachedContent struct {
	record *content
	page   *list.Element
}

// content returns a cached content record. Callers must not change it.
func (c *cache) content(a *Account, id int64) *content {
	var l [1]*content
	c.fill(a, []int64{id}, l[:])
	return l[0]
}

// fill sets l[i] to the cached record of ids[i], nil if there is none, and
// returns how many are missing.
func (c *cache) fill(a *Account, ids []int64, l []*content) (missing int) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		cc := c.contentm[contentKey{a, id}]
		if l[i] = cc.record; cc.record == nil {
			missing++
			continue
		}
		c.contents.MoveToFront(cc.page)
		cc.page.Value.(*contentPage).used = now
	}
	return missing
}

// addContents caches records that were read or written. It copies them.
func (c *cache) addContents(a *Account, cts ...*content) {
	c.mu.Lock()
	defer c.mu.Unlock()
	page := make([]*content, 0, min(len(cts), pageRecords))
	for _, ct := range cts {
		if _, ok := c.contentm[contentKey{a, ct.ID}]; ok {
			continue
		}
		if page = append(page, ct); len(page) == pageRecords {
			c.addPage(a, page)
			page = page[:0]
		}
	}
	if len(page) > 0 {
		c.addPage(a, page)
	}
	for c.contents.size > c.contents.max && c.contents.Len() > 0 {
		c.removePage(c.contents.Back())
	}
	if c.timer == nil && c.contents.Len() > 0 {
		c.timer = time.AfterFunc(contentSweep, c.sweep)
	}
}

// addPage caches copies of records, of which it has none. The caller holds mu.
func (c *cache) addPage(a *Account, cts []*content) {
	p := &contentPage{a: a, records: make([]content, len(cts)), live: len(cts), size: pageOverhead, used: time.Now()}
	n := 0
	for _, ct := range cts {
		n += len(ct.Digest) + len(ct.Prefix)
		p.size += contentSize(ct)
	}
	b := make([]byte, 0, n)
	keep := func(l []byte) []byte {
		if l == nil {
			return nil
		}
		b = append(b, l...)
		return b[len(b)-len(l) : len(b) : len(b)]
	}
	e := c.contents.PushFront(p)
	c.contents.size += p.size
	for i, ct := range cts {
		r := &p.records[i]
		*r = *ct
		r.Digest, r.Prefix = keep(ct.Digest), keep(ct.Prefix)
		c.contentm[contentKey{a, ct.ID}] = cachedContent{r, e}
	}
}

const (
	// scanBatch is from how many records read at a time on they are taken for a part of
	// all that a mailbox has.
	scanBatch = 64

	// scanShare is of how many records of a scan one is cached when there is no room.
	scanShare = 16
)

// addScanned caches records that were read many at a time. What is read in turns and does
// not fit would otherwise be removed each time just before it is read again, and with it
// what everybody else reads; so what is there stays, and of the rest a few come in.
func (c *cache) addScanned(a *Account, cts ...*content) {
	if len(cts) < scanBatch {
		c.addContents(a, cts...)
		return
	}
	c.mu.Lock()
	room := c.contents.max - c.contents.size
	keep := make([]*content, 0, len(cts))
	for _, ct := range cts {
		if room -= contentSize(ct); room < 0 && rand.IntN(scanShare) != 0 {
			continue
		}
		keep = append(keep, ct)
	}
	c.mu.Unlock()
	c.addContents(a, keep...)
}

func contentSize(ct *content) int64 {
	return int64(len(ct.Digest)+len(ct.Prefix)) + contentOverhead
}

// removePage forgets the records of a page. The caller holds mu.
func (c *cache) removePage(e *list.Element) {
	p := e.Value.(*contentPage)
	for i := range p.records {
		k := contentKey{p.a, p.records[i].ID}
		if c.contentm[k].page == e {
			delete(c.contentm, k)
		}
	}
	c.contents.Remove(e)
	c.contents.size -= p.size
}

// dropContent forgets a record that is about to be deleted.
func (c *cache) dropContent(a *Account, id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := contentKey{a, id}
	cc, ok := c.contentm[k]
	if !ok {
		return
	}
	delete(c.contentm, k)
	p := cc.page.Value.(*contentPage)
	if p.live--; p.live == 0 {
		c.removePage(cc.page)
	}
}

// sweep forgets the records that were not used of late, and looks again later if any are
// left.
func (c *cache) sweep() {
	before := time.Now().Add(-contentIdle)
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.contents.Back(); e != nil && e.Value.(*contentPage).used.Before(before); e = c.contents.Back() {
		c.removePage(e)
	}
	c.timer = nil
	if c.contents.Len() > 0 {
		c.timer = time.AfterFunc(contentSweep, c.sweep)
	}
}
