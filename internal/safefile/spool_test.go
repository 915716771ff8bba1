package safefile_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"mox/internal/safefile"
	"mox/internal/testkit"
)

var crossDevice error = syscall.EXDEV

func newSpool(t *testing.T, opts safefile.SpoolOptions) *safefile.Spool {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s := safefile.NewSpool(opts)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if l := names(t, opts.Dir); opts.FS == nil && strings.Contains(strings.Join(l, " "), "spool-") {
			t.Errorf("temporary file left behind: %v", l)
		}
	})
	return s
}

func write(t *testing.T, s *safefile.Spool, data ...string) {
	t.Helper()
	for _, d := range data {
		if n, err := s.Write([]byte(d)); n != len(d) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(d), err)
		}
	}
}

func readAll(t *testing.T, s *safefile.Spool) string {
	t.Helper()
	b, err := io.ReadAll(s.Reader())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSpoolStaysInMemoryUntilItsLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSpool(t, safefile.SpoolOptions{Dir: dir})
	half := strings.Repeat("x", safefile.SpoolMemory/2)
	write(t, s, half, half)
	if b, ok := s.Bytes(); !ok || string(b) != half+half || len(names(t, dir)) != 0 {
		t.Errorf("%d bytes: in memory %v, files %v", len(b), ok, names(t, dir))
	}
	write(t, s, "y")
	if _, ok := s.Bytes(); ok || len(names(t, dir)) != 1 {
		t.Errorf("one byte more: in memory %v, files %v", ok, names(t, dir))
	}
	if s.Size() != safefile.SpoolMemory+1 || readAll(t, s) != half+half+"y" {
		t.Errorf("content of %d bytes differs", s.Size())
	}
	write(t, s, "z") // Also after reading.
	if got := readAll(t, s); got != half+half+"yz" {
		t.Errorf("content of %d bytes differs after another write", len(got))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if len(names(t, dir)) != 0 {
		t.Errorf("left behind: %v", names(t, dir))
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, safefile.ErrSpoolState) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := s.ReadAt(make([]byte, 1), 0); !errors.Is(err, safefile.ErrSpoolState) {
		t.Errorf("read after close: %v", err)
	}
	if _, ok := s.Bytes(); ok {
		t.Error("bytes after close")
	}
	if err := s.WriteFileExcl(filepath.Join(dir, "f")); !errors.Is(err, safefile.ErrSpoolState) {
		t.Errorf("file after close: %v", err)
	}
}

// The content is that of a bytes.Buffer, whatever the sizes of the writes are.
func TestSpoolHoldsWhatIsWrittenInAnyPieces(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := newSpool(t, safefile.SpoolOptions{Memory: 1 + rnd.IntN(5000)})
		var want bytes.Buffer
		for range rnd.IntN(60) {
			p := make([]byte, rnd.IntN(1<<rnd.IntN(14)))
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			want.Write(p)
			write(t, s, string(p))
			if rnd.IntN(10) == 0 && readAll(t, s) != want.String() {
				t.Fatalf("seed %d: content differs in the middle", seed)
			}
		}
		if s.Size() != int64(want.Len()) {
			t.Fatalf("seed %d: size %d, want %d", seed, s.Size(), want.Len())
		}
		if err := iotest.TestReader(s.Reader(), want.Bytes()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestSpoolReadsAsReaderAt(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{0, 2} {
		s := newSpool(t, safefile.SpoolOptions{Memory: memory})
		write(t, s, "0123456789")
		buf := make([]byte, 4)
		if n, err := s.ReadAt(buf, 3); n != 4 || err != nil || string(buf) != "3456" {
			t.Errorf("in the middle: %q, %v", buf[:n], err)
		}
		if n, err := s.ReadAt(buf, 8); n != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("over the end: %d, %v", n, err)
		}
		if n, err := s.ReadAt(buf, 10); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %d, %v", n, err)
		}
		if n, err := s.ReadAt(buf, -1); n != 0 || err == nil {
			t.Errorf("before the start: %d, %v", n, err)
		}
	}
}

func TestSpoolCanBeReadByMany(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{0, 1000} {
		s := newSpool(t, safefile.SpoolOptions{Memory: memory})
		data := strings.Repeat("0123456789", 10_000)
		write(t, s, data)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if b, err := io.ReadAll(s.Reader()); err != nil || string(b) != data {
					t.Errorf("got %d bytes, %v", len(b), err)
				}
			})
		}
		wg.Wait()
	}
}

