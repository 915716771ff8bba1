package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// readData reads data through a DataReader with read and write buffers of the
// given sizes, and returns what is left on the connection too.
func readData(t testing.TB, data string, limit int64, bufSize, readSize int, oneByte bool) (content, rest string, d *DataReader, err error) {
	t.Helper()
	var r io.Reader = strings.NewReader(data)
	if oneByte {
		r = iotest.OneByteReader(r)
	}
	br := bufio.NewReaderSize(r, bufSize)
	d = NewDataReader(br, limit)
	var b bytes.Buffer
	buf := make([]byte, readSize)
	for {
		n, rerr := d.Read(buf)
		b.Write(buf[:n])
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			err = rerr
			break
		}
	}
	left, lerr := io.ReadAll(br)
	if lerr != nil {
		t.Fatal(lerr)
	}
	return b.String(), string(left), d, err
}

func TestDataReader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in      string
		content, rest string
		err           error
		bareLF        bool
	}{
		{"empty content", ".\r\nQUIT\r\n", "", "QUIT\r\n", nil, false},
		{"one line", "a\r\n.\r\n", "a\r\n", "", nil, false},
		{"what follows stays on the connection", "a\r\n.\r\nMAIL FROM:<>\r\n", "a\r\n", "MAIL FROM:<>\r\n", nil, false},
		{"stuffed dot", "..\r\n...\r\n..a\r\n.\r\n", ".\r\n..\r\n.a\r\n", "", nil, false},
		{"dot that was not doubled", ".a\r\n.\r\n", "a\r\n", "", nil, false},
		{"dots within lines", "a.b.\r\n .\r\n.\r\n", "a.b.\r\n .\r\n", "", nil, false},
		{"bare LF becomes CRLF", "a\nb\n\nc\r\n.\r\n", "a\r\nb\r\n\r\nc\r\n", "", nil, true},
		{"dot after bare LF with more on the line", "a\n..b\r\n.\r\n", "a\r\n.b\r\n", "", nil, true},
		{"bare CR within a line", "a\rb\r\n.\r\nX", "", "X", ErrBareCR, false},
		{"bare CR before CRLF", "a\r\r\n.\r\nX", "", "X", ErrBareCR, false},
		{"bare CR after dot", "a\r\n.\rb\r\n.\r\nX", "", "X", ErrBareCR, false},
		{"bare CR, dot, bare CR", "a\r.\r\r\n.\r\nX", "", "X", ErrBareCR, false},
		{"LF dot LF", "a\n.\nMAIL\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"LF dot CRLF", "a\n.\r\nMAIL\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"CRLF dot LF", "a\r\n.\nMAIL\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"dot LF at the start", ".\nMAIL\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"true end right after a false one", "a\n.\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"false end right before a false one", "a\r\n.\n.\r\nb\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"dot NUL", "a\r\n.\x00\r\nMAIL\r\n.\r\nX", "", "X", ErrSmuggling, false},
		{"NUL dot", "a\r\n\x00.\r\nMAIL\r\n.\r\nX", "", "X", ErrSmuggling, false},
		{"NULs around a dot", "\x00\x00.\x00\r\n.\r\nX", "", "X", ErrSmuggling, false},
		{"NUL dot and bare LF", "a\r\n\x00.\nb\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"LF NUL dot", "a\n\x00.\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"LF dot NUL and bare LF", "a\n.\x00\nb\r\n.\r\nX", "", "X", ErrSmuggling, true},
		{"NUL between CR and LF", "a\r\n.\r\x00\nb\r\n.\r\nX", "", "X", ErrBareCR, true},
		{"NULs elsewhere", "\x00\r\n\x00..\r\n\x00.a\r\n..\x00\r\na\x00.\r\n.\r\nX", "\x00\r\n\x00..\r\n\x00.a\r\n.\x00\r\na\x00.\r\n", "X", nil, false},
		{"connection ends within data", "a\r\n", "", "", io.ErrUnexpectedEOF, false},
		{"connection ends at the dot", "a\r\n.", "", "", io.ErrUnexpectedEOF, false},
		{"connection ends before the last LF", "a\r\n.\r", "", "", io.ErrUnexpectedEOF, false},
		{"connection ends after a false end", "a\r\n.\n", "", "", io.ErrUnexpectedEOF, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, readSize := range []int{1, 2, 3, 100} {
				for _, oneByte := range []bool{false, true} {
					content, rest, d, err := readData(t, tc.in, 1000, 16, readSize, oneByte)
					if !errors.Is(err, tc.err) {
						t.Fatalf("read size %d: error %v, want %v", readSize, err, tc.err)
					}
					if d.BareLF() != tc.bareLF {
						t.Fatalf("bare LF %v, want %v", d.BareLF(), tc.bareLF)
					}
					if d.Ended() != (tc.err != io.ErrUnexpectedEOF) {
						t.Fatalf("ended %v", d.Ended())
					}
					if rest != tc.rest {
						t.Fatalf("read size %d: %q is left on the connection, want %q", readSize, rest, tc.rest)
					}
					if tc.err == nil && (content != tc.content || d.Size() != int64(len(tc.content))) {
						t.Fatalf("read size %d: content %q, want %q, size %d", readSize, content, tc.content, d.Size())
					}
				}
			}
		})
	}
}

