package http

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/mlog"
)

// settledNow is a time at which files that are there have not changed for long.
func settledNow() time.Time { return time.Now().Add(time.Hour) }

// testCopies returns what keeps copies in a directory, and the path of a file there is none
// of.
func testCopies(t *testing.T, content string) (*copies, string) {
	t.Helper()
	dir := t.TempDir()
	k := newCopies(Options{CopiesDir: filepath.Join(dir, "tmp", CopiesDir), Log: mlog.Discard()})
	k.now = settledNow
	path := filepath.Join(dir, "a.css")
	writeFile(t, path, content)
	return k, path
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0600); err != nil {
		t.Fatal(err)
	}
}

// replaceFile changes what is in a file so that its times tell.
func replaceFile(t *testing.T, path, content string) {
	t.Helper()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		writeFile(t, path, content)
		if info, err := os.Stat(path); err != nil || changed(info) != changed(before) {
			return
		}
	}
}

// openFile opens a file until the end of the test.
func openFile(t *testing.T, path string) (*os.File, os.FileInfo) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // It was only read.
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, info
}

// copyText returns what the copy of a file decompresses to, and an empty string without one.
func copyText(t *testing.T, k *copies, path string) string {
	t.Helper()
	f, info := openFile(t, path)
	r, size := k.copyOf(f, info)
	if r == nil {
		return ""
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil || int64(len(data)) != size {
		t.Fatalf("%d octets of %d, %v", len(data), size, err)
	}
	return gunzip(t, string(data))
}

// copyFiles returns the names of the files in the directory of copies.
func copyFiles(t *testing.T, k *copies) (l []string) {
	t.Helper()
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		l = append(l, e.Name())
	}
	return l
}

func TestStaticFileIsCompressedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, root := staticSite(t, func(h *config.WebHandlerFields) { h.Compress = true })
	s.srv.copies = newCopies(Options{CopiesDir: dir, Log: mlog.Discard()})
	s.srv.copies.now = settledNow
	const url = "https://site.example/large.css"
	want := strings.Repeat("body { color: red }\n", 1000)
	get := func(want string, header ...string) {
		t.Helper()
		a := s.get(url, append([]string{"Accept-Encoding: gzip"}, header...)...)
		if a.StatusCode != 200 || gunzip(t, a.body) != want || a.ContentLength != int64(len(a.body)) || a.Header.Get("Content-Encoding") != "gzip" ||
			!strings.HasPrefix(a.Header.Get("ETag"), `W/"`) || a.Header.Get("Accept-Ranges") != "" || a.Header.Get("Vary") != "Accept-Encoding" || a.Header.Get("X-Test") != "yes" {
			t.Fatalf("got %s, %v", a.Status, a.Header)
		}
	}
	for range 3 {
		get(want)
	}
	l := copyFiles(t, s.srv.copies)
	if len(l) != 1 {
		t.Fatalf("copies %q", l)
	}
	// It is the copy that is sent.
	forged := filepath.Join(dir, l[0])
	data, err := os.ReadFile(forged)
	if err != nil {
		t.Fatal(err)
	}
	mark := bytes.Clone(data)
	mark[4] = 1 // Its time, in the header of gzip, RFC 1952 §2.3.1.
	writeFile(t, forged, string(mark))
	if a := s.get(url, "Accept-Encoding: gzip"); a.body != string(mark) {
		t.Error("compressed again")
	}
	for header, code := range map[string]int{"": 200, "Range: bytes=0-9": 206, `If-Match: "other"`: 412, "If-Modified-Since: " + time.Now().Add(24*time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"): 304} {
		encoding := "gzip"
		if header == "" {
			encoding, header = "identity", "X-Nothing: x"
		}
		if a := s.get(url, "Accept-Encoding: "+encoding, header); a.StatusCode != code || a.Header.Get("Content-Encoding") != "" || a.ContentLength >= 0 && a.ContentLength != int64(len(a.body)) {
			t.Errorf("%s: got %s, %v", header, a.Status, a.Header)
		}
	}
	changed := strings.Repeat("body { color: blu }\n", 1000) // As long as before.
	replaceFile(t, filepath.Join(root, "large.css"), changed)
	get(changed)
	// Without compression, and of what is not worth it, there are none.
	s.get("https://site.example/a.txt", "Accept-Encoding: gzip")
	if l := copyFiles(t, s.srv.copies); len(l) != 2 {
		t.Errorf("copies %q", l)
	}
	if n := testkit.Metric(t, `mox_httpserver_static_copies_total{result="kept"}`); n < 3 {
		t.Errorf("%v times from a copy", n)
	}
}

