package config

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// testHolder opens the test configuration in a new directory, and returns what is
// logged.
func testHolder(t *testing.T) (h *Holder, dynamic string, logged *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	dynamic = filepath.Join(dir, DynamicName)
	write(t, filepath.Join(dir, StaticName), testStatic)
	write(t, dynamic, testDynamic)
	logged = &bytes.Buffer{}
	h, err := Open(filepath.Join(dir, StaticName), slog.New(slog.NewTextHandler(logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return h, dynamic, logged
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0600); err != nil {
		t.Fatal(err)
	}
}

// owner returns the account of an address in the current snapshot.
func owner(t *testing.T, h *Holder, addr string) string {
	t.Helper()
	a, _ := h.Snapshot().LoginAccount(parseAddress(t, addr))
	return a.Name
}

func TestHolderReloadsChangedDomains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, path, logged := testHolder(t)
		old := h.Snapshot()
		write(t, path, change(t, testDynamic, "\t\t\tann@example.org: nil\n", "\t\t\tann@example.org: nil\n\t\t\tanna@example.org: nil\n"))
		time.Sleep(ReloadInterval - 1)
		if h.Snapshot() != old {
			t.Fatalf("looked at file again before %s passed", ReloadInterval)
		}
		time.Sleep(time.Nanosecond)
		if got := owner(t, h, "anna@example.org"); got != "ann" {
			t.Fatalf("got account %q for new address, log:\n%s", got, logged)
		}
		if _, ok := old.LoginAccount(parseAddress(t, "anna@example.org")); ok {
			t.Fatalf("previous snapshot was changed")
		}
		if !strings.Contains(logged.String(), "reloaded domains.conf") {
			t.Fatalf("no line about reload in:\n%s", logged)
		}
	})
}

func TestHolderWaitsUntilNobodyWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, path, logged := testHolder(t)
		old := h.Snapshot()
		writeNow := func(data string) {
			t.Helper()
			write(t, path, data)
			if err := os.Chtimes(path, time.Time{}, time.Now()); err != nil { // By the clock of the test.
				t.Fatal(err)
			}
		}
		complete := change(t, testDynamic, "\t\t\tann@example.org: nil\n", "\t\t\tann@example.org: nil\n\t\t\tanna@example.org: nil\n")
		time.Sleep(ReloadInterval - settleTime + 1)
		writeNow("Domains: nil\nAccounts: nil\n")
		time.Sleep(settleTime - 1)
		if h.Snapshot() != old {
			t.Fatal("read a file that was written a moment ago")
		}
		writeNow(complete)
		time.Sleep(ReloadInterval)
		if got := owner(t, h, "anna@example.org"); got != "ann" || strings.Contains(logged.String(), "accounts=0") {
			t.Fatalf("got account %q for new address, log:\n%s", got, logged)
		}
		writeNow(testDynamic)
		if err := h.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := owner(t, h, "anna@example.org"); got != "" {
			t.Error("a reload that was asked for did not read the file")
		}
	})
}

func TestHolderTellsOfEachChange(t *testing.T) {
	t.Parallel()
	h, path, _ := testHolder(t)
	told := func(changed <-chan struct{}) bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	changed := h.Changed()
	write(t, path, "Domains\n")
	if err := h.Reload(); err == nil || told(changed) {
		t.Errorf("domains.conf with errors: %v, told %v", err, told(changed))
	}
	write(t, path, testDynamic)
	if err := h.Reload(); err != nil || !told(changed) {
		t.Errorf("reload: %v, told %v", err, told(changed))
	}
	if changed = h.Changed(); told(changed) {
		t.Error("told before it has changed again")
	}
	if err := h.Edit(setDescription("x")); err != nil || !told(changed) {
		t.Errorf("edit: %v, told %v", err, told(changed))
	}
}

func TestHolderKeepsSnapshotWhenNewDomainsAreWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, path string){
		"syntax":  func(t *testing.T, path string) { write(t, path, "Domains\n") },
		"meaning": func(t *testing.T, path string) { write(t, path, strings.Replace(testDynamic, "bob.s@", "ann@", 1)) },
		"postmaster removed": func(t *testing.T, path string) {
			write(t, path, "Domains:\n\ta.example: nil\nAccounts:\n\teve:\n\t\tDomain: a.example\n")
		},
		"file removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"not a file": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0700); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, path, logged := testHolder(t)
				old := h.Snapshot()
				damage(t, path)
				for range 3 {
					time.Sleep(ReloadInterval)
					if h.Snapshot() != old {
						t.Fatalf("snapshot was replaced")
					}
				}
				if n := strings.Count(logged.String(), "previous configuration stays in use"); n != 1 {
					t.Fatalf("error was logged %d times:\n%s", n, logged)
				}
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				write(t, path, testDynamic+"# Repaired.\n")
				time.Sleep(ReloadInterval)
				if h.Snapshot() == old {
					t.Fatalf("repaired file was not read, log:\n%s", logged)
				}
			})
		})
	}
}

func TestHolderNoticesFileOfSameSizeInPlaceOfOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, path, _ := testHolder(t)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path+".new", change(t, testDynamic, "\t\t\tann@example.org: nil\n", "\t\t\teve@example.org: nil\n"))
		if err := os.Chtimes(path+".new", info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ReloadInterval)
		if got := owner(t, h, "eve@example.org"); got != "ann" {
			t.Fatalf("got account %q for new address", got)
		}
	})
}

func TestHolderIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, path, _ := testHolder(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					time.Sleep(ReloadInterval / 5)
					if h.Snapshot().Accounts() < 2 {
						t.Error("incomplete snapshot")
					}
				}
			})
		}
		for i := range 5 {
			time.Sleep(2 * ReloadInterval)
			write(t, path, testDynamic+strings.Repeat("#\n", i))
		}
		wg.Wait()
	})
}

func TestHolderOfFixedSnapshotNeverChanges(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	if NewHolder(s).Snapshot() != s {
		t.Fatal("got another snapshot")
	}
}