func TestSpoolRefusesMoreThanItsMaximum(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{0, 4} {
		s := newSpool(t, safefile.SpoolOptions{MaxSize: 10, Memory: memory})
		write(t, s, "12345", "67890")
		if _, err := s.Write([]byte("x")); !errors.Is(err, safefile.ErrTooLarge) {
			t.Errorf("one more: %v", err)
		}
		if _, err := s.Write(nil); !errors.Is(err, safefile.ErrTooLarge) {
			t.Errorf("the error does not stick: %v", err)
		}
		if _, err := s.ReadAt(make([]byte, 1), 0); !errors.Is(err, safefile.ErrTooLarge) {
			t.Errorf("reading: %v", err)
		}
		if err := s.WriteFileExcl(filepath.Join(t.TempDir(), "f")); !errors.Is(err, safefile.ErrTooLarge) {
			t.Errorf("file: %v", err)
		}
	}
	// What counts is what is stored, with CRs added.
	s := newSpool(t, safefile.SpoolOptions{MaxSize: 3, CRLF: true})
	if _, err := s.Write([]byte("a\nb")); !errors.Is(err, safefile.ErrTooLarge) {
		t.Errorf("with CR: %v", err)
	}
}

func TestSpoolMakesLineEndingsCRLF(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"a", "a"},
		{"\n", "\r\n"},
		{"\r\n", "\r\n"},
		{"a\nb\n", "a\r\nb\r\n"},
		{"a\r\nb\r\n", "a\r\nb\r\n"},
		{"a\n\nb", "a\r\n\r\nb"},
		{"a\rb\n", "a\rb\r\n"}, // A bare CR is kept.
		{"\r\r\n\n", "\r\r\n\r\n"},
		{"\n\r", "\r\n\r"},
		{"a\r", "a\r"},
	} {
		// All ways to cut the input in two, and byte by byte.
		for cut := 0; cut <= len(tc.in); cut++ {
			s := newSpool(t, safefile.SpoolOptions{CRLF: true})
			write(t, s, tc.in[:cut], "", tc.in[cut:])
			if got := readAll(t, s); got != tc.want {
				t.Errorf("%q cut at %d: got %q, want %q", tc.in, cut, got, tc.want)
			}
		}
		s := newSpool(t, safefile.SpoolOptions{CRLF: true, Memory: 1})
		for _, b := range []byte(tc.in) {
			write(t, s, string(b))
		}
		if got := readAll(t, s); got != tc.want {
			t.Errorf("%q by byte: got %q, want %q", tc.in, got, tc.want)
		}
		plain := newSpool(t, safefile.SpoolOptions{})
		write(t, plain, tc.in)
		if got := readAll(t, plain); got != tc.in {
			t.Errorf("%q without the option: got %q", tc.in, got)
		}
	}
}

func TestSpoolWritesFilesThatOutliveIt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		memory int
		fsys   safefile.FS
		ops    string // After those of the spool itself.
	}{
		{"in memory", 100, safefile.OS, "create write sync close"},
		{"linked", 4, safefile.OS, "link sync"},
		{"copied", 4, noLinks{safefile.OS, crossDevice}, "link create write sync close"},
	} {
		dir := t.TempDir()
		f := testkit.NewFaults(tc.fsys)
		s := newSpool(t, safefile.SpoolOptions{Dir: t.TempDir(), Memory: tc.memory, FS: f})
		write(t, s, "the ", "content")
		if _, err := s.ReadAt(make([]byte, 1), 0); err != nil { // Writes what is pending.
			t.Fatal(err)
		}
		f.Events()
		path := filepath.Join(dir, "1")
		if err := s.WriteFileExcl(path); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got := ops(f); got != tc.ops {
			t.Errorf("%s: operations are %q, want %q", tc.name, got, tc.ops)
		}
		if err := s.WriteFileExcl(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: same path again: %v", tc.name, err)
		}
		if err := s.WriteFileExcl(filepath.Join(dir, "2")); err != nil {
			t.Errorf("%s: second recipient: %v", tc.name, err)
		}
		if got := readAll(t, s); got != "the content" {
			t.Errorf("%s: spool reads %q afterwards", tc.name, got)
		}
		if _, err := s.Write([]byte("x")); tc.memory == 4 && !errors.Is(err, safefile.ErrSpoolState) {
			t.Errorf("%s: write to content that a file shares: %v", tc.name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"1", "2"} {
			path := filepath.Join(dir, name)
			if got := content(t, path); got != "the content" {
				t.Errorf("%s: file has %q", tc.name, got)
			}
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0600 {
				t.Errorf("%s: permissions %v, %v", tc.name, fi.Mode(), err)
			}
		}
	}
}