func TestDataReaderLimitsTheSizeOfContent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		limit    int64
		err      error
		ended    bool
	}{
		{"at the limit", "12345678\r\n.\r\n", 10, nil, true},
		{"dot stuffing does not count", "..2345678\r\n.\r\n", 10, nil, true},
		{"one over the limit", "123456789\r\n.\r\nX", 10, ErrTooBig, true},
		{"repaired line end counts", "123456789\nb\r\n.\r\nX", 10, ErrTooBig, true},
		{"LF over the limit", "12345678\r\n.\r\nX", 9, ErrTooBig, true},
		{"bad data over the limit", "1234567890123\rb\r\n.\r\nX", 10, ErrBareCR, true},
		{"too much to read to the end", strings.Repeat("a", 2*discardExtra) + "\r\n.\r\n", 10, ErrTooBig, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, readSize := range []int{1, 7, 4096} {
				content, _, d, err := readData(t, tc.in, tc.limit, 4096, readSize, false)
				if !errors.Is(err, tc.err) || d.Ended() != tc.ended {
					t.Fatalf("error %v, want %v, ended %v", err, tc.err, d.Ended())
				}
				if int64(len(content)) > tc.limit || d.Size() != int64(len(content)) {
					t.Fatalf("%d octets of content, limit %d, size %d", len(content), tc.limit, d.Size())
				}
			}
		})
	}
}

func TestDataWriter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, out string
		err           error
	}{
		{"empty content", "", ".\r\n", nil},
		{"one line", "a\r\n", "a\r\n.\r\n", nil},
		{"dot alone", ".\r\n", "..\r\n.\r\n", nil},
		{"dots at line starts", ".a\r\n..b\r\nc.\r\n", "..a\r\n...b\r\nc.\r\n.\r\n", nil},
		{"missing final line end is added", "a\r\nb", "a\r\nb\r\n.\r\n", nil},
		{"missing final line end after a dot", ".", "..\r\n.\r\n", nil},
		{"bare LF", "a\nb", "", ErrBareLF},
		{"bare LF after CRLF", "a\r\n\n", "", ErrBareLF},
		{"bare CR", "a\rb", "", ErrBareCR},
		{"CR CR LF", "a\r\r\n", "", ErrBareCR},
		{"CR at the end", "a\r", "", ErrBareCR},
		{"NUL dot", "a\r\n\x00.\r\n", "", ErrSmuggling},
		{"NULs around a dot at the end", "\x00\x00.\x00", "", ErrSmuggling},
		{"NULs elsewhere", "\x00\r\n\x00..\r\n\x00.a\r\n.\x00\r\n", "\x00\r\n\x00..\r\n\x00.a\r\n..\x00\r\n.\r\n", nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= len(tc.in)+1; size++ {
				var b bytes.Buffer
				w := NewDataWriter(&b)
				err := writeChunks(w, tc.in, size)
				if !errors.Is(err, tc.err) {
					t.Fatalf("chunks of %d: error %v, want %v", size, err, tc.err)
				}
				if err == nil && (b.String() != tc.out || w.Size() != int64(len(tc.in))) {
					t.Fatalf("chunks of %d: wrote %q, want %q, size %d", size, b.String(), tc.out, w.Size())
				}
				if strings.HasSuffix(b.String(), "\r\n.\r\n") != (err == nil && b.Len() > 3) {
					t.Fatalf("data is complete after an error: %q", b.String())
				}
				if _, err := w.Write([]byte("x")); err == nil {
					t.Fatal("write after the end")
				}
			}
		})
	}
}

