package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"mox/message"
)

// Content is an open message: the header fields we added and the file as it was
// received, read as one.
type Content struct {
	record *content
	file   readCloserAt
}

// readCloserAt is a file of which only that is asked.
type readCloserAt interface {
	io.ReaderAt
	io.Closer
}

// OpenContent opens a message for reading. The error is ErrNoMessage when it does
// not exist (any more). The caller must close it.
func (a *Account) OpenContent(ctx context.Context, contentID int64) (*Content, error) {
	c, err := a.OpenContentOnce(ctx, contentID)
	if err == nil {
		a.store.cache.addContents(a, c.record)
	}
	return c, err
}

// OpenContentOnce is OpenContent for those who read all messages of an account in turn.
// What is known of them does not stay in memory, where it would replace what others read
// again and again.
func (a *Account) OpenContentOnce(ctx context.Context, contentID int64) (*Content, error) {
	ct, err := a.contentRecord(ctx, contentID)
	if err != nil {
		return nil, err
	}
	f, err := a.store.fs.OpenFile(a.contentPath(contentID), 0, 0)
	if err != nil {
		return nil, fmt.Errorf("open message file: %w", err)
	}
	return &Content{ct, f}, nil
}

// Size returns the size of the message in octets.
func (c *Content) Size() int64 { return c.record.Size }

// Prefix returns the header fields that we added in front. They must not be changed.
func (c *Content) Prefix() []byte { return c.record.Prefix }

// Digest returns what is known of the message without reading the file.
func (c *Content) Digest() message.Digest { return c.record.Digest }

// ReadAt reads the message, prefix first.
func (c *Content) ReadAt(p []byte, off int64) (n int, err error) {
	return readPrefixed(c.record.Prefix, c.file, p, off)
}

// Close closes the file. To close it again does no harm.
func (c *Content) Close() error {
	f := c.file
	if f == nil {
		return nil
	}
	c.file = nil
	return f.Close()
}

const (
	// aheadFiles is how many files a goroutine reads in turn, and aheadGroups how many such
	// groups are in memory, of which others are read while one is looked at.
	aheadFiles  = 8
	aheadGroups = 8
	// aheadFile is up to which size files are read ahead, so that all are a megabyte at
	// most.
	aheadFile = 16 << 10
)

// Contents calls fn for each content id with its index in the list, in order, and with the
// open message, or nil if it does not exist (any more). It is closed when fn has returned.
// That its file cannot be opened is what ReadAt tells. Small ones
// that follow are read meanwhile.
func (a *Account) Contents(ctx context.Context, contentIDs []int64, fn func(i int, c *Content) error) error {
	var groups [aheadGroups]group
	return a.records(ctx, contentIDs, func(start int, l []*content) error {
		begun := 0
		for n := 0; n*aheadFiles < len(l); n++ {
			for ; begun*aheadFiles < len(l) && begun < n+aheadGroups; begun++ {
				groups[begun%aheadGroups].open(a, l[begun*aheadFiles:min((begun+1)*aheadFiles, len(l))], len(contentIDs) > aheadFiles)
			}
			err := groups[n%aheadGroups].each(a, start+n*aheadFiles, fn)
			if err = errors.Join(err, ctx.Err()); err != nil {
				for n++; n < begun; n++ {
					<-groups[n%aheadGroups].done
				}
				return err
			}
		}
		return nil
	})
}

// A group is messages whose files are read together. It is used again, for its memory.
type group struct {
	l     [aheadFiles]*Content // Nil for those that do not exist.
	n     int
	files [aheadFiles]fileBytes
	buf   []byte
	done  chan struct{} // Of one element.
}

// open opens the messages of some records, or begins to, if others follow.
func (g *group) open(a *Account, records []*content, others bool) {
	if g.done == nil {
		g.done = make(chan struct{}, 1)
	}
	run := func() {
		g.openAll(a, records)
		g.done <- struct{}{}
	}
	if others {
		go run()
	} else {
		run()
	}
}

// each waits for the messages, and calls fn for each.
func (g *group) each(a *Account, first int, fn func(i int, c *Content) error) error {
	<-g.done
	for i, c := range g.l[:g.n] {
		if c != nil && c.file == nil {
			c.file = a.openFile(c.record.ID)
		}
		err := fn(first+i, c)
		if c != nil {
			_ = c.Close() // It was only read.
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openAll reads the small files: the others are opened when it is their turn, so that not
// many are open for a client that does not read.
func (g *group) openAll(a *Account, records []*content) {
	g.n = len(records)
	need := 0
	for _, ct := range records {
		if ct != nil && ct.fileSize() <= aheadFile {
			need += int(ct.fileSize())
		}
	}
	if cap(g.buf) < need {
		g.buf = make([]byte, need)
	}
	free := g.buf[:cap(g.buf)]
	for i, ct := range records {
		g.l[i] = nil
		if ct == nil {
			continue
		}
		g.l[i] = &Content{record: ct}
		if n := ct.fileSize(); n <= aheadFile {
			g.files[i] = a.readFile(ct.ID, free[:n])
			g.l[i].file, free = &g.files[i], free[n:]
		}
	}
}

// fileSize returns the size that the file should have.
func (ct *content) fileSize() int64 { return max(0, ct.Size-int64(len(ct.Prefix))) }

// fileBytes is the beginning of a file, and why there is no more.
type fileBytes struct {
	b   []byte
	err error
}

// ReadAt reads what there is.
func (f *fileBytes) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(f.b)) {
		n = copy(p, f.b[off:])
	}
	if n < len(p) {
		err = f.err
	}
	return n, err
}

// Close does nothing: the file was closed when it had been read.
func (f *fileBytes) Close() error { return nil }

// openFile opens the file of a content. One that cannot be opened cannot be read either.
func (a *Account) openFile(contentID int64) readCloserAt {
	f, err := a.store.fs.OpenFile(a.contentPath(contentID), 0, 0)
	if err != nil {
		return &fileBytes{err: fmt.Errorf("open message file: %w", err)}
	}
	return f
}

// readFile reads as much of the file of a content as it has, and fits.
func (a *Account) readFile(contentID int64, b []byte) fileBytes {
	n, err := a.store.fs.ReadStart(a.contentPath(contentID), b)
	if err == nil {
		err = io.EOF
	} else if err != io.EOF {
		err = fmt.Errorf("read message file: %w", err)
	}
	return fileBytes{b[:n], err}
}
