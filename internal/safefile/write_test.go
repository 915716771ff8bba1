package safefile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mox/internal/safefile"
	"mox/internal/testkit"
)

// content returns the content of a file, or "absent".
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// names returns what is in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	l, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range l {
		s = append(s, e.Name())
	}
	return s
}

// ops returns the kinds of operations that were done.
func ops(f *testkit.Faults) string {
	var l []string
	for _, e := range f.Events() {
		l = append(l, string(e.Op))
	}
	return strings.Join(l, " ")
}

func TestWriteFileReplacesContent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for _, s := range []string{"first", "second, longer", ""} {
		if err := safefile.WriteFile(path, []byte(s), 0640); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != s {
			t.Errorf("got %q, want %q", got, s)
		}
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != 0640 {
			t.Errorf("permissions %v, %v", fi.Mode(), err)
		}
	}
	if l := names(t, filepath.Dir(path)); !slices.Equal(l, []string{"f"}) {
		t.Errorf("left behind: %v", l)
	}
	if err := safefile.WriteFile(filepath.Join(t.TempDir(), "no", "f"), nil, 0600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory that is absent: %v", err)
	}
}

func TestWriteFileSyncsBeforeRenameAndDirectoryAfter(t *testing.T) {
	t.Parallel()
	f := testkit.NewFaults(nil)
	if err := safefile.WriteFileFS(f, filepath.Join(t.TempDir(), "f"), []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	if got, want := ops(f), "create write sync close rename syncdir"; got != want {
		t.Errorf("operations are %q, want %q", got, want)
	}
}

func TestFailedWriteFileLeavesOldOrNewContent(t *testing.T) {
	t.Parallel()
	for k := 1; k <= 6; k++ {
		for _, injected := range []error{testkit.ErrIO, testkit.ErrNoSpace} {
			path := filepath.Join(t.TempDir(), "f")
			if err := safefile.WriteFile(path, []byte("old"), 0600); err != nil {
				t.Fatal(err)
			}
			f := testkit.NewFaults(nil)
			f.FailAt(k, injected)
			err := safefile.WriteFileFS(f, path, []byte("new"), 0600)
			if !errors.Is(err, injected) {
				t.Errorf("operation %d: error %v", k, err)
			}
			want := "old"
			if k == 6 { // The directory could not be synced: renamed, and maybe not durable.
				want = "new"
			}
			if got := content(t, path); got != want {
				t.Errorf("operation %d: content %q, want %q", k, got, want)
			}
			if l := names(t, filepath.Dir(path)); !slices.Equal(l, []string{"f"}) {
				t.Errorf("operation %d: left behind: %v", k, l)
			}
		}
	}
}

func TestCreateExclNeverOverwrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := safefile.CreateExcl(path, []byte("one"), 0600); err != nil {
		t.Fatal(err)
	}
	if err := safefile.CreateExcl(path, []byte("two"), 0600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second time: %v", err)
	}
	if got := content(t, path); got != "one" {
		t.Errorf("content %q", got)
	}
	f := testkit.NewFaults(nil)
	if err := safefile.CreateExclFS(f, path+"2", []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	if got, want := ops(f), "create write sync close"; got != want {
		t.Errorf("operations are %q, want %q", got, want)
	}
	for k := 1; k <= 4; k++ {
		f.Clear()
		f.FailAt(k, testkit.ErrIO)
		if err := safefile.CreateExclFS(f, path+"3", []byte("x"), 0600); !errors.Is(err, testkit.ErrIO) {
			t.Errorf("operation %d: %v", k, err)
		}
		if got := content(t, path+"3"); got != "absent" {
			t.Errorf("operation %d: file with %q left behind", k, got)
		}
	}
}

// noLinks is a file system on which links fail.
type noLinks struct {
	safefile.FS
	err error
}

func (n noLinks) Link(oldname, newname string) error {
	return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: n.err}
}

