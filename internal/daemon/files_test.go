package daemon

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/config"
	"mox/mlog"
)

func TestUnwritableDataDirectoryIsExplained(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err     error
		advised bool
	}{
		{&fs.PathError{Op: "open", Path: "/data/lock", Err: syscall.EROFS}, true},
		{&fs.PathError{Op: "mkdir", Path: "/data", Err: syscall.EACCES}, true},
		{&fs.PathError{Op: "mkdir", Path: "/data", Err: syscall.ENOSPC}, false},
	} {
		err := adviseWritable("/data", tc.err)
		if !errors.Is(err, tc.err) || strings.Contains(err.Error(), "/data must be writable") != tc.advised {
			t.Errorf("%v: got %v", tc.err, err)
		}
	}
}

func TestInitLocalserveMakesACompleteDirectory(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	for _, name := range []string{"mox.conf", "domains.conf", "localhost.crt", "localhost.key", "data/accounts/mox/index.db"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	s, err := config.Load(filepath.Join(dir, "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CheckFiles(); err != nil {
		t.Error(err)
	}
	want := map[string]int{"SMTP": 1025, "Submission": 1587, "Submissions": 1465, "IMAP": 1143, "IMAPS": 1993, "HTTP": 1080, "HTTPS": 1443, "MetricsHTTP": 1081}
	for _, service := range s.Listeners[0].Services() {
		if want[service.Name] != service.Port {
			t.Errorf("%s: got port %d, expected %d", service.Name, service.Port, want[service.Name])
		}
		delete(want, service.Name)
	}
	if len(want) > 0 {
		t.Errorf("services not enabled: %v", want)
	}
	if ip := s.Listeners[0].IPs[0]; !ip.IsLoopback() {
		t.Errorf("listens on %s", ip)
	}
}

func TestInitLocalserveListensOnGivenAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // Is there and empty.
	if err := InitLocalserve(t.Context(), LocalserveOptions{Dir: dir, IP: netip.MustParseAddr("127.0.0.2"), Log: mlog.Discard()}); err != nil {
		t.Fatal(err)
	}
	s, err := config.Load(filepath.Join(dir, "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Listeners[0].IPs; len(got) != 1 || got[0].String() != "127.0.0.2" {
		t.Errorf("got %v", got)
	}
}

func TestInitLocalserveLeavesFilesOfOthersAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(path, []byte("text"), 0600); err != nil {
		t.Fatal(err)
	}
	err := InitLocalserve(t.Context(), LocalserveOptions{Dir: dir, Log: mlog.Discard()})
	if err == nil || !strings.Contains(err.Error(), "has files in it") {
		t.Fatalf("got error %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("directory has %v, %v", entries, err)
	}
}

func TestInitLocalserveThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, exists := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "mox")
		if exists {
			if err := os.Mkdir(dir, 0700); err != nil {
				t.Fatal(err)
			}
		}
		// An address with a zone is none for a configuration file.
		opts := LocalserveOptions{Dir: dir, IP: netip.MustParseAddr("::1").WithZone("x\ny"), Log: mlog.Discard()}
		if err := InitLocalserve(t.Context(), opts); err == nil {
			t.Fatal("no error")
		}
		entries, err := os.ReadDir(dir)
		if exists && (err != nil || len(entries) > 0) || !exists && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("exists %v: directory has %v, error %v", exists, entries, err)
		}
	}
}

func TestOldTemporaryFilesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": staleAge + time.Minute, "new": staleAge - time.Minute} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	sub := filepath.Join(dir, "directory")
	if err := os.Mkdir(sub, 0700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(sub, now.Add(-2*staleAge), now.Add(-2*staleAge)); err != nil {
		t.Fatal(err)
	}
	removeStale(dir, mlog.Discard())
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != "directory" || entries[1].Name() != "new" {
		t.Fatalf("left are %v, %v", entries, err)
	}
	removeStale(filepath.Join(dir, "none"), mlog.Discard()) // Only logs.
}

func TestKeyForConnectionIDsIsKeptAndReplacedIfDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := func() string {
		t.Helper()
		c, err := cidCipher(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c.Encode(1)
	}
	first := id()
	if again := id(); again != first {
		t.Errorf("key was not kept")
	}
	path := filepath.Join(dir, cidKeyName)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0640 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short"), 0640); err != nil {
		t.Fatal(err)
	}
	if again := id(); again == first {
		t.Errorf("damaged key was used")
	}
	if _, err := cidCipher(filepath.Join(dir, "none")); err == nil {
		t.Errorf("no error for directory that does not exist")
	}
}
