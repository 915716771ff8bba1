package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReaderLinesAndBytes(t *testing.T) {
	t.Parallel()
	input := "one\r\n\r\nthree\rmore\r\n12345four\r\n"
	for name, src := range map[string]io.Reader{
		"all at once":   strings.NewReader(input),
		"byte by byte":  iotest.OneByteReader(strings.NewReader(input)),
		"half by half":  iotest.HalfReader(strings.NewReader(input)),
		"with the end":  iotest.DataErrReader(strings.NewReader(input)),
		"empty reads":   &emptyReads{r: strings.NewReader(input)},
		"from a buffer": bytes.NewBufferString(input),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewReader(src, &Buffers{})
			for _, want := range []string{"one", "", "three\rmore"} {
				if err := r.Wait(); err != nil {
					t.Fatal(err)
				}
				if line, err := r.ReadLine(100); err != nil || string(line) != want {
					t.Fatalf("got line %q, %v, want %q", line, err, want)
				}
			}
			b := make([]byte, 5)
			if _, err := io.ReadFull(r, b[:2]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, b[2:4]); err != nil || string(b[:4]) != "1234" {
				t.Fatalf("got %q, %v", b[:4], err)
			}
			if err := r.Discard(1); err != nil {
				t.Fatal(err)
			}
			if line, err := r.ReadLine(100); err != nil || string(line) != "four" {
				t.Fatalf("got line %q, %v", line, err)
			}
			if err := r.Wait(); err != io.EOF {
				t.Errorf("waiting at the end: %v", err)
			}
			if _, err := r.ReadLine(100); err != io.EOF {
				t.Errorf("line at the end: %v", err)
			}
			if n, err := r.Read(b); n != 0 || err != io.EOF {
				t.Errorf("bytes at the end: %d, %v", n, err)
			}
		})
	}
}

// emptyReads returns nothing every other time.
type emptyReads struct {
	r     io.Reader
	empty bool
}

func (e *emptyReads) Read(p []byte) (int, error) {
	if e.empty = !e.empty; e.empty {
		return 0, nil
	}
	return e.r.Read(p)
}

func TestReaderGivesUpOnAReaderThatReturnsNothing(t *testing.T) {
	t.Parallel()
	r := NewReader(nothing{}, nil)
	if err := r.Wait(); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestReaderLimitsLines(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		max         int
		err         error
	}{
		{"a line as long as allowed", "12345\r\n", 5, nil},
		{"a longer line", "123456\r\n", 5, ErrLineTooLong},
		{"a longer line without end", "12345678", 5, ErrLineTooLong},
		{"a line without end", "1234", 5, io.ErrUnexpectedEOF},
		{"a line without LF", "12345\r", 5, io.ErrUnexpectedEOF},
		{"a line larger than a buffer", strings.Repeat("x", 5*bufferSize) + "\r\n", 5 * bufferSize, nil},
		{"a line larger than a buffer and than allowed", strings.Repeat("x", 5*bufferSize) + "\r\n", 5*bufferSize - 1, ErrLineTooLong},
		{"a line of the limit of servers", strings.Repeat("x", MaxLine) + "\r\n", MaxLine, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			line, err := NewReader(strings.NewReader(tc.input), nil).ReadLine(tc.max)
			if err != tc.err || err == nil && string(line) != strings.TrimSuffix(tc.input, "\r\n") {
				t.Errorf("got line of %d bytes, %v, want error %v", len(line), err, tc.err)
			}
		})
	}
}

func TestReaderTellsOfBareLF(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("one\n\ntwo\r\n"), nil)
	for _, want := range []string{"one", ""} {
		if line, err := r.ReadLine(100); err != ErrBareLF || string(line) != want {
			t.Errorf("got %q, %v, want %q", line, err, want)
		}
	}
	if line, err := r.ReadLine(100); err != nil || string(line) != "two" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestReaderHoldsNoBufferWhileWaiting(t *testing.T) {
	t.Parallel()
	pr, pw := io.Pipe()
	r := NewReader(pr, &Buffers{})
	go func() {
		for range 3 {
			io.WriteString(pw, "a line\r\n")
		}
		pw.Close()
	}()
	for range 3 {
		if err := r.Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadLine(100); err != nil {
			t.Fatal(err)
		}
		if r.Buffered() != 0 {
			t.Fatal("more is buffered than was sent")
		}
	}
	if err := r.Wait(); err != io.EOF || r.buf != nil {
		t.Errorf("got %v, holds %d bytes", err, len(r.buf))
	}
}

func TestReaderTakeBuffered(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("STARTTLS\r\nhello"), nil)
	if _, err := r.ReadLine(100); err != nil {
		t.Fatal(err)
	}
	if n := r.Buffered(); n != 5 {
		t.Errorf("%d bytes buffered", n)
	}
	if b := r.TakeBuffered(); string(b) != "hello" || r.Buffered() != 0 {
		t.Errorf("took %q, %d bytes left", b, r.Buffered())
	}
	r.Reset(strings.NewReader("x\r\n"))
	if line, err := r.ReadLine(100); err != nil || string(line) != "x" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestReaderDiscardNeedsAllBytes(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader(strings.Repeat("x", 3*bufferSize)), nil)
	if err := r.Discard(3 * bufferSize); err != nil {
		t.Fatal(err)
	}
	if err := r.Discard(1); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
}

func TestReaderErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	r := NewReader(io.MultiReader(strings.NewReader("half a li"), iotest.ErrReader(boom)), nil)
	if _, err := r.ReadLine(100); err != boom {
		t.Errorf("got %v", err)
	}
}

func TestReaderReadsLargeBlocksDirectly(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("0123456789", 10000)
	r := NewReader(strings.NewReader("x\r\n"+want), nil)
	if _, err := r.ReadLine(10); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
}