func TestFileThatHasJustChangedIsNotCopied(t *testing.T) {
	t.Parallel()
	k, path := testCopies(t, "text")
	k.now = time.Now
	if err := os.Chtimes(path, time.Now(), time.Now().Add(-time.Hour)); err != nil { // As tools do that copy files.
		t.Fatal(err)
	}
	if got := copyText(t, k, path); got != "" || len(copyFiles(t, k)) != 0 {
		t.Errorf("got %q, copies %q", got, copyFiles(t, k))
	}
}

func TestRequestsAtTheSameTimeMakeOneCopy(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("text ", 1<<16)
	k, path := testCopies(t, text)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := copyText(t, k, path); got != "" && got != text {
				t.Errorf("got %d octets", len(got))
			}
		})
	}
	wg.Wait()
	if l := copyFiles(t, k); len(l) != 1 || len(k.kept) != 1 || len(k.making) != 0 {
		t.Errorf("copies %q", l)
	}
	// While one is being made, others do not wait for it, and not many are.
	k, path = testCopies(t, text)
	for i := range maxMaking {
		if name := fmt.Sprint(i); !k.begin(name) || k.begin(name) {
			t.Fatalf("copy %d", i)
		}
	}
	if got := copyText(t, k, path); got != "" {
		t.Error("too many are made")
	}
	k.end("0")
	if got := copyText(t, k, path); got != text {
		t.Error("none is made")
	}
}

func TestCopiesThatWereNotUsedForLongestGoFirst(t *testing.T) {
	t.Parallel()
	k, path := testCopies(t, "")
	now := settledNow()
	k.now = func() time.Time { return now }
	use := func(k *copies, i int) {
		t.Helper()
		now = now.Add(copyUse)
		if got, want := copyText(t, k, fmt.Sprint(path, i)), fmt.Sprint("text ", i); got != want {
			t.Fatalf("got %q", got)
		}
	}
	for i := range 4 {
		writeFile(t, fmt.Sprint(path, i), fmt.Sprint("text ", i))
		use(k, i)
	}
	size := k.size / 4
	use(k, 0)
	// What was used is known after a restart. What is no copy goes.
	writeFile(t, filepath.Join(k.dir, ".x.gz.1.tmp"), "part")
	again := newCopies(Options{CopiesDir: k.dir, Log: mlog.Discard()})
	again.now, again.max = k.now, 3*size
	before := copyFiles(t, k)
	use(again, 0)
	after := copyFiles(t, again)
	if len(before) != 5 || len(after) != 3 || again.size != 3*size || slices.Contains(after, ".x.gz.1.tmp") {
		t.Fatalf("copies %q, %d octets", after, again.size)
	}
	writeFile(t, fmt.Sprint(path, 4), "text 4")
	use(again, 4) // Now 1 and 2 are gone.
	if len(copyFiles(t, again)) != 3 {
		t.Errorf("copies %q", copyFiles(t, again))
	}
	for i, want := range []bool{true, false, false, true, true} {
		info, err := os.Stat(fmt.Sprint(path, i))
		if err != nil {
			t.Fatal(err)
		}
		if got := again.kept[nameOf(fmt.Sprint(path, i), info)] != nil; got != want {
			t.Errorf("copy of %d: %v", i, got)
		}
	}
	// Nor are there too many, however small.
	again.max = maxCopiesSize
	for i := range maxCopies {
		again.add(fmt.Sprint(i), keptCopy{})
	}
	if err := again.evict(); err != nil || len(again.kept) != maxCopies {
		t.Errorf("%d copies, %v", len(again.kept), err)
	}
}

func TestDirectoryOfCopiesMayBeEmptiedOrUseless(t *testing.T) {
	t.Parallel()
	k, path := testCopies(t, "text")
	for range 2 {
		if got := copyText(t, k, path); got != "text" {
			t.Fatalf("got %q", got)
		}
		if err := os.RemoveAll(k.dir); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, k.dir, "a file in its place")
	errs := testkit.Metric(t, `mox_httpserver_static_copies_total{result="error"}`)
	if got := copyText(t, k, path); got != "" || k.size != 0 {
		t.Errorf("got %q", got)
	}
	if err := os.Remove(k.dir); err != nil {
		t.Fatal(err)
	}
	k.floor = safefile.NewFloor(safefile.FloorOptions{Min: 1000, FreeSpace: func(string) (int64, error) { return 1000, nil }})
	if got := copyText(t, k, path); got != "" || len(copyFiles(t, k)) != 0 {
		t.Errorf("below the floor: got %q", got)
	}
	if n := testkit.Metric(t, `mox_httpserver_static_copies_total{result="error"}`); n < errs+2 {
		t.Errorf("%v errors after %v", n, errs)
	}
	// A file that changes meanwhile.
	k.floor = nil
	f, info := openFile(t, path)
	writeFile(t, path, "more text than before")
	if r, _ := k.copyOf(f, info); r != nil || len(copyFiles(t, k)) != 0 {
		t.Error("copy of what has changed")
	}
}
