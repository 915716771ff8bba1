package testkit

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mox/internal/safefile"
)

// fakeTB records how a helper ends a test. Helpers that end it must run in their
// own goroutine, as run does.
type fakeTB struct {
	testing.TB
	ended string
	text  string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) end(how, format string, args ...any) {
	f.ended, f.text = how, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (f *fakeTB) Fatalf(format string, args ...any) { f.end("fatal", format, args...) }
func (f *fakeTB) Skipf(format string, args ...any)  { f.end("skip", format, args...) }
func (f *fakeTB) Errorf(format string, args ...any) {
	f.ended, f.text = "error", fmt.Sprintf(format, args...)
}

// run runs a helper and returns how it ended the test, if it did.
func run(t *testing.T, fn func(t testing.TB)) *fakeTB {
	t.Helper()
	f := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(f)
	}()
	<-done
	return f
}

func TestDirHasTheFiles(t *testing.T) {
	t.Parallel()
	dir := Dir(t, map[string]string{"a": "1", "b/c/d": "2"})
	if got := string(ReadFile(t, filepath.Join(dir, "b", "c", "d"))); got != "2" {
		t.Errorf("got %q", got)
	}
	if f := run(t, func(t testing.TB) { ReadFile(t, filepath.Join(dir, "absent")) }); f.ended != "fatal" {
		t.Errorf("reading an absent file: %+v", f)
	}
	data := DataDir(t)
	if fi, err := os.Stat(data); err != nil || fi.Mode().Perm() != 0700 || !filepath.IsAbs(data) {
		t.Errorf("data directory %s: %v, %v", data, fi, err)
	}
}

func TestGoldenFilesAreComparedOrWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "x.golden")
	check := func(got string) *fakeTB {
		return run(t, func(t testing.TB) { Golden(t, path, []byte(got)) })
	}
	if f := check("a\nb\n"); f.ended != "fatal" || !strings.Contains(f.text, "-update") {
		t.Errorf("absent: %+v", f)
	}
	old := *update
	*update = true
	f := check("a\nb\nc\n")
	*update = old
	if f.ended != "" {
		t.Errorf("update: %+v", f)
	}
	if f := check("a\nb\nc\n"); f.ended != "" {
		t.Errorf("equal: %+v", f)
	}
	f = check("a\nX\nc\n")
	if f.ended != "error" || !strings.Contains(f.text, "-    2: \"b\\n\"\n+    2: \"X\\n\"\n") || strings.Contains(f.text, `"c`) {
		t.Errorf("different: %+v", f)
	}
}

func TestDiffShowsTheMiddle(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ want, got, diff string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\n", "a", "-    1: \"a\\n\"\n-    2: \"\"\n+    1: \"a\"\n"},
		{"a\nb\nc\n", "a\nc\n", "-    2: \"b\\n\"\n"},
		{"", "x\r\n", "+    1: \"x\\r\\n\"\n"},
	} {
		if got := Diff(tc.want, tc.got); got != tc.diff {
			t.Errorf("%q, %q: got %q, want %q", tc.want, tc.got, got, tc.diff)
		}
	}
	if d := Diff(strings.Repeat("x\n", 1000), ""); strings.Count(d, "\n") > maxDiff+2 {
		t.Errorf("long: %d lines", strings.Count(d, "\n"))
	}
}

