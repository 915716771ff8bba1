package http

import (
	"os"
	"strings"
	"testing"
)

func TestCopyIsNeverThatOfAnotherStateOfAFile(t *testing.T) {
	t.Parallel()
	k, path := testCopies(t, "first text")
	if got := copyText(t, k, path); got != "first text" {
		t.Fatalf("got %q", got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	same := func(want string) {
		t.Helper()
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if got := copyText(t, k, path); got != want {
			t.Errorf("got %q, not %q", got, want)
		}
	}
	// In place, and by another file, with the same time and size.
	replaceFile(t, path, "other text")
	same("other text")
	writeFile(t, path+".new", "third text")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	same("third text")
	// Shorter, and longer.
	for _, text := range []string{"short", strings.Repeat("long", 1000)} {
		writeFile(t, path, text)
		same(text)
	}
}
