package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"mox/imap"
	"mox/internal/safefile"
	"mox/internal/testkit"
)

// fileRun is an account that is closed and opened again.
type fileRun struct {
	t    *testing.T
	opts Options
	s    *Store
	a    *Account
}

// newFileRun makes an account with messages in Inbox and Archive, and closes it: both have a
// file.
func newFileRun(t *testing.T, change ...func(*Options)) *fileRun {
	t.Helper()
	r := &fileRun{t: t, opts: testOptions(t)}
	for _, c := range change {
		c(&r.opts)
	}
	r.open()
	for i := range 5 {
		for _, name := range []string{imap.Inbox, "Archive"} {
			m := newMessage(t, r.a, testMessage(i))
			m.Mailbox = name
			_, err := r.a.Append(ctx, m)
			tcheck(t, err)
		}
	}
	r.index(imap.Inbox)
	r.index("Archive")
	r.close()
	t.Cleanup(func() { tcheck(t, r.s.Close()) })
	return r
}

func (r *fileRun) open() {
	r.t.Helper()
	var err error
	r.s, err = Open(ctx, r.opts)
	tcheck(r.t, err)
	r.a, err = r.s.Ensure(ctx, "mox")
	tcheck(r.t, err)
}

// close closes the account cleanly.
func (r *fileRun) close() {
	r.t.Helper()
	tcheck(r.t, r.s.Close())
}

func (r *fileRun) path(elem ...string) string {
	return filepath.Join(append([]string{r.opts.Dir, "accounts", "mox"}, elem...)...)
}

func (r *fileRun) id(name string) int64 {
	r.t.Helper()
	mb, ok := r.a.Tree().ByName(name)
	if !ok {
		r.t.Fatalf("no mailbox %q", name)
	}
	return mb.ID
}

// index loads an index, which must be that of the records.
func (r *fileRun) index(name string) *Index {
	r.t.Helper()
	ix, err := r.a.Index(ctx, r.id(name))
	tcheck(r.t, err)
	mb, _ := r.a.Tree().ByName(name)
	chunks, err := r.a.readIndex(ctx, mb.ID)
	tcheck(r.t, err)
	if !sameMessages(ix, newIndex(&mb, mb.ModSeq, chunks)) || ix.UIDNext() != mb.UIDNext || ix.UIDValidity() != mb.UIDValidity {
		r.t.Errorf("index of %s has other messages than the records", name)
	}
	return ix
}

// files returns the names of the mailboxes whose files would be used.
func (r *fileRun) files() string {
	var l []string
	for id := range r.a.files {
		mb, ok := r.a.Tree().ByID(id)
		if !ok {
			r.t.Errorf("there is a file for mailbox %d, which does not exist", id)
		}
		l = append(l, mb.Name)
	}
	slices.Sort(l)
	return strings.Join(l, " ")
}

func (r *fileRun) wantFiles(what, want string) {
	r.t.Helper()
	if got := r.files(); got != want {
		r.t.Errorf("%s: there are files for %q, want %q", what, got, want)
	}
}

// flag changes the flags of all messages of a mailbox.
func (r *fileRun) flag(name string) {
	r.t.Helper()
	tcheck(r.t, r.a.Update(ctx, func(tx *Tx) error {
		c := FlagChange{Op: FlagsAdd, FlagSet: imap.FlagSet{Flags: imap.FlagFlagged, Keywords: []string{"kw"}}}
		_, err := tx.SetFlags(r.id(name), []uint32{1, 3}, c, -1)
		return err
	}))
}

// verify checks the data directory, which is not open.
func (r *fileRun) verify() []Problem {
	r.t.Helper()
	rep, err := Verify(ctx, r.opts.Dir, VerifyOptions{})
	tcheck(r.t, err)
	return rep.Problems
}