func TestLinkOrCopyLinksWhereItCan(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{"src": "content"})
	src := filepath.Join(dir, "src")
	for i, tc := range []struct {
		fsys   safefile.FS
		sync   bool
		linked bool
		ops    string
	}{
		{safefile.OS, true, true, "open link sync close"},
		{safefile.OS, false, true, "open link close"},
		{noLinks{safefile.OS, crossDevice}, true, false, "open link create write sync close close"},
		{noLinks{safefile.OS, errors.ErrUnsupported}, false, false, "open link create write close close"},
	} {
		dst := filepath.Join(dir, fmt.Sprint("dst", i))
		f := testkit.NewFaults(tc.fsys)
		if err := safefile.LinkOrCopyFS(f, dst, src, tc.sync); err != nil {
			t.Fatal(err)
		}
		if got := ops(f); got != tc.ops {
			t.Errorf("operations are %q, want %q", got, tc.ops)
		}
		if got := content(t, dst); got != "content" {
			t.Errorf("content %q", got)
		}
		a, err1 := os.Stat(src)
		b, err2 := os.Stat(dst)
		if err1 != nil || err2 != nil || os.SameFile(a, b) != tc.linked {
			t.Errorf("%v, %v, same file: %v, want %v", err1, err2, os.SameFile(a, b), tc.linked)
		}
		if err := safefile.LinkOrCopyFS(tc.fsys, dst, src, tc.sync); tc.linked && !errors.Is(err, fs.ErrExist) {
			t.Errorf("destination that exists: %v", err)
		}
	}
	if err := safefile.LinkOrCopy(filepath.Join(dir, "x"), filepath.Join(dir, "absent"), true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent source: %v", err)
	}
	if err := safefile.LinkOrCopyFS(noLinks{safefile.OS, testkit.ErrIO}, filepath.Join(dir, "x"), src, true); !errors.Is(err, testkit.ErrIO) {
		t.Errorf("link that fails: %v", err)
	}
}

func TestFailedLinkOrCopyLeavesNoFile(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{"src": "content"})
	dst := filepath.Join(dir, "dst")
	for _, fsys := range []safefile.FS{safefile.OS, noLinks{safefile.OS, crossDevice}} {
		for _, op := range []testkit.Op{testkit.OpLink, testkit.OpCreate, testkit.OpWrite, testkit.OpSync} {
			f := testkit.NewFaults(fsys)
			f.FailAt(1, testkit.ErrNoSpace, op)
			err := safefile.LinkOrCopyFS(f, dst, filepath.Join(dir, "src"), true)
			if err == nil { // The operation is not part of this way.
				if err := os.Remove(dst); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if !safefile.IsNoSpace(err) || content(t, dst) != "absent" {
				t.Errorf("%s: %v, content %q", op, err, content(t, dst))
			}
		}
	}
}

func TestSyncDirNeedsADirectory(t *testing.T) {
	t.Parallel()
	if err := safefile.SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := safefile.SyncDir(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
}

func TestOSIsTheRealFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(n string) string { return filepath.Join(dir, filepath.FromSlash(n)) }
	fsys := safefile.OS
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	check(fsys.Mkdir(path("a"), 0700))
	check(fsys.MkdirAll(path("b/c"), 0700))
	f, err := fsys.CreateExcl(path("a/f"), 0600)
	if err != nil {
		t.Fatal(err)
	}
	check(f.Close())
	check(fsys.Link(path("a/f"), path("b/c/g")))
	check(fsys.Rename(path("a/f"), path("a/h")))
	if fi, err := fsys.Stat(path("a/h")); err != nil || fi.Mode() != 0600 {
		t.Errorf("got %v, %v", fi, err)
	}
	if l, err := fsys.ReadDir(path("b/c")); err != nil || len(l) != 1 || l[0].Name() != "g" {
		t.Errorf("got %v, %v", l, err)
	}
	check(fsys.RemoveAll(path("b")))
	check(fsys.Remove(path("a/h")))
	check(fsys.SyncDir(dir))
	if got := names(t, dir); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left: %v", got)
	}
	// An error has no file with it that could be taken for one.
	for _, open := range []func() (safefile.File, error){
		func() (safefile.File, error) { return fsys.OpenFile(path("x"), os.O_RDONLY, 0) },
		func() (safefile.File, error) { return fsys.CreateExcl(path("x/y"), 0600) },
		func() (safefile.File, error) { return fsys.CreateTemp(path("x"), "y") },
	} {
		if f, err := open(); f != nil || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, %v", f, err)
		}
	}
}
