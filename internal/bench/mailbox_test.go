package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
)

// fillBatch is how many messages are appended with one command.
const fillBatch = 200

// filled returns a copy of the directory of a server whose Inbox has n messages of the
// mix. The original stays for other runs, until what has made it changes. Files of
// messages, which are never changed, are links to those of the original.
func filled(t testing.TB, n int) string {
	t.Helper()
	dir, err := root()
	check(t, err)
	original := filepath.Join(dir, fmt.Sprintf("mox-%d-%s", n, maker(t)))
	if _, err := os.Stat(original); errors.Is(err, fs.ErrNotExist) {
		old, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("mox-%d-*", n)))
		check(t, err)
		for _, path := range old {
			discard(path)
		}
		fillOriginal(t, original, n)
	} else {
		check(t, err)
	}
	dir = filepath.Join(scratch(t, "filled"), "mox")
	check(t, clone(original, dir))
	return dir
}

// maker identifies the source that a filled mailbox depends on: of the packages that
// write it, and of the messages in it.
func maker(t testing.TB) string {
	t.Helper()
	files := []string{"mix_test.go"}
	for _, pkg := range []string{"store", "message", "queue/queuedb", "internal/fts", "internal/search/textindex"} {
		l, err := filepath.Glob(filepath.Join(testkit.Root(t), filepath.FromSlash(pkg), "*.go"))
		check(t, err)
		for _, path := range l {
			if !strings.HasSuffix(path, "_test.go") {
				files = append(files, path)
			}
		}
	}
	h := sha256.New()
	for _, path := range files {
		h.Write(testkit.ReadFile(t, path))
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// fillOriginal fills a new directory and gives it its name when it is complete.
func fillOriginal(t testing.TB, path string, n int) {
	t.Helper()
	dir := filepath.Join(scratch(t, "fill"), "mox")
	initDir(t, dir)
	s := start(t, dir)
	begin := time.Now()
	fillMailbox(t, dialIMAP(t, s.addrs["imap"]), n)
	waitIndexed(t, s, n)
	s.stop(t)
	check(t, os.Rename(dir, path))
	t.Logf("filled a mailbox with %d messages in %.0f s, kept in %s", n, time.Since(begin).Seconds(), path)
}

// waitIndexed waits until the text index of a new account has n messages.
func waitIndexed(t testing.TB, s *server, n int) {
	t.Helper()
	end := time.Now().Add(commandTimeout)
	for s.metrics(t)[`mox_search_index_messages_total{result="added"}`] < float64(n) {
		if time.Now().After(end) {
			t.Fatalf("messages are not indexed after %v", commandTimeout)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// fillMailbox appends n messages to Inbox.
func fillMailbox(t testing.TB, c *imapConn, n int) {
	t.Helper()
	for i := 0; i < n; i += fillBatch {
		msgs := make([]mixed, 0, fillBatch)
		for j := i; j < min(i+fillBatch, n); j++ {
			msgs = append(msgs, mix(j))
		}
		_, err := c.run(appendCommand("INBOX", msgs...), nil)
		check(t, err)
	}
}

// clone copies a directory of localserve.
func clone(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case !d.Type().IsRegular() || rel == "log":
			return nil
		case strings.Contains(filepath.ToSlash(rel), "/msg/"):
			return os.Link(path, target)
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) (rerr error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close() // It was only read.
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, w.Close()) }()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Sync() // So that it is not written while something is measured.
}