func TestIndexesAreReadFromFilesAfterARestart(t *testing.T) {
	t.Parallel()
	r := newFileRun(t)
	for i := range 3 {
		r.open()
		r.wantFiles(fmt.Sprintf("restart %d", i), "Archive Inbox")
		if r.a.fileIndex(r.id(imap.Inbox)) == nil || r.a.fileIndex(r.id("Drafts")) != nil {
			t.Error("not what is in files")
		}
		if i == 1 { // Otherwise nobody looks.
			r.index(imap.Inbox)
			r.index("Archive")
		}
		r.wantFiles("after reading", "Archive Inbox")
		r.close()
	}
	// Looking is a commit, so that the files are of no use any more.
	if l := r.verify(); len(l) > 0 {
		t.Errorf("%v", l)
	}
	r.open()
	r.wantFiles("after verifying", "")
	if _, err := os.Stat(r.path(indexDirName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("files of no use are not removed: %v", err)
	}
	r.index(imap.Inbox)
}

// openedFS tells which files are opened.
type openedFS struct {
	safefile.FS
	opened chan string
}

func (f openedFS) OpenFile(name string, flag int, perm fs.FileMode) (safefile.File, error) {
	f.opened <- filepath.Base(name)
	return f.FS.OpenFile(name, flag, perm)
}

func TestAnIndexThatIsExpectedIsReadFromItsFile(t *testing.T) {
	t.Parallel()
	r := newFileRun(t)
	r.open()
	inbox, others := filepath.Base(r.a.indexPath(r.id(imap.Inbox))), []string{}
	for _, name := range []string{"Drafts", "Archive"} {
		others = append(others, filepath.Base(r.a.indexPath(r.id(name))))
	}
	f := openedFS{r.s.fs, make(chan string, 100)}
	r.s.fs = f
	r.a.Expect("Drafts") // Has none.
	r.a.Expect("no mailbox")
	r.a.Expect(imap.Inbox)
	r.a.Expect(imap.Inbox) // Is there.
	r.index(imap.Inbox)
	r.close()
	close(f.opened)
	var got []string
	for name := range f.opened {
		if name == inbox || slices.Contains(others, name) {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, []string{inbox}) {
		t.Errorf("%q were opened, want %q once", got, inbox)
	}
}

func TestAChangeMakesTheFileOfItsMailboxUseless(t *testing.T) {
	t.Parallel()
	inbox := []uint32{1, 2}
	update := func(fn func(r *fileRun, tx *Tx) error) func(r *fileRun) {
		return func(r *fileRun) { tcheck(r.t, r.a.Update(ctx, func(tx *Tx) error { return fn(r, tx) })) }
	}
	for what, tc := range map[string]struct {
		change func(r *fileRun)
		want   string // What is left.
	}{
		"flags": {func(r *fileRun) { r.flag(imap.Inbox) }, "Archive"},
		"append": {func(r *fileRun) {
			_, err := r.a.Append(ctx, newMessage(r.t, r.a, testMessage(9)))
			tcheck(r.t, err)
		}, "Archive"},
		"expunge": {update(func(r *fileRun, tx *Tx) error { _, err := tx.Expunge(r.id(imap.Inbox), inbox, false); return err }), "Archive"},
		"copy": {update(func(r *fileRun, tx *Tx) error {
			_, err := tx.Copy(r.id(imap.Inbox), inbox, r.id("Archive"))
			return err
		}), "Inbox"},
		"move": {update(func(r *fileRun, tx *Tx) error {
			_, err := tx.Move(r.id(imap.Inbox), inbox, r.id("Archive"))
			return err
		}), ""},
		"uidvalidity": {update(func(r *fileRun, tx *Tx) error { return tx.BumpUIDValidity(r.id("Archive")) }), "Inbox"},
		"rename":      {update(func(r *fileRun, tx *Tx) error { return tx.RenameMailbox(r.id("Archive"), "Other") }), "Inbox"},
		"delete":      {update(func(r *fileRun, tx *Tx) error { return tx.DeleteMailbox(r.id("Archive")) }), "Inbox"},
		"of another":  {func(r *fileRun) { r.flag("Drafts") }, "Archive Inbox"},
		"subscribe":   {update(func(r *fileRun, tx *Tx) error { return tx.Subscribe("Else") }), "Archive Inbox"},
		"one that is undone": {func(r *fileRun) {
			err := r.a.Update(ctx, func(tx *Tx) error {
				if _, err := tx.Expunge(r.id(imap.Inbox), inbox, false); err != nil {
					return err
				}
				return ErrNoMessage
			})
			if !errors.Is(err, ErrNoMessage) {
				r.t.Error(err)
			}
		}, "Archive Inbox"},
	} {
		for _, load := range []string{"not loaded", "loaded", "loaded after"} {
			t.Run(what+", "+load, func(t *testing.T) {
				t.Parallel()
				r := newFileRun(t)
				r.open()
				all := func() {
					for _, mb := range r.a.Tree().Mailboxes() {
						r.index(mb.Name)
					}
				}
				if load == "loaded" {
					all()
				}
				tc.change(r)
				r.wantFiles("after the change", tc.want)
				if load == "loaded after" {
					all()
				}
				var filled []string
				for _, mb := range r.a.Tree().Mailboxes() {
					if mb.Messages > 0 {
						filled = append(filled, mb.Name)
					}
				}
				r.close()
				r.open()
				if load == "not loaded" {
					r.wantFiles("after a restart", tc.want)
				} else {
					r.wantFiles("after a restart", strings.Join(slices.Sorted(slices.Values(filled)), " "))
				}
				if l, err := os.ReadDir(r.path(indexDirName)); len(r.a.files) > 0 && (err != nil || len(l) != 1+len(r.a.files)) {
					t.Errorf("%d files and a list, but there are %v, %v", len(r.a.files), l, err)
				}
				all()
				r.close()
				if l := r.verify(); len(l) > 0 {
					t.Errorf("%v", l)
				}
			})
		}
	}
}

func TestFilesOfAnotherStateOfTheDatabaseAreNotUsed(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(r *fileRun){
		"a commit of another program": func(r *fileRun) {
			db, err := bolt.Open(r.path(dbName), 0660, nil)
			tcheck(r.t, err)
			tcheck(r.t, errors.Join(db.Update(func(*bolt.Tx) error { return nil }), db.Close()))
		},
		"an older database": func(r *fileRun) {
			tcheck(r.t, os.Link(r.path(dbName), r.path("kept")))
			b, err := os.ReadFile(r.path(dbName))
			tcheck(r.t, err)
			r.open()
			r.flag(imap.Inbox)
			r.index(imap.Inbox)
			r.close()
			tcheck(r.t, os.WriteFile(r.path(dbName), b, 0660))
		},
		"a newer database": func(r *fileRun) {
			tcheck(r.t, os.CopyFS(r.path("kept"), os.DirFS(r.path(indexDirName))))
			r.open()
			r.flag(imap.Inbox)
			r.index(imap.Inbox)
			r.close()
			tcheck(r.t, os.RemoveAll(r.path(indexDirName)))
			tcheck(r.t, os.Rename(r.path("kept"), r.path(indexDirName)))
		},
		"an end without closing": func(r *fileRun) {
			r.open()
			r.index(imap.Inbox)
			r.flag(imap.Inbox)
			b, err := os.ReadFile(r.path(dbName))
			tcheck(r.t, err)
			tcheck(r.t, os.CopyFS(r.path("kept"), os.DirFS(r.path(indexDirName))))
			r.close()
			tcheck(r.t, os.WriteFile(r.path(dbName), b, 0660))
			tcheck(r.t, os.RemoveAll(r.path(indexDirName)))
			tcheck(r.t, os.Rename(r.path("kept"), r.path(indexDirName)))
		},
		"a list that is cut": func(r *fileRun) { tcheck(r.t, os.Truncate(r.path(indexDirName, indexListName), 5)) },
		"an empty list":      func(r *fileRun) { tcheck(r.t, os.Truncate(r.path(indexDirName, indexListName), 0)) },
		"no list":            func(r *fileRun) { tcheck(r.t, os.Remove(r.path(indexDirName, indexListName))) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newFileRun(t)
			change(r)
			r.open()
			r.wantFiles(what, "")
			r.index(imap.Inbox)
			r.index("Archive")
			r.close()
			r.open()
			r.wantFiles("after that", "Archive Inbox")
			r.close()
			if l := r.verify(); len(l) > 0 {
				t.Errorf("%v", l)
			}
		})
	}
}

func TestAFileThatIsDamagedIsNotUsed(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(t *testing.T, path, other string){
		"cut":     func(t *testing.T, path, _ string) { tcheck(t, os.Truncate(path, 20)) },
		"empty":   func(t *testing.T, path, _ string) { tcheck(t, os.Truncate(path, 0)) },
		"gone":    func(t *testing.T, path, _ string) { tcheck(t, os.Remove(path)) },
		"another": func(t *testing.T, path, other string) { tcheck(t, os.Rename(other, path)) },
		"changed": func(t *testing.T, path, _ string) {
			b, err := os.ReadFile(path)
			tcheck(t, err)
			b[len(b)/2] ^= 0x10
			tcheck(t, os.WriteFile(path, b, 0660))
		},
		"of another state": func(t *testing.T, path, _ string) {
			b, err := os.ReadFile(path)
			tcheck(t, err)
			f, _, err := parseIndex(b)
			tcheck(t, err)
			mb := &Mailbox{ID: f.mailboxID, UIDValidity: f.uidValidity, UIDNext: f.uidNext, ModSeq: f.modSeq}
			f.chunks[0].flags[0] ^= imap.FlagFlagged
			tcheck(t, os.WriteFile(path, appendIndex(nil, mb, newIndex(mb, f.modSeq, f.chunks)), 0660))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newFileRun(t)
			r.open()
			inbox, archive := r.a.indexPath(r.id(imap.Inbox)), r.a.indexPath(r.id("Archive"))
			change(t, inbox, archive)
			r.wantFiles("before it is read", "Archive Inbox")
			r.index(imap.Inbox)
			r.index("Archive")
			if strings.Contains(r.files(), imap.Inbox) {
				t.Errorf("there are files for %q", r.files())
			}
			r.close()
			r.open()
			r.wantFiles("after that", "Archive Inbox")
			r.index(imap.Inbox)
		})
	}
}

