package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
	"mox/message"
)

const (
	// readBatch is how many records one read transaction copies out at most.
	readBatch = 500
	// loadBatch is that for loading an index, which copies less.
	loadBatch = 5000
)

const (
	// aheadRecords is how many records must be about to be read for the whole database to
	// be read ahead, at most aheadSize bytes, and once in aheadInterval: they lie all over
	// it, and to wait for the disk for each page takes ten times as long.
	aheadRecords  = 4000
	aheadSize     = 1 << 30
	aheadInterval = time.Minute
)

// readAhead is called before n records are read.
func (a *Account) readAhead(n int) {
	now := a.store.opts.Now().UnixNano()
	last := a.ahead.Load()
	if n < aheadRecords || last != 0 && now-last < int64(aheadInterval) || !a.ahead.CompareAndSwap(last, now) {
		return
	}
	path := filepath.Join(a.dir, dbName)
	go func() { // Nobody needs to wait for it, not even Close.
		info, err := a.store.fs.Stat(path)
		if err == nil {
			err = safefile.ReadAhead(path, min(info.Size(), aheadSize))
		}
		if err != nil {
			a.log.Debug("reading the database ahead", "err", err)
		}
	}()
}

// Index returns the latest version of a mailbox's messages. It is loaded when it
// is not in memory. The error is ErrNoMailbox when the mailbox does not exist.
func (a *Account) Index(ctx context.Context, mailboxID int64) (*Index, error) {
	c := a.store.cache
	for {
		c.mu.Lock()
		s, ok := a.slots[mailboxID]
		if ok && s.latest != nil {
			c.indexes.MoveToFront(s.elem)
			ix := s.latest
			c.mu.Unlock()
			return ix, nil
		}
		if !ok {
			s = &indexSlot{a: a, id: mailboxID, loaded: make(chan struct{})}
			a.slots[mailboxID] = s
			c.mu.Unlock()
			// Others may wait for it: it must not end with our caller's context.
			a.loadIndex(context.WithoutCancel(ctx), s)
			if s.err != nil && s.err != errReload {
				return nil, s.err
			}
			continue
		}
		c.mu.Unlock()
		select {
		case <-s.loaded:
			if s.err != nil && s.err != errReload {
				return nil, s.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// indexInMemory returns the index of a mailbox as of the last commit, nil if it is not in
// memory. The caller holds mu.
func (a *Account) indexInMemory(mailboxID int64) *Index {
	c := a.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := a.slots[mailboxID]; ok {
		return s.latest
	}
	return nil
}

// errReload says that the account was reopened while an index was loaded.
var errReload = errors.New("index must be loaded again")

// loadIndex fills a slot. Commits that happen meanwhile leave their mutations in
// it, which are applied last: mutations carry the whole new state, so it does not
// matter which of them the records read here include already.
func (a *Account) loadIndex(ctx context.Context, s *indexSlot) {
	chunks := a.fileIndex(s.id)
	var err error
	if chunks == nil {
		if mb, ok := a.Tree().ByID(s.id); ok {
			a.readAhead(int(mb.Counts.Messages))
		}
		chunks, err = a.readIndex(ctx, s.id)
	}
	// No commit may come between looking at the tree and filling the slot.
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.Tree()
	mb, ok := t.ByID(s.id)
	c := a.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && !ok {
		err = ErrNoMailbox
	}
	if a.slots[s.id] != s {
		err = cmp.Or(err, errReload)
	}
	if err != nil {
		s.err = err
		c.dropSlot(s)
		close(s.loaded)
		return
	}
	s.latest = newIndex(&mb, t.ModSeq, chunks)
	if len(s.pending) > 0 {
		s.latest = s.latest.apply(&mb, t.ModSeq, s.pending)
		s.pending = nil
	}
	c.keep(s)
	close(s.loaded)
}

// readIndex reads the messages of a mailbox in batches.
func (a *Account) readIndex(ctx context.Context, mailboxID int64) ([]*chunk, error) {
	var chunks []*chunk
	w := newChunkWriter(chunkSize)
	lists := map[string]*[]string{}
	var after uint32
	for {
		n := 0
		err := a.read(ctx, func(tx *bstore.Tx) error {
			q := bstore.QueryTx[Message](tx).FilterNonzero(Message{MailboxID: mailboxID}).FilterGreater("UID", after).SortAsc("UID").Limit(loadBatch)
			return q.ForEach(func(m Message) error {
				n++
				after = m.UID
				if len(w.flags) == chunkSize {
					chunks, w = append(chunks, w.chunk()), newChunkWriter(chunkSize)
				}
				e := entryOf(&m)
				e.keywords = internKeywords(lists, e.keywords)
				w.add(m.Flags, &e)
				return nil
			})
		})
		if err != nil {
			return nil, fmt.Errorf("read messages of mailbox: %w", err)
		}
		if n < loadBatch {
			return append(chunks, w.split()...), nil
		}
	}
}

// internKeywords returns one list for equal ones.
func internKeywords(m map[string]*[]string, kw *[]string) *[]string {
	if kw == nil {
		return nil
	}
	k := keywordsKey(*kw)
	if l, ok := m[k]; ok {
		return l
	}
	m[k] = kw
	return kw
}

// contentRecord returns the record of a content, from memory when it is there.
func (a *Account) contentRecord(ctx context.Context, id int64) (*content, error) {
	if ct := a.store.cache.content(a, id); ct != nil {
		return ct, nil
	}
	ct := content{ID: id}
	err := a.read(ctx, func(tx *bstore.Tx) error { return tx.Get(&ct) })
	if errors.Is(err, bstore.ErrAbsent) {
		return nil, ErrNoMessage
	} else if err != nil {
		return nil, fmt.Errorf("read message record: %w", err)
	}
	return &ct, nil
}

// Digests calls fn for each content id with its index in the list, in order, and
// with what is known of the message without opening its file. An id that does
// not exist (any more) is passed a nil digest. The digest must not be changed.
func (a *Account) Digests(ctx context.Context, contentIDs []int64, fn func(i int, d message.Digest) error) error {
	return a.records(ctx, contentIDs, func(start int, l []*content) error {
		for i, ct := range l {
			var d message.Digest
			if ct != nil {
				d = ct.Digest
			}
			if err := fn(start+i, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// records calls fn for batches of records, in the order of ids, with the position of the
// first. Those that do not exist are nil.
func (a *Account) records(ctx context.Context, ids []int64, fn func(start int, l []*content) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.readAhead(len(ids))
	var queue []*batch // What is read while fn is called.
	next := 0
	for start := 0; start < len(ids); start += recordBatch {
		for ; next < len(ids) && len(queue) < batchesAhead; next += recordBatch {
			queue = append(queue, a.startBatch(ctx, ids[next:min(next+recordBatch, len(ids))]))
		}
		l, err := queue[0].wait()
		if err != nil {
			return err
		}
		queue = queue[1:]
		if err := fn(start, l); err != nil {
			return err
		}
	}
	return nil
}

// batchesAhead is how many batches of records are in memory, each of recordBatch, of which
// others are read while one is looked at.
const (
	recordBatch  = 200
	batchesAhead = 3
)

// A batch is records that are being read.
type batch struct {
	l    []*content
	err  error
	done chan struct{} // Nil when it was read at once.
}

// startBatch begins to read records: what is not in memory in a goroutine.
func (a *Account) startBatch(ctx context.Context, ids []int64) *batch {
	b := &batch{l: make([]*content, len(ids))}
	if missing := a.store.cache.fill(a, ids, b.l); missing < scanBatch {
		b.err = a.readContents(ctx, ids, b.l, missing)
		return b
	}
	b.done = make(chan struct{})
	go func() {
		defer close(b.done)
		b.err = a.readContents(ctx, ids, b.l, len(ids))
	}()
	return b
}

func (b *batch) wait() ([]*content, error) {
	if b.done != nil {
		<-b.done
	}
	return b.l, b.err
}

// readContents fills l, as far as it is nil, with the records of ids, of which so many are
// missing. Those that do not exist stay nil.
func (a *Account) readContents(ctx context.Context, ids []int64, l []*content, missing int) error {
	if missing == 0 {
		return nil
	}
	read := make([]*content, 0, missing)
	err := a.read(ctx, func(tx *bstore.Tx) error {
		for i, id := range ids {
			if l[i] != nil {
				continue
			}
			ct := content{ID: id}
			if err := tx.Get(&ct); errors.Is(err, bstore.ErrAbsent) {
				continue
			} else if err != nil {
				return fmt.Errorf("read message record %d: %w", id, err)
			}
			l[i] = &ct
			read = append(read, &ct)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.store.cache.addScanned(a, read...)
	return nil
}

// prefixed is a prefix and what follows, read as one.
type prefixed struct {
	prefix []byte
	r      io.ReaderAt
}

func (p prefixed) ReadAt(b []byte, off int64) (int, error) {
	return readPrefixed(p.prefix, p.r, b, off)
}

func readPrefixed(prefix []byte, r io.ReaderAt, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	pl := int64(len(prefix))
	if off < pl {
		n = copy(p, prefix[off:])
		off += int64(n)
	}
	if n == len(p) {
		return n, nil
	}
	m, err := r.ReadAt(p[n:], off-pl)
	return n + m, err
}

// Vanished returns the UIDs, ascending, of messages that were expunged from a
// mailbox after since (RFC 7162 §3.2.10). Complete is false when some of that
// history has been pruned: then UIDs may be missing.
func (a *Account) Vanished(ctx context.Context, mailboxID int64, since ModSeq) (uids []uint32, complete bool, err error) {
	err = a.read(ctx, func(tx *bstore.Tx) error {
		st := state{ID: 1}
		if err := tx.Get(&st); err != nil {
			return err
		}
		complete = since >= st.PrunedModSeq
		q := bstore.QueryTx[tombstone](tx).FilterNonzero(tombstone{MailboxID: mailboxID}).FilterGreater("ModSeq", since)
		if err := q.ForEach(func(t tombstone) error { uids = append(uids, t.UID); return nil }); err != nil {
			return err
		}
		bq := bstore.QueryTx[tombstoneBatch](tx).FilterNonzero(tombstoneBatch{MailboxID: mailboxID}).FilterGreater("ModSeq", since)
		return bq.ForEach(func(tb tombstoneBatch) error {
			l, err := tb.tombstones()
			for i := range l {
				uids = append(uids, l[i].UID)
			}
			return err
		})
	})
	if err != nil {
		return nil, false, fmt.Errorf("read expunged messages: %w", err)
	}
	return sortedUIDs(uids), complete, nil
}

// Origin returns where a message came from, the zero value if that is not known.
// The error is ErrNoMessage when the message does not exist (any more).
func (a *Account) Origin(ctx context.Context, contentID int64) (Origin, error) {
	ct, err := a.contentRecord(ctx, contentID)
	if err != nil || ct.Origin == nil {
		return Origin{}, err
	}
	return *ct.Origin, nil
}

// Credentials returns the password verifiers, the zero value if none were set.
func (a *Account) Credentials(ctx context.Context) (Credentials, error) {
	c := credentials{ID: 1}
	err := a.read(ctx, func(tx *bstore.Tx) error { return tx.Get(&c) })
	if errors.Is(err, bstore.ErrAbsent) {
		return Credentials{}, nil
	}
	return c.Credentials, err
}
