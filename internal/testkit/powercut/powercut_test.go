//go:build linux

package powercut

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// tree returns the names and contents in a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		m[path[len(dir)+1:]] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func create(t *testing.T, path, data string, sync bool) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func syncDir(t *testing.T, path string) {
	t.Helper()
	d, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatWasSyncedSurvives(t *testing.T) {
	t.Parallel()
	r := Mount(t)
	sub := filepath.Join(r.Dir, "sub")
	if err := os.Mkdir(sub, 0755); err != nil {
		t.Fatal(err)
	}
	syncDir(t, r.Dir)
	f := create(t, filepath.Join(sub, "synced"), "one", true)
	create(t, filepath.Join(sub, "content-not-synced"), "two", false).Close()
	syncDir(t, sub)
	if _, err := f.WriteString(" more"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	create(t, filepath.Join(sub, "name-not-synced"), "three", true).Close()
	if err := os.Rename(filepath.Join(sub, "synced"), filepath.Join(sub, "renamed")); err != nil {
		t.Fatal(err)
	}
	r.Mark("done")

	p := r.Replay()
	marks, err := p.Advance(p.Len())
	if err != nil || len(marks) != 1 || marks[0] != "done" {
		t.Fatalf("marks %v, %v", marks, err)
	}
	for keep, want := range map[Keep]map[string]string{
		KeepNone: {"sub/synced": "one", "sub/content-not-synced": ""},
		KeepAll:  {"sub/renamed": "one more", "sub/content-not-synced": "two", "sub/name-not-synced": "three"},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := p.Build(dir, keep, nil); err != nil {
			t.Fatal(err)
		}
		got := tree(t, dir)
		if len(got) != len(want) {
			t.Errorf("keep %d: %q, expected %q", keep, got, want)
		}
		for name, data := range want {
			if got[name] != data {
				t.Errorf("keep %d: %s is %q, expected %q", keep, name, got[name], data)
			}
		}
	}
	for seed := range uint64(20) {
		if err := p.Build(filepath.Join(t.TempDir(), "d"), KeepSome, rand.New(rand.NewPCG(seed, 0))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInjectedFault(t *testing.T) {
	t.Parallel()
	r := Mount(t)
	r.FailAt(2, syscall.ENOSPC, OpWrite)
	f := create(t, filepath.Join(r.Dir, "f"), "one", false)
	if _, err := f.WriteString("two"); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("second write: %v", err)
	}
	r.FailAt(1, syscall.EIO, OpSync)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	r.FailAt(1, syscall.EIO, OpMkdir)
	r.Clear()
	if err := os.Mkdir(filepath.Join(r.Dir, "d"), 0755); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