func TestVerifyFindsAFileWithOtherMessages(t *testing.T) {
	t.Parallel()
	r := newFileRun(t)
	r.open()
	mb, _ := r.a.Tree().ByName(imap.Inbox)
	ix := r.index(imap.Inbox)
	ix.chunks[0].entries()[2].ContentID++ // Never do this.
	delete(r.a.files, mb.ID)
	r.close()
	l := r.verify()
	if len(l) != 1 || !strings.Contains(l[0].Text, "has other messages than the records") {
		t.Errorf("%v", l)
	}
}

func TestRepairsAndReopeningForgetFiles(t *testing.T) {
	t.Parallel()
	r := newFileRun(t)
	r.open()
	r.a.mu.Lock()
	r.a.failed = errors.New("injected")
	r.a.mu.Unlock()
	tcheck(t, r.a.reopen(ctx))
	r.wantFiles("after reopening", "")
	r.index(imap.Inbox)
	r.index("Archive")
	r.close()
	for _, kind := range []RepairKind{RepairUIDs, RepairUIDValidity} {
		r.open()
		r.wantFiles("before a repair", "Archive Inbox")
		r.a.Release()
		_, err := r.s.Repair(ctx, "mox", kind, imap.Inbox)
		tcheck(t, err)
		r.a, err = r.s.Account(ctx, "mox")
		tcheck(t, err)
		if strings.Contains(r.files(), imap.Inbox) {
			t.Errorf("%s: there are files for %q", kind, r.files())
		}
		r.index(imap.Inbox)
		r.index("Archive")
		r.close()
	}
	if l := r.verify(); len(l) > 0 {
		t.Errorf("%v", l)
	}
}

