package inflate

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
)

// pieces is a reader that has one piece after the other, and calls between before the next.
type pieces struct {
	left    []byte
	next    func() []byte
	between func()
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		r.between()
		if r.left = r.next(); len(r.left) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// The data was made with zlib (Python's zlib.compressobj with wbits -15): groups of IMAP
// commands, each after the number of octets of the commands and of their compressed form,
// which ends with a partial flush.
func TestAllThatCameIsReturnedBeforeMoreIsReadAfterAPartialFlush(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/partial-flush.bin")
	if err != nil {
		t.Fatal(err)
	}
	want, got := 0, 0
	src := &pieces{
		between: func() {
			if got != want {
				t.Fatalf("reads more after %d of %d octets", got, want)
			}
		},
		next: func() []byte {
			if len(data) == 0 {
				return nil
			}
			plain, packed := int(binary.LittleEndian.Uint32(data)), int(binary.LittleEndian.Uint32(data[4:]))
			want += plain
			piece := data[8 : 8+packed]
			data = data[8+packed:]
			return piece
		},
	}
	r := NewReader(src)
	buf := make([]byte, 300)
	for {
		n, err := r.Read(buf)
		got += n
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if got != want || want == 0 {
		t.Errorf("%d octets, want %d", got, want)
	}
}

// samples returns texts that compress in different ways.
func samples() [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	words := make([]byte, 0, 300_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for len(words) < 300_000 {
		words = append(words, []string{"FETCH ", "the ", "mailbox ", "\r\n", "a1 "}[rnd.IntN(5)]...)
	}
	return [][]byte{nil, []byte("a"), noise, words, bytes.Repeat([]byte("x"), 100_000), append(words[:70_000:70_000], noise[:70_000]...)}
}

func TestReaderReturnsWhatWasCompressed(t *testing.T) {
	t.Parallel()
	for i, text := range samples() {
		for _, level := range []int{flate.NoCompression, flate.HuffmanOnly, flate.BestSpeed, flate.BestCompression} {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			for rest := text; len(rest) > 0; {
				n := min(len(rest), 30_000)
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			for name, src := range map[string]io.Reader{"at once": bytes.NewReader(b.Bytes()), "octets": iotest.OneByteReader(bytes.NewReader(b.Bytes()))} {
				got, err := io.ReadAll(NewReader(src))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("sample %d, level %d, %s: %d octets of %d, %v", i, level, name, len(got), len(text), err)
				}
			}
			if cut := b.Bytes()[:b.Len()-1]; len(text) > 0 {
				if _, err := io.ReadAll(NewReader(bytes.NewReader(cut))); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("sample %d, level %d, cut: %v", i, level, err)
				}
			}
		}
	}
}

// What compress/flate takes is taken with the same result, and what it refuses is refused.
func FuzzReader(f *testing.F) {
	for _, text := range samples() {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.DefaultCompression)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write(text[:min(len(text), 500)]); err != nil {
			f.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		want, werr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), limit))
		got, gerr := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(data)), limit))
		if (werr == nil) != (gerr == nil) {
			t.Fatalf("got %v, compress/flate %v", gerr, werr)
		}
		if werr == nil && !bytes.Equal(got, want) {
			t.Fatalf("got %d octets, compress/flate %d", len(got), len(want))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	text := samples()[3]
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.DefaultCompression)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, NewReader(bytes.NewReader(buf.Bytes()))); err != nil {
			b.Fatal(err)
		}
	}
}
