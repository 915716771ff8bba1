package inflate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt is for input that is not DEFLATE.
var ErrCorrupt = errors.New("corrupt deflate data")

const (
	windowSize = 32 << 10 // RFC 1951 §2
	windowMask = windowSize - 1
	inputSize  = 1 << 10

	// symbolBits is the most that a length and a distance take with their extra bits.
	symbolBits = 15 + 5 + 15 + 13

	endOfBlock = 256
)

// A Reader decompresses.
type Reader struct {
	in   *bufio.Reader
	bits uint64 // The next ones, the first is the lowest.
	n    uint   // How many there are.

	step   func(r *Reader) error // Decodes what is next.
	final  bool                  // The block is the last one.
	stored int                   // Octets of a stored block that are left.
	lit    *code                 // Of the block.
	dist   *code
	err    error

	// What was decoded last. Octets from read to written are still to be returned.
	window        [windowSize]byte
	read, written int
}

// NewReader returns a reader of what r has. It may read up to 1 KB ahead.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, inputSize), step: (*Reader).header}
}

// Read returns decompressed data. After the last block, the error is io.EOF. Errors match
// ErrCorrupt, or are those of the reader below; an end in the middle of data is
// io.ErrUnexpectedEOF.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil {
		ready := r.written - r.read
		// What is next may not be there yet.
		if ready >= len(p) || ready > 0 && r.in.Buffered() == 0 && r.n < symbolBits {
			break
		}
		// A copy is at most as long as what has room in front of what is to be returned.
		if ready > windowSize/2 {
			break
		}
		r.err = r.step(r)
		if r.err == io.EOF && !r.final {
			r.err = io.ErrUnexpectedEOF
		}
	}
	n := 0
	for n < len(p) && r.read < r.written {
		start := r.read & windowMask
		k := copy(p[n:], r.window[start:min(windowSize, start+r.written-r.read)])
		n += k
		r.read += k
	}
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

// need makes n bits available.
func (r *Reader) need(n uint) error {
	for r.n < n {
		c, err := r.in.ReadByte()
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		r.bits |= uint64(c) << r.n
		r.n += 8
	}
	return nil
}

// take returns the next n bits.
func (r *Reader) take(n uint) (int, error) {
	if err := r.need(n); err != nil {
		return 0, err
	}
	v := int(r.bits & (1<<n - 1))
	r.bits >>= n
	r.n -= n
	return v, nil
}

func (r *Reader) put(c byte) {
	r.window[r.written&windowMask] = c
	r.written++
}

// header reads the header of a block. RFC 1951 §3.2.3
func (r *Reader) header() error {
	if r.final {
		return io.EOF
	}
	final, err := r.take(1)
	if err != nil {
		return err
	}
	kind, err := r.take(2)
	if err != nil {
		return err
	}
	last := final == 1
	switch kind {
	case 0:
		err = r.storedHeader()
	case 1:
		r.lit, r.dist, r.step = fixedLit, fixedDist, (*Reader).symbol
	case 2:
		err = r.dynamicHeader()
	default:
		err = fmt.Errorf("%w: reserved type of block", ErrCorrupt)
	}
	r.final = last && err == nil
	return err
}

// storedHeader reads the header of a stored block. RFC 1951 §3.2.4
func (r *Reader) storedHeader() error {
	if _, err := r.take(r.n % 8); err != nil {
		return err
	}
	n, err := r.take(16)
	if err != nil {
		return err
	}
	complement, err := r.take(16)
	if err != nil {
		return err
	}
	if n != complement^0xffff {
		return fmt.Errorf("%w: length of stored block", ErrCorrupt)
	}
	r.stored, r.step = n, (*Reader).copyStored
	return nil
}

// copyStored copies an octet of a stored block.
func (r *Reader) copyStored() error {
	if r.stored == 0 {
		r.step = (*Reader).header
		return nil
	}
	c, err := r.take(8)
	if err != nil {
		return err
	}
	r.stored--
	r.put(byte(c))
	return nil
}

// symbol decodes a literal, or a length and distance. RFC 1951 §3.2.5
func (r *Reader) symbol() error {
	v, err := r.decode(r.lit)
	switch {
	case err != nil:
		return err
	case v < endOfBlock:
		r.put(byte(v))
		return nil
	case v == endOfBlock:
		r.step = (*Reader).header
		return nil
	case v-257 >= len(lengths):
		return fmt.Errorf("%w: length symbol %d", ErrCorrupt, v)
	}
	length, err := r.extra(lengths[v-257])
	if err != nil {
		return err
	}
	d, err := r.decode(r.dist)
	if err != nil {
		return err
	}
	if d >= len(distances) {
		return fmt.Errorf("%w: distance symbol %d", ErrCorrupt, d)
	}
	distance, err := r.extra(distances[d])
	if err != nil {
		return err
	}
	if distance > r.written {
		return fmt.Errorf("%w: distance of %d after %d octets", ErrCorrupt, distance, r.written)
	}
	for range length {
		r.put(r.window[(r.written-distance)&windowMask])
	}
	return nil
}

func (r *Reader) extra(e extraBits) (int, error) {
	v, err := r.take(e.bits)
	return e.base + v, err
}