func TestAFailedAccountWritesNoFiles(t *testing.T) {
	t.Parallel()
	r := newFileRun(t)
	r.open()
	r.index(imap.Inbox)
	r.a.mu.Lock()
	r.a.failed = errors.New("injected")
	r.a.mu.Unlock()
	r.close()
	r.open()
	r.wantFiles("after a failure", "")
}

func TestSmallMailboxesHaveNoFile(t *testing.T) {
	t.Parallel()
	r := newFileRun(t, func(o *Options) { o.indexFileMessages = 6 })
	r.open()
	r.wantFiles("five messages", "")
	r.index(imap.Inbox)
	_, err := r.a.Append(ctx, newMessage(t, r.a, testMessage(6)))
	tcheck(t, err)
	r.close()
	r.open()
	r.wantFiles("six messages", "Inbox")
}

// What fails while files are written costs files only.
func TestFailuresWhileFilesAreWritten(t *testing.T) {
	t.Parallel()
	faults := testkit.NewFaults(nil)
	r := newFileRun(t, func(o *Options) { o.FS = faults })
	for k := 1; k < 12; k++ {
		r.open()
		r.index("Archive")
		r.index(imap.Inbox)
		r.flag(imap.Inbox)
		faults.FailAt(k, []error{testkit.ErrIO, testkit.ErrNoSpace}[k%2], testkit.Mutations()...)
		r.close()
		faults.Clear()
		r.open()
		r.index(imap.Inbox)
		r.index("Archive")
		r.close()
		if l := r.verify(); len(l) > 0 {
			t.Fatalf("failure %d: %v", k, l)
		}
	}
}

// Indexes that do not fit in memory are read from files again, as long as nothing changes.
func TestRandomOperationsWithLittleMemoryMatchAModel(t *testing.T) {
	t.Parallel()
	r := newModelRun(t, 200, func(o *Options) { o.IndexMemory = 1 })
	for i := range 250 {
		want, what, err := r.step()
		tcheck(t, err)
		r.m = want
		r.compare(what)
		if i%15 == 14 {
			r.reopen()
		}
	}
	r.reopen()
	r.readAll()
}