// writeChunks writes s in chunks of size octets and ends the data.
func writeChunks(w *DataWriter, s string, size int) error {
	for len(s) > 0 {
		n := min(size, len(s))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return w.Close()
}

func TestDataWriterKeepsTheErrorOfTheConnection(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection gone")
	w := NewDataWriter(iotestErrWriter{gone})
	if _, err := w.Write([]byte("a\r\n")); !errors.Is(err, gone) {
		t.Fatalf("got %v", err)
	}
	if err := w.Close(); !errors.Is(err, gone) {
		t.Fatalf("got %v", err)
	}
}

type iotestErrWriter struct{ err error }

func (w iotestErrWriter) Write([]byte) (int, error) { return 0, w.err }

// naiveRead is the DataReader of someone who reads the RFC slowly: it looks at the
// whole data at once. It returns ok false if the data does not end.
func naiveRead(data string) (content, rest string, err error, ok bool) {
	full := "\r\n" + data
	i := strings.Index(full, "\r\n.\r\n")
	if i < 0 {
		return "", "", nil, false
	}
	rest = full[i+5:]
	raw := full[:i+2]
	// With the final dot, for what is wrong right before it.
	seen := full[:i+5]
	if strings.Contains(strings.ReplaceAll(seen, "\r\n", ""), "\r") {
		err = ErrBareCR
	}
	lines := strings.Split(strings.ReplaceAll(raw, "\r\n", "\n"), "\n")[1:]
	var b strings.Builder
	for _, line := range lines[:max(0, len(lines)-1)] {
		line = strings.TrimPrefix(line, ".")
		b.WriteString(line + "\r\n")
	}
	for _, line := range lines {
		if bare := strings.ReplaceAll(line, "\x00", ""); bare == "." && bare != line && err == nil {
			err = ErrSmuggling
		}
	}
	for _, bad := range []string{"\n.\n", "\n.\r\n", "\r\n.\n"} {
		for at := 0; ; at++ {
			j := strings.Index(raw[at:], bad)
			if j < 0 {
				break
			}
			at += j
			if bad == "\n.\r\n" && at > 0 && raw[at-1] == '\r' {
				continue
			}
			if err == nil {
				err = ErrSmuggling
			}
		}
	}
	return b.String(), rest, err, true
}

func FuzzDataReader(f *testing.F) {
	for _, s := range []string{
		".\r\n", "a\r\n.\r\nX", "..\r\n.\r\n", "a\n.\nb\r\n.\r\n", "a\n.\r\n.\r\n", "\r\n.\r\r\n.\r\n", "a\r.\r\n.\r\n", "\n\n.\r\n\r\n.\r\n", "\x00.\r\n.\r\n", ".\x00\n.\r\n",
	} {
		f.Add(s, uint8(1))
		f.Add(s, uint8(200))
	}
	f.Fuzz(func(t *testing.T, data string, size uint8) {
		content, rest, d, err := readData(t, data, 1<<20, 16, int(size)+1, false)
		wantContent, wantRest, wantErr, ends := naiveRead(data)
		if d.Ended() != ends {
			t.Fatalf("ended %v, want %v", d.Ended(), ends)
		}
		if !ends {
			if err == nil {
				t.Fatal("no error for data without end")
			}
			return
		}
		if rest != wantRest || (err == nil) != (wantErr == nil) {
			t.Fatalf("rest %q, error %v, want %q, %v", rest, err, wantRest, wantErr)
		}
		if err == nil && content != wantContent {
			t.Fatalf("content %q, want %q", content, wantContent)
		}
	})
}

func FuzzDataRoundTrip(f *testing.F) {
	for _, s := range []string{"", ".", "a\r\n", ".\r\n.\r\n", "a\nb", "a\rb", "a\r\n.b", "\r\n.\r\n", "\x00.", "\x00.\x00\r\n"} {
		f.Add(s, uint8(1), uint8(3))
	}
	f.Fuzz(func(t *testing.T, content string, writeSize, readSize uint8) {
		var b bytes.Buffer
		if err := writeChunks(NewDataWriter(&b), content, int(writeSize)+1); err != nil {
			c := strings.ReplaceAll(content, "\r\n", "")
			nuls := slices.ContainsFunc(strings.Split(content, "\r\n"), func(l string) bool { return l != "" && l[0] == 0 && strings.ReplaceAll(l, "\x00", "") == "." })
			if !strings.ContainsAny(c, "\r\n") && !nuls {
				t.Fatalf("refused %q: %v", content, err)
			}
			return
		}
		if content != "" && !strings.HasSuffix(content, "\r\n") {
			content += "\r\n"
		}
		got, rest, d, err := readData(t, b.String()+"QUIT", 1<<20, 16, int(readSize)+1, false)
		if err != nil || got != content || rest != "QUIT" || d.BareLF() {
			t.Fatalf("wrote %q, read %q, rest %q, error %v", content, got, rest, err)
		}
	})
}

// benchData is like mail: lines of base64 and text, some of them with a dot first.
func benchData() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 4<<20; i++ {
		switch {
		case i%50 == 0:
			b.WriteString(".a line with a dot at its start, as is not so rare.\r\n")
		case i%7 == 0:
			b.WriteString("Some words, and then the line is over.\r\n")
		default:
			b.WriteString(strings.Repeat("aGVsbG8g", 9) + "YWJj\r\n")
		}
	}
	return b.Bytes()
}

