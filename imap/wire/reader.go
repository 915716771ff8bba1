package wire

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Errors of [Reader.ReadLine].
var (
	ErrLineTooLong = errors.New("line too long")
	ErrBareLF      = errors.New("line does not end in crlf")
)

// bufferSize is what a Reader or Encoder takes from Buffers. A line of MaxLine fits.
const bufferSize = MaxLine + 2

// Buffers is a pool of buffers that connections share. The zero value is ready, and nil
// is too: then buffers are not kept. It is safe for use by many goroutines.
type Buffers struct {
	pool sync.Pool
}

func (b *Buffers) get() []byte {
	if b != nil {
		if p, ok := b.pool.Get().(*[]byte); ok {
			return *p
		}
	}
	return make([]byte, bufferSize)
}

func (b *Buffers) put(buf []byte) {
	if b != nil && cap(buf) == bufferSize {
		buf = buf[:bufferSize]
		b.pool.Put(&buf)
	}
}

// A Reader has the lines and bytes of a connection. Time-outs are those of the
// connection.
type Reader struct {
	src  io.Reader
	pool *Buffers
	buf  []byte // Nil while nothing is buffered.
	r, w int    // Unread bytes are buf[r:w].

	// While waiting for a command, input goes here, so that an idle connection needs no
	// buffer and a short command one read.
	idle [128]byte
}

// NewReader returns a Reader from src. The pool may be nil.
func NewReader(src io.Reader, pool *Buffers) *Reader {
	return &Reader{src: src, pool: pool}
}

// Reset makes the Reader read from src, as needed when a connection gets a TLS or
// compression layer. What is buffered is dropped; see [Reader.TakeBuffered].
func (r *Reader) Reset(src io.Reader) {
	r.src = src
	r.release()
}

// TakeBuffered returns a copy of the bytes that have been read from the connection and
// not from the Reader, and drops them.
func (r *Reader) TakeBuffered() []byte {
	b := bytes.Clone(r.buf[r.r:r.w])
	r.release()
	return b
}

// Buffered returns how many bytes can be read without waiting.
func (r *Reader) Buffered() int {
	return r.w - r.r
}

func (r *Reader) release() {
	if r.buf != nil {
		r.pool.put(r.buf)
	}
	r.buf, r.r, r.w = nil, 0, 0
}

// Wait returns when there is input. Meanwhile the Reader holds no buffer. A line that
// was returned earlier is no longer valid. At the end of the input the error is io.EOF.
func (r *Reader) Wait() error {
	if r.w > r.r {
		return nil
	}
	r.release()
	n, err := readSome(r.src, r.idle[:])
	if err != nil {
		return err
	}
	r.buf = r.pool.get()
	r.w = copy(r.buf, r.idle[:n])
	clear(r.idle[:n])
	return nil
}

// readSome reads at least one byte.
func readSome(src io.Reader, p []byte) (int, error) {
	for range 100 {
		n, err := src.Read(p)
		if n > 0 {
			return n, nil // An error comes again with the next read.
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// ReadLine returns the next line without its CRLF. The line is valid until the next
// call of a method. A line of more than max bytes is [ErrLineTooLong]: the connection
// can only be closed. A line that ends in LF alone is returned with [ErrBareLF], and
// reading can go on. At the end of the input, before any byte of a line, the error is io.EOF.
func (r *Reader) ReadLine(max int) (line []byte, err error) {
	scanned := 0 // Bytes of buf[r.r:r.w] that have no LF.
	for {
		if i := bytes.IndexByte(r.buf[r.r+scanned:r.w], '\n'); i >= 0 {
			line = r.buf[r.r : r.r+scanned+i]
			r.r += len(line) + 1
			n := len(line) - 1
			if n < 0 || line[n] != '\r' {
				n++
				err = ErrBareLF
			}
			if n > max {
				return nil, ErrLineTooLong
			}
			return line[:n], err
		}
		scanned = r.w - r.r
		if scanned > max+1 {
			return nil, ErrLineTooLong
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && scanned > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// fill reads more input behind what is buffered, in a larger buffer if need be.
func (r *Reader) fill() error {
	if r.buf == nil {
		r.buf = r.pool.get()
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.w == len(r.buf) {
		buf := make([]byte, 2*len(r.buf))
		copy(buf, r.buf)
		r.pool.put(r.buf)
		r.buf = buf
	}
	n, err := readSome(r.src, r.buf[r.w:])
	r.w += n
	return err
}

// Read reads bytes as they are, as io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.w > r.r {
		n := copy(p, r.buf[r.r:r.w])
		r.r += n
		return n, nil
	}
	if len(p) >= bufferSize {
		return readSome(r.src, p)
	}
	r.r, r.w = 0, 0
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.buf[:r.w])
	r.r = n
	return n, nil
}

// Discard reads and drops n bytes.
func (r *Reader) Discard(n int64) error {
	for n > 0 {
		if r.w == r.r {
			r.r, r.w = 0, 0
			if err := r.fill(); err != nil {
				return noEOF(err)
			}
		}
		k := min(n, int64(r.w-r.r))
		r.r += int(k)
		n -= k
	}
	return nil
}

// noEOF makes the end of the input an error where more must follow.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
