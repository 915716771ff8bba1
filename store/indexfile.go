package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"mox/internal/boltpages"
)

// Indexes of large mailboxes are kept in files while an account is closed, so that the first
// SELECT after a start need not read the record of each message. When an account is closed,
// the index of a mailbox is written to a file of its own, and then a list of the files that
// are right, with the mark that the database has at that moment. Each commit gives the
// database another mark, also that of a program that knows nothing of these files, and
// opening it is one. So a list is right when its mark is found before the database is opened,
// and otherwise all files are removed. In the open account, each commit takes the mailboxes
// that it changes from the list; the others stay on it when the account is closed again.
//
// The files are derived data: nothing is synced, as a CRC tells whether a file is complete,
// and whatever is wrong with them costs time and nothing else.

const (
	// indexDirName is the directory of these files in that of an account.
	indexDirName = "indexes"
	// indexListName is the name of the list of files. The others have the id of a mailbox.
	indexListName = "list"
	// indexFileMessages is from how many messages on an index is kept in a file.
	indexFileMessages = 1000
)

func (a *Account) indexDir() string { return filepath.Join(a.dir, indexDirName) }

func (a *Account) indexPath(mailboxID int64) string {
	return filepath.Join(a.indexDir(), strconv.FormatInt(mailboxID, 10))
}

// listIndexes notes which files with indexes are right. It is called before the database is
// opened. The error says why there are none.
func (a *Account) listIndexes() error {
	b, err := a.readIndexFile(filepath.Join(a.indexDir(), indexListName))
	if err != nil {
		return err
	}
	l, err := parseIndexList(b)
	if err != nil {
		return err
	}
	// Only now: an account that is still being closed writes the list when it changes nothing any more.
	mark, err := a.readMark()
	if err != nil {
		return err
	}
	if l.mark != mark {
		return fmt.Errorf("made of commit %d, last one is %d", l.mark.Commit, mark.Commit)
	}
	a.files = l.files
	return nil
}

// listOrRemoveIndexes is listIndexes, and removes files that are of no use any more.
func (a *Account) listOrRemoveIndexes() {
	err := a.listIndexes()
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	a.log.Debug("removing files with mailbox indexes", "reason", err)
	if err := a.store.fs.RemoveAll(a.indexDir()); err != nil {
		a.log.Warn("remove files with mailbox indexes", "err", err)
	}
}