func TestFailedSpoolLeavesNoFiles(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{100, 4} {
		for _, fsys := range []safefile.FS{safefile.OS, noLinks{safefile.OS, crossDevice}} {
			for k := 1; ; k++ {
				dir, tmp := t.TempDir(), t.TempDir()
				f := testkit.NewFaults(fsys)
				f.FailAt(k, testkit.ErrNoSpace, testkit.OpCreate, testkit.OpWrite, testkit.OpSync, testkit.OpLink)
				s := safefile.NewSpool(safefile.SpoolOptions{Dir: tmp, Memory: memory, FS: f})
				_, err := s.Write([]byte("some content"))
				if err == nil {
					err = s.WriteFileExcl(filepath.Join(dir, "f"))
				}
				if cerr := s.Close(); cerr != nil {
					t.Errorf("close: %v", cerr)
				}
				if len(names(t, tmp)) != 0 {
					t.Errorf("operation %d: temporary file left behind", k)
				}
				if err == nil {
					if content(t, filepath.Join(dir, "f")) != "some content" {
						t.Errorf("operation %d: no error and wrong content", k)
					}
					break // There is no k-th operation.
				}
				if !safefile.IsNoSpace(err) || len(names(t, dir)) != 0 {
					t.Errorf("operation %d: %v, files %v", k, err, names(t, dir))
				}
			}
		}
	}
}

func BenchmarkSpool(b *testing.B) {
	for name, size := range map[string]int{"4KiB": 4 << 10, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			line := []byte(strings.Repeat("x", 76) + "\r\n")
			dir := b.TempDir()
			b.SetBytes(int64(size))
			for b.Loop() {
				s := safefile.NewSpool(safefile.SpoolOptions{Dir: dir, CRLF: true})
				for n := 0; n < size; n += len(line) {
					if _, err := s.Write(line); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzSpoolCRLF(f *testing.F) {
	f.Add("a\nb\r\nc\rd", uint8(3))
	f.Add("\r\n\n\r", uint8(1))
	f.Fuzz(func(t *testing.T, in string, size uint8) {
		s := safefile.NewSpool(safefile.SpoolOptions{CRLF: true})
		defer s.Close()
		for p := in; p != ""; {
			n := min(len(p), int(size)+1)
			write(t, s, p[:n])
			p = p[n:]
		}
		got := readAll(t, s)
		// Independent of how it is done: every LF has a CR, and what was added are CRs
		// before bare LFs.
		if strings.Count(got, "\n") != strings.Count(got, "\r\n") {
			t.Fatalf("%q: bare LF in %q", in, got)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\n", "\r\n")
		if got != want {
			t.Fatalf("%q: got %q, want %q", in, got, want)
		}
	})
}

func TestStartedFileIsSyncedWhenWaitReturns(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 2 * safefile.SpoolMemory} {
		dir := t.TempDir()
		s := safefile.NewSpool(safefile.SpoolOptions{Dir: dir})
		defer s.Close()
		data := bytes.Repeat([]byte("x"), size)
		if _, err := s.Write(data); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "f")
		finish, err := s.StartFileExcl(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := finish(); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, data) {
			t.Fatalf("file of %d octets: %v", len(b), err)
		}
		if _, err := s.StartFileExcl(path); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("file exists: %v", err)
		}
	}
}

// syncFails is a file system on which no file can be synced.
type syncFails struct{ safefile.FS }

type syncFailsFile struct{ safefile.File }

func (syncFailsFile) Sync() error { return errSync }

var errSync = errors.New("sync fails")

func (f syncFails) CreateExcl(name string, perm fs.FileMode) (safefile.File, error) {
	file, err := f.FS.CreateExcl(name, perm)
	return syncFailsFile{file}, err
}

func TestStartedFileThatCannotBeSyncedIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := safefile.NewSpool(safefile.SpoolOptions{Dir: dir, FS: syncFails{safefile.OS}})
	defer s.Close()
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	finish, err := s.StartFileExcl(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := finish(); !errors.Is(err, errSync) {
		t.Fatalf("finish: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("file: %v", err)
	}
}
