package store

import (
	"container/list"
	"math/rand/v2"
	"sync"
)

// cache bounds what the accounts of a store keep in memory beyond what is in
// use: mailbox indexes and content records, each least recently used first out.
type cache struct {
	mu       sync.Mutex // Guards all, and the fields of slots.
	indexes  lru
	contents lru
	contentm map[contentKey]*list.Element
}

type contentKey struct {
	a  *Account
	id int64
}

// lru orders values by last use and knows their size.
type lru struct {
	list.List
	size, max int64
}

// cached is a value in an lru. Exactly one of slot and content is set.
type cached struct {
	size    int64
	slot    *indexSlot
	key     contentKey
	content *content
}

// indexSlot holds the latest version of a mailbox's index. While it is being
// loaded, what commits in the meantime waits in pending.
type indexSlot struct {
	a       *Account
	id      int64         // Of the mailbox.
	latest  *Index        // Nil while loading.
	loaded  chan struct{} // Closed when latest or err is set.
	err     error
	pending []mutation
	elem    *list.Element
}

func newCache(indexMemory, contentMemory int64) *cache {
	return &cache{indexes: lru{max: indexMemory}, contents: lru{max: contentMemory}, contentm: map[contentKey]*list.Element{}}
}

// keep records the size of a slot's index and evicts others beyond the bound.
// The caller holds mu.
func (c *cache) keep(s *indexSlot) {
	size := s.latest.memory()
	if s.elem == nil {
		s.elem = c.indexes.PushFront(&cached{slot: s})
	}
	e := s.elem.Value.(*cached)
	c.indexes.size += size - e.size
	e.size = size
	for c.indexes.size > c.indexes.max && c.indexes.Len() > 1 {
		c.dropSlot(c.indexes.Back().Value.(*cached).slot)
	}
}

// dropSlot forgets an index; sessions keep the versions they hold. The caller
// holds mu.
func (c *cache) dropSlot(s *indexSlot) {
	if s.elem != nil {
		c.indexes.size -= s.elem.Value.(*cached).size
		c.indexes.Remove(s.elem)
		s.elem = nil
	}
	if s.a.slots[s.id] == s {
		delete(s.a.slots, s.id)
	}
}

// content returns a cached content record. Callers must not change it.
func (c *cache) content(a *Account, id int64) *content {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.contentm[contentKey{a, id}]
	if !ok {
		return nil
	}
	c.contents.MoveToFront(e)
	return e.Value.(*cached).content
}

// fill sets l[i] to the cached record of ids[i], nil if there is none, and
// returns how many are missing.
func (c *cache) fill(a *Account, ids []int64, l []*content) (missing int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		l[i] = nil
		if e, ok := c.contentm[contentKey{a, id}]; ok {
			c.contents.MoveToFront(e)
			l[i] = e.Value.(*cached).content
		} else {
			missing++
		}
	}
	return missing
}

// contentOverhead is what a cached record costs besides its bytes.
const contentOverhead = 300

// addContents caches records that were read or written.
func (c *cache) addContents(a *Account, cts ...*content) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ct := range cts {
		k := contentKey{a, ct.ID}
		if _, ok := c.contentm[k]; ok {
			continue
		}
		e := &cached{size: contentSize(ct), key: k, content: ct}
		c.contentm[k] = c.contents.PushFront(e)
		c.contents.size += e.size
	}
	for c.contents.size > c.contents.max && c.contents.Len() > 0 {
		c.removeContent(c.contents.Back())
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

func (c *cache) removeContent(e *list.Element) {
	v := e.Value.(*cached)
	c.contents.Remove(e)
	c.contents.size -= v.size
	delete(c.contentm, v.key)
}

// dropContent forgets a record that is about to be deleted.
func (c *cache) dropContent(a *Account, id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.contentm[contentKey{a, id}]; ok {
		c.removeContent(e)
	}
}

// dropAccount forgets everything of an account, also which files with indexes are right,
// and returns those.
func (c *cache) dropAccount(a *Account) (files map[int64]uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, a.files = a.files, nil
	for _, s := range a.slots {
		c.dropSlot(s)
	}
	for e := c.contents.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*cached).key.a == a {
			c.removeContent(e)
		}
		e = next
	}
	return files
}