func TestSharedDataIsFoundOrSkipped(t *testing.T) {
	if _, err := os.Stat(filepath.Join(Root(t), "go.mod")); err != nil {
		t.Error(err)
	}
	dir := Dir(t, map[string]string{"testdata/mail/x.eml": "mail"})
	t.Setenv("MOX_SHARED", dir)
	if got, want := Shared(t, "testdata/mail/x.eml"), filepath.Join(dir, "testdata", "mail", "x.eml"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f := run(t, func(t testing.TB) { Shared(t, "mail") }); f.ended != "fatal" || !strings.Contains(f.text, "mail") {
		t.Errorf("wrong path: %+v", f)
	}
	t.Setenv("MOX_SHARED", filepath.Join(dir, "absent"))
	if f := run(t, func(t testing.TB) { Shared(t, "testdata/mail") }); f.ended != "skip" || !strings.Contains(f.text, "MOX_SHARED") {
		t.Errorf("absent: %+v", f)
	}
	t.Setenv("MOX_SHARED", "")
	f := run(t, func(t testing.TB) {
		if got, want := Shared(t, "."), filepath.Join(Root(t), "..", "shared"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	if f.ended != "" && f.ended != "skip" {
		t.Errorf("without the variable: %+v", f)
	}
}

func TestMissingToolsAreSkippedButNotInCI(t *testing.T) {
	t.Setenv("CI", "")
	if f := run(t, func(t testing.TB) { Tool(t, "imaptest-absent") }); f.ended != "skip" || !strings.Contains(f.text, "apt-get install imaptest-absent") {
		t.Errorf("skip: %+v", f)
	}
	t.Setenv("CI", "true")
	if f := run(t, func(t testing.TB) { Tool(t, "imaptest-absent") }); f.ended != "fatal" {
		t.Errorf("in CI: %+v", f)
	}
	t.Setenv("PATH", Dir(t, nil))
	if f := run(t, func(t testing.TB) { Tool(t, "mbsync") }); f.ended != "fatal" || !strings.Contains(f.text, "install isync") {
		t.Errorf("package of another name: %+v", f)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := Tool(t, exe); got != exe {
		t.Errorf("got %s", got)
	}
}

func TestCertificatesVerifyAgainstTheirAuthority(t *testing.T) {
	t.Parallel()
	ca, other := NewCA(t), NewCA(t)
	for _, typ := range []KeyType{ECDSA, Ed25519} {
		cert := ca.Issue(t, typ, "mail.example.org", "10.0.0.1")
		for _, tc := range []struct {
			name  string
			roots *x509.CertPool
			ok    bool
		}{
			{"mail.example.org", ca.Pool(), true},
			{"10.0.0.1", ca.Pool(), true},
			{"other.example.org", ca.Pool(), false},
			{"mail.example.org", other.Pool(), false},
		} {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: tc.name, Roots: tc.roots})
			if (err == nil) != tc.ok {
				t.Errorf("key type %d, %s: %v", typ, tc.name, err)
			}
		}
		if _, err := ca.IssueExpired(t, typ, "a.example").Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool()}); err == nil {
			t.Error("expired certificate verifies")
		}
	}
	a, b := ca.Issue(t, ECDSA, "a"), ca.Issue(t, ECDSA, "b")
	if a.Leaf.SerialNumber.Cmp(b.Leaf.SerialNumber) == 0 {
		t.Error("serial number used twice")
	}
}

func TestCertificatesServeTLS(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	server := ca.ServerConfig(t, "mail.example.org")
	server.ClientAuth = tls.RequireAndVerifyClientCert
	server.ClientCAs = ca.Pool()
	client := ca.ClientConfig("mail.example.org")
	client.Certificates = []tls.Certificate{ca.IssueClient(t, Ed25519, "mjl")}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			done <- err.Error()
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, "hello"); err != nil {
			done <- err.Error()
			return
		}
		done <- c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}()
	c, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello" || <-done != "mjl" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestCertificatesCanBeFiles(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	dir := t.TempDir()
	for _, typ := range []KeyType{ECDSA, Ed25519} {
		certFile, keyFile := ca.WritePEM(t, dir, ca.Issue(t, typ, "a.example"))
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil || len(cert.Certificate) != 2 {
			t.Errorf("%d certificates, %v", len(cert.Certificate), err)
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ReadFile(t, filepath.Join(dir, "ca.pem"))) {
		t.Error("authority is not PEM")
	}
}