func BenchmarkDataReader(b *testing.B) {
	var wire bytes.Buffer
	w := NewDataWriter(&wire)
	if _, err := w.Write(benchData()); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	r := bytes.NewReader(nil)
	br := bufio.NewReaderSize(r, 32*1024)
	buf := make([]byte, 32*1024)
	b.SetBytes(int64(wire.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(wire.Bytes())
		br.Reset(r)
		d := NewDataReader(br, 1<<30)
		for {
			if _, err := d.Read(buf); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkDataReaderWorstCase has no line that can be copied as a whole.
func BenchmarkDataReaderWorstCase(b *testing.B) {
	data := strings.Repeat("\n", 1<<20) + "\r\n.\r\n"
	r := strings.NewReader("")
	br := bufio.NewReaderSize(r, 32*1024)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		r.Reset(data)
		br.Reset(r)
		if _, err := io.Copy(io.Discard, NewDataReader(br, 1<<30)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDataWriter(b *testing.B) {
	data := benchData()
	bw := bufio.NewWriterSize(io.Discard, 32*1024)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		w := NewDataWriter(bw)
		for p := data; len(p) > 0; {
			n := min(32*1024, len(p))
			if _, err := w.Write(p[:n]); err != nil {
				b.Fatal(err)
			}
			p = p[n:]
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
