package http

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/config"
	"mox/internal/testkit"
)

// staticSite has files in a directory, which is the root, and next to it.
func staticSite(t *testing.T, change func(*config.WebHandlerFields)) (*site, string) {
	t.Helper()
	dir := testkit.Dir(t, map[string]string{
		"root/index.html":          "<p>home",
		"root/a.txt":               "0123456789",
		"root/b c&d.txt":           "name",
		"root/sub/index.html":      "<p>sub",
		"root/list/x.txt":          "x",
		"root/list/<b>.txt":        "y",
		"root/list/more/z":         "z",
		"root/broken/index.html/f": "a directory with that name",
		"root/large.css":           strings.Repeat("body { color: red }\n", 1000),
		"root/closed/index.html":   "<p>closed",
		"secret.txt":               "secret",
		"out/secret.txt":           "secret",
	})
	root := filepath.Join(dir, "root")
	for link, to := range map[string]string{
		"inside": "a.txt", "outside": "../secret.txt", "outdir": "../out", "absolute": filepath.Join(dir, "secret.txt"), "loop": "loop", "dangling": "gone", "subdir": "sub",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0600); err != nil {
		t.Fatal(err)
	}
	h := config.WebHandlerFields{LogName: "files", Domain: "site.example", PathRegexp: "^/", WebStatic: &config.WebStaticFields{
		Root: root, ResponseHeaders: map[string]string{"x-test": "yes"},
	}}
	if change != nil {
		change(&h)
	}
	next := config.WebHandlerFields{Domain: "site.example", PathRegexp: "^/", WebRedirect: &config.WebRedirectFields{BaseURL: "https://next.example"}}
	return newSite(t, siteOptions{dynamic: handlers(h, next)}), root
}

func TestFilesAreServed(t *testing.T) {
	t.Parallel()
	s, _ := staticSite(t, nil)
	for path, want := range map[string]string{
		"/":                              "200 <p>home",
		"/index.html":                    "200 <p>home",
		"/a.txt":                         "200 0123456789",
		"/b%20c&d.txt":                   "200 name",
		"/x/../a.txt":                    "200 0123456789",
		"/./a.txt":                       "200 0123456789",
		"//a.txt":                        "200 0123456789",
		"/a.txt/":                        "404 ",
		"/a.txt/b":                       "404 ",
		"/sub":                           "307 /sub/",
		"/sub?q=1":                       "307 /sub/?q=1",
		"/sub/":                          "200 <p>sub",
		"/list/":                         "403 ",
		"/broken/":                       "403 ",
		"/gone":                          "404 ",
		"/gone/":                         "404 ",
		"/inside":                        "200 0123456789",
		"/subdir/":                       "200 <p>sub",
		"/outside":                       "404 ",
		"/outdir/":                       "404 ",
		"/outdir/secret.txt":             "404 ",
		"/absolute":                      "404 ",
		"/loop":                          "404 ",
		"/dangling":                      "404 ",
		"/fifo":                          "404 ",
		"/../secret.txt":                 "404 ",
		"/..%2fsecret.txt":               "404 ",
		"/sub/..%2f..%2fsecret.txt":      "404 ",
		"/%2e%2e/secret.txt":             "404 ",
		"/..%5csecret.txt":               "404 ",
		"/%00":                           "404 ",
		"/a.txt%00.html":                 "404 ",
		"/" + strings.Repeat("x", 300):   "404 ",
		"/" + strings.Repeat("x/", 3000): "404 ",
	} {
		a := s.get("https://site.example" + path)
		got := a.Status[:4] + a.body
		if to := a.Header.Get("Location"); to != "" {
			got = a.Status[:4] + to
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, expected %q", path, got, want)
		}
		if strings.Contains(a.body, "secret") {
			t.Errorf("%s: got what is not to be served", path)
		}
		if (a.StatusCode == 200) != (a.Header.Get("X-Test") == "yes") && a.StatusCode != 307 {
			t.Errorf("%s: status %s, header %v", path, a.Status, a.Header)
		}
	}
	if a := s.do("POST", "https://site.example/a.txt", "x"); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("got %s, %v", a.Status, a.Header)
	}
	if a := s.do("HEAD", "https://site.example/a.txt", ""); a.StatusCode != 200 || a.ContentLength != 10 || a.body != "" {
		t.Errorf("got %s, length %d, body %q", a.Status, a.ContentLength, a.body)
	}
}

func TestFilesTheServerMayNotReadAreForbidden(t *testing.T) {
	t.Parallel()
	s, root := staticSite(t, nil)
	for name, mode := range map[string]os.FileMode{"a.txt": 0, "closed": 0} {
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	// Where the temporary directory of the test is, others may not look usually.
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0755); err != nil {
			t.Fatal(err)
		}
	}
	get := func(path string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		p := &port{srv: s.srv, ListenerOptions: ListenerOptions{Port: config.WebPort{TLS: true, Services: []string{"WebserverHTTPS"}}}}
		p.ServeHTTP(rec, httptest.NewRequest("GET", "https://site.example"+path, nil))
		return rec
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // And it is not unlocked: the thread ends with this function.
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		for _, path := range []string{"/a.txt", "/closed/", "/closed/index.html"} {
			if rec := get(path); rec.Code != 403 {
				t.Errorf("%s: got status %d", path, rec.Code)
			}
		}
	}()
	<-done
}