// readMark returns the mark of the database.
func (a *Account) readMark() (m boltpages.Mark, rerr error) {
	f, err := a.store.fs.OpenFile(filepath.Join(a.dir, dbName), os.O_RDONLY, 0)
	if err != nil {
		return m, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	return boltpages.ReadMark(f)
}

// readIndexFile reads a file.
func (a *Account) readIndexFile(path string) (b []byte, rerr error) {
	f, err := a.store.fs.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b = make([]byte, info.Size())
	_, err = io.ReadFull(f, b)
	return b, err
}

// fileIndex returns the messages of a mailbox from its file, as of the last commit that
// changed them: commits that are published later are not in it. Nil if there is none.
func (a *Account) fileIndex(mailboxID int64) []*chunk {
	c := a.store.cache
	c.mu.Lock()
	sum, ok := a.files[mailboxID]
	c.mu.Unlock()
	if !ok {
		return nil
	}
	mb, ok := a.Tree().ByID(mailboxID)
	if !ok {
		return nil
	}
	chunks, err := a.parseIndexFile(&mb, sum)
	if err == nil {
		return chunks
	}
	c.mu.Lock()
	_, ok = a.files[mailboxID]
	delete(a.files, mailboxID)
	c.mu.Unlock()
	if ok { // Else it was changed meanwhile.
		a.log.Warn("file with mailbox index cannot be used, reading the records of all messages", "mailbox", mb.Name, "err", err)
	}
	return nil
}

// Expect reads the index of a mailbox from its file, if there is one that nobody has read yet,
// for a client that has just logged in and will ask for it. Another goroutine for it made login
// and SELECT together no faster that could be measured, and the command after them slower.
func (a *Account) Expect(mailbox string) {
	mb, ok := a.Tree().ByName(mailbox)
	if !ok {
		return
	}
	c := a.store.cache
	c.mu.Lock()
	_, inFile := a.files[mb.ID]
	_, used := a.slots[mb.ID]
	c.mu.Unlock()
	if inFile && !used {
		_, _ = a.Index(a.store.ctx, mb.ID) // Who asks is told of errors.
	}
}

// parseIndexFile reads the messages of a mailbox from its file, which has a CRC.
func (a *Account) parseIndexFile(mb *Mailbox, want uint32) ([]*chunk, error) {
	b, err := a.readIndexFile(a.indexPath(mb.ID))
	if err != nil {
		return nil, err
	}
	f, sum, err := parseIndex(b)
	if err != nil {
		return nil, err
	}
	if sum != want || !f.is(mb) {
		return nil, errors.New("not of this state of the mailbox")
	}
	return f.chunks, nil
}

// forgetFiles forgets the files of mailboxes that a commit has changed, before anybody can
// see the change. The caller holds cache.mu.
func (a *Account) forgetFiles(tx *Tx) {
	for _, id := range tx.dirtyBoxes() {
		delete(a.files, id)
	}
	for id := range tx.muts {
		delete(a.files, id)
	}
}

// loadedIndexes returns the indexes that are in memory.
func (c *cache) loadedIndexes(a *Account) []*Index {
	c.mu.Lock()
	defer c.mu.Unlock()
	var l []*Index
	for _, s := range a.slots {
		if s.latest != nil {
			l = append(l, s.latest)
		}
	}
	return l
}

// saveIndexes writes indexes that are in no file yet to files, and the list of those and
// of the files that are still right. The database is open, and nobody changes it any more.
func (a *Account) saveIndexes(files map[int64]uint32, loaded []*Index) error {
	dir := a.indexDir()
	files = maps.Clone(files)
	if files == nil {
		files = map[int64]uint32{}
	}
	loaded = slices.DeleteFunc(loaded, func(ix *Index) bool {
		_, ok := files[ix.mailboxID]
		return ok || int64(ix.Len()) < a.store.opts.indexFileMessages
	})
	if len(files)+len(loaded) == 0 {
		return a.store.fs.RemoveAll(dir)
	}
	if err := a.store.fs.MkdirAll(dir, 0770); err != nil {
		return err
	}
	for _, ix := range loaded {
		mb, ok := a.Tree().ByID(ix.mailboxID)
		if !ok {
			continue
		}
		b := appendIndex(nil, &mb, ix)
		if err := a.replaceFile(a.indexPath(mb.ID), b); err != nil {
			return err
		}
		_, sum, err := checkSum(b)
		if err != nil {
			return err
		}
		files[mb.ID] = sum
	}
	if err := a.removeOtherIndexes(files); err != nil {
		return err
	}
	mark, err := a.readMark()
	if err != nil {
		return err
	}
	return a.replaceFile(filepath.Join(dir, indexListName), indexList{mark, files}.appendTo(nil))
}

// removeOtherIndexes removes files that are not to be on the list.
func (a *Account) removeOtherIndexes(files map[int64]uint32) error {
	dir := a.indexDir()
	entries, err := a.store.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if id, err := strconv.ParseInt(e.Name(), 10, 64); err == nil {
			if _, ok := files[id]; ok {
				continue
			}
		}
		if err := a.store.fs.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// indexFiles checks that files with indexes that would be used have what the records say.
// A file that would not be used is no problem.
func (v *verifier) indexFiles(ctx context.Context) error {
	c := v.a.store.cache
	c.mu.Lock()
	files := maps.Clone(v.a.files)
	c.mu.Unlock()
	for id, sum := range files {
		mb := v.boxes[id]
		if mb == nil {
			continue
		}
		chunks, err := v.a.parseIndexFile(mb, sum)
		if err != nil {
			continue
		}
		records, err := v.a.readIndex(ctx, id)
		if err != nil {
			return err
		}
		if !sameMessages(newIndex(mb, mb.ModSeq, chunks), newIndex(mb, mb.ModSeq, records)) {
			v.errorf("file %s of mailbox %q has other messages than the records", v.a.indexPath(id), mb.Name)
		}
	}
	return nil
}

// sameMessages reports whether two indexes have the same messages.
func sameMessages(a, b *Index) bool {
	if a.Len() != b.Len() {
		return false
	}
	for pos, it := range a.Range(0, a.Len()) {
		x, y := *it.Entry, *b.At(pos)
		if it.Flags != b.Flags(pos) || !slices.Equal(x.Keywords(), y.Keywords()) {
			return false
		}
		x.keywords, y.keywords = nil, nil
		if x != y {
			return false
		}
	}
	return true
}

// replaceFile writes a file under another name, and renames it. It syncs nothing.
func (a *Account) replaceFile(path string, data []byte) error {
	tmp := path + ".new"
	f, err := a.store.fs.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0660)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = a.store.fs.Rename(tmp, path)
	}
	return err
}