func TestFaultsHitTheKthOperation(t *testing.T) {
	t.Parallel()
	f := NewFaults(nil)
	dir := t.TempDir()
	path := func(n string) string { return filepath.Join(dir, n) }
	write := func(name string) error {
		return safefile.CreateExclFS(f, path(name), []byte("0123456789"), 0600)
	}
	f.FailAt(2, ErrNoSpace, OpCreate, OpLink)
	if err := write("a"); err != nil {
		t.Fatal(err)
	}
	if err := write("b"); !errors.Is(err, ErrNoSpace) {
		t.Errorf("second create: %v", err)
	}
	if err := write("c"); err != nil {
		t.Errorf("third create: %v", err)
	}
	f.FailFrom(1, ErrIO, OpSync)
	for _, name := range []string{"d", "e"} {
		if err := write(name); !errors.Is(err, ErrIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.Clear()
	if err := write("f"); err != nil {
		t.Errorf("after clearing: %v", err)
	}
	if n := f.Count(OpCreate); n != 6 {
		t.Errorf("%d creates", n)
	}
	if n := f.Count(OpCreate, OpRemove); n != 8 { // d and e were removed.
		t.Errorf("%d creates and removes", n)
	}
	events := f.Events()
	want := []string{"create " + path("a"), "write " + path("a"), "sync " + path("a"), "close " + path("a"), "create " + path("b") + ": no space left on device"}
	for i, w := range want {
		if events[i].String() != w {
			t.Errorf("event %d is %q, want %q", i, events[i], w)
		}
	}
	if f.Count() != 0 {
		t.Error("events are not forgotten")
	}
}

func TestEachOperationCanFail(t *testing.T) {
	t.Parallel()
	dir := Dir(t, map[string]string{"file": "0123456789"})
	path := func(n string) string { return filepath.Join(dir, n) }
	open := func(f *Faults) safefile.File {
		t.Helper()
		file, err := f.OpenFile(path("file"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	onFile := func(fn func(safefile.File) error) func(*Faults) error {
		return func(f *Faults) error {
			file := open(f)
			return errors.Join(fn(file), file.Close())
		}
	}
	for _, tc := range []struct {
		op Op
		do func(f *Faults) error
	}{
		{OpOpen, func(f *Faults) error { _, err := f.OpenFile(path("file"), os.O_RDONLY, 0); return err }},
		{OpCreate, func(f *Faults) error { _, err := f.OpenFile(path("new"), os.O_CREATE|os.O_WRONLY, 0600); return err }},
		{OpCreate, func(f *Faults) error { _, err := f.CreateExcl(path("new"), 0600); return err }},
		{OpCreate, func(f *Faults) error { _, err := f.CreateTemp(dir, "x*"); return err }},
		{OpWrite, onFile(func(f safefile.File) error { _, err := f.Write([]byte("ABCD")); return err })},
		{OpWrite, onFile(func(f safefile.File) error { _, err := f.WriteAt([]byte("EF"), 8); return err })},
		{OpTruncate, onFile(func(f safefile.File) error { return f.Truncate(1) })},
		{OpSync, onFile(func(f safefile.File) error { return f.Sync() })},
		{OpClose, onFile(func(f safefile.File) error { return nil })},
		{OpLink, func(f *Faults) error { return f.Link(path("file"), path("new")) }},
		{OpRename, func(f *Faults) error { return f.Rename(path("file"), path("new")) }},
		{OpRemove, func(f *Faults) error { return f.Remove(path("file")) }},
		{OpRemove, func(f *Faults) error { return f.RemoveAll(path("file")) }},
		{OpMkdir, func(f *Faults) error { return f.Mkdir(path("new"), 0700) }},
		{OpMkdir, func(f *Faults) error { return f.MkdirAll(path("new"), 0700) }},
		{OpSyncDir, func(f *Faults) error { return f.SyncDir(dir) }},
	} {
		f := NewFaults(nil)
		f.FailAt(1, ErrIO, tc.op)
		if err := tc.do(f); !errors.Is(err, ErrIO) {
			t.Errorf("%s: %v", tc.op, err)
		}
		if l, err := f.ReadDir(dir); err != nil || len(l) != 1 || l[0].Name() != "file" {
			t.Errorf("%s was done: %v, %v", tc.op, l, err)
		}
	}
	// Of a failing write, half is done.
	if got := string(ReadFile(t, path("file"))); got != "AB234567E9" {
		t.Errorf("content %q", got)
	}
	if l := Mutations(); slices.Contains(l, OpOpen) || slices.Contains(l, OpClose) || len(l) != 9 {
		t.Errorf("mutations: %v", l)
	}
}

func TestListenBothHasOnePort(t *testing.T) {
	t.Parallel()
	pc, ln := listenBoth(t)
	defer pc.Close()
	defer ln.Close()
	if pc.LocalAddr().(*net.UDPAddr).Port != ln.Addr().(*net.TCPAddr).Port {
		t.Error("ports differ")
	}
}