func TestDirectoriesAreListed(t *testing.T) {
	t.Parallel()
	s, root := staticSite(t, func(h *config.WebHandlerFields) { h.WebStatic.ListFiles = true })
	modified := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(root, "list/x.txt"), modified, modified); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(root, "list/more/z"), 12<<20); err != nil {
		t.Fatal(err)
	}
	a := s.get("https://site.example/list/")
	last := 0
	for _, want := range []string{`<a href="..">`, `<a href="./%3cb%3e.txt">&lt;b&gt;.txt</a>`, `<a href="./more/">more/</a>`, `<td class="n">0.00</td><td class="n">2026-01-02 03:04:05</td><td><a href="./x.txt">x.txt</a>`} {
		i := strings.Index(a.body, want)
		if i < last {
			t.Errorf("got\n%s\nwithout %s, or not in order", a.body, want)
		}
		last = i
	}
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || a.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("got %s, %v", a.Status, a.Header)
	}
	if a := s.get("https://site.example/list/more/"); !strings.Contains(a.body, `<td class="n">12</td>`) {
		t.Errorf("got\n%s", a.body)
	}
	if a := s.get("https://site.example/sub/"); a.body != "<p>sub" {
		t.Errorf("got %q instead of index", a.body)
	}
	if a := s.get("https://site.example/outdir/"); a.StatusCode != 404 {
		t.Errorf("got list of directory outside: %s", a.Status)
	}
}

func TestFilesAreAskedForInPartsAndOnlyIfChanged(t *testing.T) {
	t.Parallel()
	s, root := staticSite(t, nil)
	const url = "https://site.example/a.txt"
	a := s.get(url)
	tag, modified := a.Header.Get("ETag"), a.Header.Get("Last-Modified")
	if tag == "" || modified == "" || a.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("got %v", a.Header)
	}
	for _, tc := range []struct {
		field, want string
	}{
		{"Range: bytes=2-4", "206 234"},
		{"Range: bytes=-3", "206 789"},
		{"Range: bytes=20-", "416 "},
		{"If-None-Match: " + tag, "304 "},
		{"If-None-Match: W/" + tag, "304 "},
		{"If-None-Match: \"other\"", "200 0123456789"},
		{"If-Match: \"other\"", "412 "},
		{"If-Modified-Since: " + modified, "304 "},
		{"If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT", "200 0123456789"},
	} {
		if a := s.get(url, tc.field); !strings.HasPrefix(a.Status[:4]+a.body, tc.want) {
			t.Errorf("%s: got %q", tc.field, a.Status[:4]+a.body)
		}
	}
	if a := s.get(url, "Range: bytes=2-4", "If-Range: "+tag); a.body != "234" {
		t.Errorf("got %q", a.body)
	}
	if err := os.WriteFile(filepath.Join(root, "a.txt"), []byte("changed"), 0600); err != nil {
		t.Fatal(err)
	}
	if a := s.get(url, "Range: bytes=2-4", "If-Range: "+tag); a.body != "changed" {
		t.Errorf("got a part of another file: %q", a.body)
	}
}

func TestOtherHandlersAreAskedForFilesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s, _ := staticSite(t, func(h *config.WebHandlerFields) {
		h.WebStatic.ContinueNotFound = true
		h.WebStatic.StripPrefix = "/files"
	})
	const next = "308 https://next.example"
	for path, want := range map[string]string{
		"/files/a.txt":      "200 0123456789",
		"/files/gone":       next + "/files/gone",
		"/files/list/":      next + "/files/list/",
		"/files/outside":    next + "/files/outside",
		"/files":            "307 /files/",
		"/files/":           "200 <p>home",
		"/filesa.txt":       next + "/filesa.txt",
		"/a.txt":            next + "/a.txt",
		"/files/../a.txt":   next + "/a.txt",
		"/files/..%2fa.txt": next + "/a.txt",
	} {
		a := s.get("https://site.example" + path)
		got := a.Status[:4] + a.body
		if to := a.Header.Get("Location"); to != "" {
			got = a.Status[:4] + to
		}
		if got != want {
			t.Errorf("%s: got %q, expected %q", path, got, want)
		}
	}
	if a := s.do("POST", "https://site.example/files/a.txt", "x"); a.Header.Get("Location") != "https://next.example/files/a.txt" {
		t.Errorf("got %s, %v", a.Status, a.Header)
	}
}

func TestManyFilesAreListedInPart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range maxListing + 1 {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint(i)), 0700); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page, err := listing(f, "/")
	if n := strings.Count(string(page), "<tr>"); err != nil || n != maxListing+1 || !strings.Contains(string(page), "more files") || strings.Contains(string(page), `".."`) {
		t.Errorf("got %d rows, %v", n, err)
	}
}
