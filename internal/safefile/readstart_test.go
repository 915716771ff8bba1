package safefile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/safefile"
	"mox/internal/testkit"
)

func TestTheBeginningOfAFileIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	text := strings.Repeat("0123456789", 10_000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []safefile.FS{safefile.OS, testkit.NewFaults(nil)} {
		for size, wantErr := range map[int]error{0: nil, 1: nil, len(text) - 1: nil, len(text): nil, len(text) + 1: io.EOF, 2 * len(text): io.EOF} {
			b := make([]byte, size)
			n, err := f.ReadStart(path, b)
			if want := text[:min(size, len(text))]; string(b[:n]) != want || !errors.Is(err, wantErr) || err != nil && wantErr == nil {
				t.Errorf("%d octets: %d were read, %v", size, n, err)
			}
		}
		var pe *fs.PathError
		if n, err := f.ReadStart(filepath.Join(dir, "other"), make([]byte, 1)); n != 0 || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &pe) {
			t.Errorf("a file that does not exist: %d, %v", n, err)
		}
		if n, err := f.ReadStart(dir, make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("a directory: %d, %v", n, err)
		}
	}
	faults := testkit.NewFaults(nil)
	faults.FailAt(1, testkit.ErrIO, testkit.OpOpen)
	if _, err := faults.ReadStart(path, make([]byte, 1)); !errors.Is(err, testkit.ErrIO) {
		t.Errorf("injected: %v", err)
	}
}

func BenchmarkReadStart(b *testing.B) {
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096)
	for b.Loop() {
		if _, err := safefile.OS.ReadStart(path, buf); err != nil {
			b.Fatal(err)
		}
	}
}
