package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mox/config/edit"
)

// setDescription is an edit.
func setDescription(text string) func(*edit.Doc, *Snapshot) error {
	return func(doc *edit.Doc, _ *Snapshot) error {
		return doc.Set(edit.At("Accounts", "ann", "Description"), text)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEditIsWrittenAndInUseAtOnce(t *testing.T) {
	t.Parallel()
	h, path, _ := testHolder(t)
	if err := os.Chmod(path, 0640); err != nil {
		t.Fatal(err)
	}
	if err := h.Edit(setDescription("some text")); err != nil {
		t.Fatal(err)
	}
	s := h.current.Load()
	if a, _ := s.Account("ann"); a.Description != "some text" {
		t.Errorf("account is %+v", a)
	}
	if got := content(t, path); strings.Replace(got, "\t\tDescription: some text\n", "", 1) != testDynamic {
		t.Errorf("file is:\n%s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0640 || !unchanged(info, h.info) {
		t.Errorf("info of file: %v, %v", info, err)
	}
	before, _ := os.Stat(path)
	if err := h.Edit(setDescription("some text")); err != nil || h.current.Load() != s {
		t.Errorf("edit without a change: %v", err)
	}
	if after, _ := os.Stat(path); !unchanged(before, after) {
		t.Errorf("file was written without a change")
	}
	if l, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(l) > 0 {
		t.Errorf("files are left: %q", l)
	}
}

func TestEditThatMakesTheConfigurationWrongIsNotWritten(t *testing.T) {
	t.Parallel()
	h, path, _ := testHolder(t)
	old := h.Snapshot()
	err := h.Edit(func(doc *edit.Doc, _ *Snapshot) error {
		return errors.Join(
			doc.Set(edit.At("Accounts", "ann", "Domain"), "other.example"),
			doc.Set(edit.At("Accounts", "ann", "QuotaMessageSize"), int64(5)),
			doc.Set(edit.At("Accounts", "ann", "MaxOutgoingMessagesPerDay"), -1))
	})
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 2 || errs[0].Line != 0 || errs[0].File != "" {
		t.Errorf("got error %v", err)
	}
	want := errors.New("no")
	if err := h.Edit(func(doc *edit.Doc, s *Snapshot) error { return errors.Join(setDescription("x")(doc, s), want) }); !errors.Is(err, want) {
		t.Errorf("got error %v", err)
	}
	if content(t, path) != testDynamic || h.Snapshot() != old {
		t.Errorf("file or configuration has changed")
	}
	if err := NewHolder(old).Edit(setDescription("x")); !errors.Is(err, ErrNotFile) {
		t.Errorf("edit without a file: %v", err)
	}
}

func TestEditKeepsWhatWasChangedByHand(t *testing.T) {
	t.Parallel()
	h, path, _ := testHolder(t)
	byHand := testDynamic + "# By hand.\n"
	write(t, path, byHand)
	if err := h.Edit(setDescription("x")); err != nil || !strings.Contains(content(t, path), "# By hand.") {
		t.Errorf("%v, file is:\n%s", err, content(t, path))
	}
	// While the edit is made.
	err := h.Edit(func(doc *edit.Doc, s *Snapshot) error {
		write(t, path, byHand)
		return setDescription("y")(doc, s)
	})
	if !errors.Is(err, ErrChanged) || content(t, path) != byHand {
		t.Errorf("%v, file is:\n%s", err, content(t, path))
	}
	write(t, path, byHand+"Domain: x\n")
	if err := h.Edit(setDescription("z")); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "domains.conf:") {
		t.Errorf("got error %v", err)
	}
	if l, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(l) > 0 {
		t.Errorf("files are left: %q", l)
	}
}

func TestEditFollowsSymbolicLinks(t *testing.T) {
	t.Parallel()
	h, path, _ := testHolder(t)
	other := filepath.Join(t.TempDir(), "other.conf")
	if err := errors.Join(os.Rename(path, other), os.Symlink(other, path)); err != nil {
		t.Fatal(err)
	}
	if err := h.Edit(setDescription("linked")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 || !strings.Contains(content(t, other), "linked") {
		t.Errorf("%v, %v, file is:\n%s", info, err, content(t, other))
	}
}

func TestEditsAtTheSameTimeAreAllMade(t *testing.T) {
	t.Parallel()
	h, path, logged := testHolder(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := h.Edit(func(doc *edit.Doc, _ *Snapshot) error {
				return doc.Set(edit.At("Domains", fmt.Sprintf("d%d.example", i)), DomainFields{})
			})
			if err != nil {
				t.Error(err)
			}
			h.Snapshot()
		})
	}
	wg.Wait()
	for i := range 8 {
		if s := h.Snapshot(); s.Dynamic.Domains[fmt.Sprintf("d%d.example", i)].Disabled || !strings.Contains(content(t, path), fmt.Sprintf("d%d.example: nil", i)) {
			t.Errorf("domain %d is missing", i)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !unchanged(info, h.info) || strings.Contains(logged.String(), "reloaded") {
		t.Errorf("own edits are read again:\n%s", logged)
	}
}
