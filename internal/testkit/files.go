package testkit

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/safefile"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests got")

// Dir returns a new directory with files in it, by slash-separated path. It is
// removed when the test ends.
func Dir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0700); err != nil {
			t.Fatalf("creating directory: %v", err)
		}
		if err := os.WriteFile(path, []byte(content), 0600); err != nil {
			t.Fatalf("writing file: %v", err)
		}
	}
	return dir
}

// DataDir returns a new empty data directory with the permissions of a real one.
// Unlike t.TempDir it may be given to a process with another working directory: it
// is absolute, and has no symbolic links.
func DataDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatalf("resolving temporary directory: %v", err)
	}
	dir = filepath.Join(dir, "data")
	if err := os.Mkdir(dir, 0700); err != nil {
		t.Fatalf("creating data directory: %v", err)
	}
	return dir
}

// PublicDir returns a new directory that programs reach which give up the rights of root,
// with directories in it. It is removed when the test ends.
func PublicDir(t testing.TB, sub ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mox-test-")
	if err != nil {
		t.Fatalf("creating directory: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing directory: %v", err)
		}
	})
	for _, name := range append([]string{""}, sub...) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0755); err != nil {
			t.Fatalf("creating directory: %v", err)
		}
		if err := os.Chmod(path, 0755); err != nil { // Whatever the umask is.
			t.Fatalf("setting mode of directory: %v", err)
		}
	}
	return dir
}

// WriteFile writes a file that all may read.
func WriteFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0644); err != nil {
		t.Fatalf("writing file: %v", err)
	}
}

// ReadFile returns the content of a file.
func ReadFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading file: %v", err)
	}
	return b
}

// Spool returns a spool with a text, which has its file, if it is large, in a directory.
// It is closed when the test ends.
func Spool(t testing.TB, dir, text string) *safefile.Spool {
	t.Helper()
	s := safefile.NewSpool(safefile.SpoolOptions{Dir: dir})
	t.Cleanup(func() { s.Close() })
	if _, err := s.Write([]byte(text)); err != nil {
		t.Fatalf("writing spool: %v", err)
	}
	return s
}

// CloseVerified closes a database when the test ends, if the test has not, and fails the
// test if something is wrong with it then.
func CloseVerified(t testing.TB, db io.Closer, verify func() (problems []string, err error)) {
	t.Helper()
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
			t.Error(err)
		}
		if l, err := verify(); err != nil || len(l) > 0 {
			t.Errorf("verify: %v, %v", l, err)
		}
	})
}

// Golden compares got with the file at path. With the flag -update it writes the
// file instead. It is for output whose form is ours; what a protocol requires is
// written by hand from its RFC.
func Golden(t testing.TB, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0755); err != nil {
			t.Fatalf("creating directory for golden file: %v", err)
		}
		if err := os.WriteFile(path, got, 0644); err != nil {
			t.Fatalf("writing golden file: %v", err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading golden file (go test -update writes it): %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what the test got:\n%s", path, Diff(string(want), string(got)))
	}
}

// maxDiff is how many differing lines Diff shows.
const maxDiff = 40

// Diff returns the lines between the common start and the common end of two
// texts: first those of want with "-", then those of got with "+", with line
// numbers. Control characters are shown quoted.
func Diff(want, got string) string {
	w, g := strings.SplitAfter(want, "\n"), strings.SplitAfter(got, "\n")
	start := 0
	for start < len(w) && start < len(g) && w[start] == g[start] {
		start++
	}
	we, ge := len(w), len(g)
	for we > start && ge > start && w[we-1] == g[ge-1] {
		we--
		ge--
	}
	var b strings.Builder
	diffLines(&b, '-', w[start:we], start)
	diffLines(&b, '+', g[start:ge], start)
	return b.String()
}

func diffLines(b *strings.Builder, mark rune, lines []string, start int) {
	for i, l := range lines {
		if i == maxDiff {
			fmt.Fprintf(b, "%c ... %d more lines\n", mark, len(lines)-i)
			return
		}
		fmt.Fprintf(b, "%c %4d: %q\n", mark, start+i+1, l)
	}
}
