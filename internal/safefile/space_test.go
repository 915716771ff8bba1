package safefile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/safefile"
)

func TestFreeSpaceIsThatOfTheFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, err := safefile.FreeSpace(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("free space is not known on this system")
	}
	if err != nil || n <= 0 {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := safefile.FreeSpace(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent path: %v", err)
	}
}

func TestFloorKeepsSpaceFree(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		free, min, need int64
		ok              bool
	}{
		{1000, 1000, 0, true},
		{999, 1000, 0, false},
		{1100, 1000, 100, true},
		{1100, 1000, 101, false},
		{0, -1, 1 << 40, true},
		{safefile.DefaultFloor, 0, 0, true},
		{safefile.DefaultFloor - 1, 0, 0, false},
	} {
		f := safefile.NewFloor(safefile.FloorOptions{
			Path:      "/data",
			Min:       tc.min,
			FreeSpace: func(string) (int64, error) { return tc.free, nil },
		})
		err := f.Check(tc.need)
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, safefile.ErrNoSpace) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

func TestFloorMeasuresOncePerCacheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		free := int64(1000)
		var ferr error
		f := safefile.NewFloor(safefile.FloorOptions{Path: "p", Min: 500, FreeSpace: func(path string) (int64, error) {
			calls++
			return free, ferr
		}})
		check := func(want error, wantCalls int) {
			t.Helper()
			if err := f.Check(0); !errors.Is(err, want) || calls != wantCalls {
				t.Errorf("got %v after %d calls, want %v after %d", err, calls, want, wantCalls)
			}
		}
		check(nil, 1)
		free = 100
		check(nil, 1)
		time.Sleep(safefile.FloorCacheTime)
		check(safefile.ErrNoSpace, 2)
		check(safefile.ErrNoSpace, 2)
		ferr = fs.ErrNotExist
		time.Sleep(safefile.FloorCacheTime)
		check(fs.ErrNotExist, 3)
		ferr = errors.ErrUnsupported
		time.Sleep(safefile.FloorCacheTime)
		check(nil, 4)
	})
}

func TestNoSpaceHasSeveralNames(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		safefile.ErrNoSpace,
		fmt.Errorf("x: %w", safefile.ErrNoSpace),
		&os.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC},
		syscall.EDQUOT,
	} {
		if !safefile.IsNoSpace(err) {
			t.Errorf("%v is not", err)
		}
	}
	for _, err := range []error{nil, fs.ErrNotExist, syscall.EIO} {
		if safefile.IsNoSpace(err) {
			t.Errorf("%v is", err)
		}
	}
}

// lockHelper makes the test binary lock a directory and wait until its standard
// input ends.
const lockHelper = "SAFEFILE_TEST_LOCK"

func TestMain(m *testing.M) {
	dir := os.Getenv(lockHelper)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := safefile.LockDir(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("locked")
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

func TestLockKeepsOthersOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := safefile.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = safefile.LockDir(dir)
	if want := fmt.Sprintf("process %d", os.Getpid()); !errors.Is(err, safefile.ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("second lock: %v, want %s", err, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = safefile.LockDir(dir); err != nil {
		t.Fatalf("after it was given back: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := safefile.LockDir(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
}

func TestLockEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), lockHelper+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 7)
	if _, err := out.Read(buf); err != nil || string(buf) != "locked\n" {
		t.Fatalf("helper wrote %q, %v", buf, err)
	}
	_, err = safefile.LockDir(dir)
	if want := fmt.Sprintf("process %d", cmd.Process.Pid); !errors.Is(err, safefile.ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("lock that another process has: %v, want %s", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // Says that it was killed.
	_ = in.Close()
	l, err := safefile.LockDir(dir)
	if err != nil {
		t.Fatalf("after the process was killed: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
