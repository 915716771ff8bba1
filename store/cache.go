package store

import (
	"container/list"
	"sync"
	"time"
)

// cache bounds what the accounts of a store keep in memory beyond what is in
// use: mailbox indexes and content records, each least recently used first out.
type cache struct {
	mu       sync.Mutex // Guards all, and the fields of slots.
	indexes  lru        // Of *cachedIndex.
	contents lru        // Of *contentPage.
	contentm map[contentKey]cachedContent
	timer    *time.Timer // Of sweep, nil when there are no contents.
}

// lru orders values by last use and knows their size.
type lru struct {
	list.List
	size, max int64
}

// cachedIndex is an index in an lru.
type cachedIndex struct {
	size int64
	slot *indexSlot
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
	return &cache{indexes: lru{max: indexMemory}, contents: lru{max: contentMemory}, contentm: map[contentKey]cachedContent{}}
}

// keep records the size of a slot's index and evicts others beyond the bound.
// The caller holds mu.
func (c *cache) keep(s *indexSlot) {
	size := s.latest.memory()
	if s.elem == nil {
		s.elem = c.indexes.PushFront(&cachedIndex{slot: s})
	}
	e := s.elem.Value.(*cachedIndex)
	c.indexes.size += size - e.size
	e.size = size
	for c.indexes.size > c.indexes.max && c.indexes.Len() > 1 {
		c.dropSlot(c.indexes.Back().Value.(*cachedIndex).slot)
	}
}

// dropSlot forgets an index; sessions keep the versions they hold. The caller
// holds mu.
func (c *cache) dropSlot(s *indexSlot) {
	if s.elem != nil {
		c.indexes.size -= s.elem.Value.(*cachedIndex).size
		c.indexes.Remove(s.elem)
		s.elem = nil
	}
	if s.a.slots[s.id] == s {
		delete(s.a.slots, s.id)
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
		if e.Value.(*contentPage).a == a {
			c.removePage(e)
		}
		e = next
	}
	return files
}
