package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// windowSize is how much of a message is in memory while it is parsed.
	windowSize = 64 << 10
	// lookahead is how much of a line is looked at to find a boundary.
	lookahead = MaxBoundary + 8
	// lookback is how much before the position stays in the window: the line end
	// that belongs to a boundary line, which is not known to be one before.
	lookback = 2
)

// window is a view of the message that moves forward. What it leaves behind it
// counts, and hands to the decoder of the leaf that is being read.
type window struct {
	r    io.ReaderAt
	size int64
	err  error // The first error of r; the message then ends where it happened.

	buf  []byte
	base int64 // Offset of buf[0] in the message.
	pos  int64

	counted  int64 // Everything before is in the totals.
	lf       int64 // Line feeds,
	bare     int64 // those of them without CR,
	last     byte  // and the byte before counted.
	nonASCII bool
	nul      bool

	leaf decodeState // For a leaf in base64 or quoted-printable.
	on   bool        // Whether there is such a leaf.
	fed  int64       // Everything before went to leaf,
	got  int64       // and gave so many bytes.
	out  []byte
}

// inMemory is implemented by what has all of its bytes in memory, if the result is
// true. They are not changed.
type inMemory interface {
	Bytes() ([]byte, bool)
}

func newWindow(r io.ReaderAt, size int64) window {
	w := window{r: r, size: size}
	if m, ok := r.(inMemory); ok {
		if b, ok := m.Bytes(); ok && int64(len(b)) >= size {
			w.buf = b[:size:size] // Never slides.
		}
	}
	return w
}

// ahead returns the n bytes at the position, fewer at the end of the message.
func (w *window) ahead(n int) []byte {
	off := int(w.pos - w.base)
	if len(w.buf)-off < n && w.base+int64(len(w.buf)) < w.size {
		w.slide()
		off = int(w.pos - w.base)
	}
	return w.buf[off:min(off+n, len(w.buf))]
}

// rest returns all bytes of the window from the position on.
func (w *window) rest() []byte { return w.ahead(lookahead)[:len(w.buf)-int(w.pos-w.base)] }

// slide moves the window so that it begins just before the position.
func (w *window) slide() {
	w.count()
	if w.on {
		w.feed(w.pos - lookback)
	}
	keep := max(w.pos-lookback, w.base)
	n := copy(w.buf[:cap(w.buf)], w.buf[keep-w.base:])
	w.base = keep
	if cap(w.buf) == 0 {
		w.buf = make([]byte, 0, min(windowSize, w.size))
	}
	end := min(int64(cap(w.buf)), w.size-w.base)
	w.buf = w.buf[:end]
	if _, err := io.ReadFull(io.NewSectionReader(w.r, w.base+int64(n), end-int64(n)), w.buf[n:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		w.err = fmt.Errorf("read message: %w", err)
		w.buf = w.buf[:n]
		w.size = w.base + int64(n)
	}
}

// line returns the beginning of the line at the position, without its line end, and
// whether that is all of the line.
func (w *window) line() (line []byte, whole bool) {
	line = w.ahead(lookahead)
	n := bytes.IndexByte(line, '\n')
	if n < 0 {
		return line, len(line) < lookahead
	}
	return bytes.TrimSuffix(line[:n], []byte("\r")), true
}

// endLine moves to the next line. If keep is not nil, it appends the line to it, as
// long as it does not have more than limit bytes.
func (w *window) endLine(keep []byte, limit int) []byte {
	for w.pos < w.size {
		b := w.rest()
		n := bytes.IndexByte(b, '\n')
		end := n >= 0
		if !end {
			n = len(b) - 1
		}
		if keep != nil && len(keep) <= limit {
			keep = append(keep, b[:min(n+1, limit+1-len(keep))]...)
		}
		w.pos += int64(n + 1)
		if end {
			break
		}
	}
	return keep
}

// nextDashes moves to the next line that begins with two dashes, after the line at
// the position, or to the end of the message.
func (w *window) nextDashes() {
	for w.pos < w.size {
		b := w.rest()
		if n := bytes.Index(b, []byte("\n--")); n >= 0 {
			w.pos += int64(n + 1)
			return
		}
		if w.base+int64(len(w.buf)) == w.size {
			w.pos = w.size
			return
		}
		w.pos += int64(len(b) - len("\n-"))
	}
}

// lineEnd returns the size of the line end before the position, which is at the
// beginning of a line: 0 to 2.
func (w *window) lineEnd() int64 {
	off := int(w.pos - w.base)
	switch {
	case off >= 2 && w.buf[off-2] == '\r' && w.buf[off-1] == '\n':
		return 2
	case off >= 1 && w.buf[off-1] == '\n':
		return 1
	}
	return 0
}

// count brings the totals up to the position.
func (w *window) count() {
	if w.counted >= w.pos {
		return
	}
	b := w.buf[w.counted-w.base : w.pos-w.base]
	w.counted = w.pos
	lf := bytes.Count(b, []byte("\n"))
	crlf := bytes.Count(b, []byte("\r\n"))
	if b[0] == '\n' && w.last == '\r' {
		crlf++
	}
	w.lf += int64(lf)
	w.bare += int64(lf - crlf)
	w.last = b[len(b)-1]
	w.nul = w.nul || bytes.IndexByte(b, 0) >= 0
	w.nonASCII = w.nonASCII || hasNonASCII(b)
}

func hasNonASCII(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return true
		}
	}
	return !isASCII(b)
}

// startLeaf begins to decode at the position.
func (w *window) startLeaf(state decodeState) {
	state.tmp, state.qp.held = w.leaf.tmp, w.leaf.qp.held[:0]
	w.leaf, w.on, w.fed, w.got = state, true, w.pos, 0
}

// feed decodes up to an offset.
func (w *window) feed(to int64) {
	if to > w.fed {
		w.out = w.leaf.decode(w.out[:0], w.buf[w.fed-w.base:to-w.base], false)
		w.got += int64(len(w.out))
		w.fed = to
	}
}

// endLeaf ends the leaf at an offset and returns its decoded size.
func (w *window) endLeaf(end int64) int64 {
	w.feed(end)
	w.on = false
	return w.got + int64(len(w.leaf.decode(w.out[:0], nil, true)))
}
