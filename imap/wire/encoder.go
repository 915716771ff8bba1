package wire

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"mox/imap"
)

// An Encoder writes responses, or commands, in buffers that it gives back when flushed.
// Time-outs are those of the connection. After an error of the connection, or of what a
// literal is read from, nothing more is written and every Flush returns that error: the
// peer could not stay in sync.
type Encoder struct {
	w    io.Writer
	pool *Buffers
	buf  []byte // Nil when nothing is buffered.
	err  error
	utf8 bool
	sep  bool // The next Item needs a space before it.

	// For commands, nil for responses. See SetCommand.
	nonSync func(size int64) bool
	wait    func() error
}

// NewEncoder returns an Encoder that writes to w. The pool may be nil.
func NewEncoder(w io.Writer, pool *Buffers) *Encoder {
	return &Encoder{w: w, pool: pool}
}

// Reset makes the Encoder write to w, as needed when a connection gets a TLS or
// compression layer. What is buffered must have been flushed.
func (e *Encoder) Reset(w io.Writer) {
	e.w = w
}

// SetUTF8 says whether the peer takes UTF-8 in quoted strings and mailbox names, as it
// does after IMAP4rev2 or UTF8=ACCEPT was enabled. Before, other text than ASCII is sent
// in literals, and mailbox names in modified UTF-7. RFC 9755 §3
func (e *Encoder) SetUTF8(on bool) {
	e.utf8 = on
}

// SetCommand makes the Encoder write literals as a client does: without waiting if
// nonSync returns true for the size, else after flushing and wait, which returns nil once
// the server has asked for the literal. RFC 7888 §3
func (e *Encoder) SetCommand(nonSync func(size int64) bool, wait func() error) {
	e.nonSync, e.wait = nonSync, wait
}

// Err returns the first error, or nil.
func (e *Encoder) Err() error {
	return e.err
}

// Fail records an error, unless there is one already, so that nothing more is written.
func (e *Encoder) Fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Buffered returns how many bytes wait to be flushed.
func (e *Encoder) Buffered() int {
	return len(e.buf)
}

// Flush writes what is buffered and gives the buffer back. It returns the first error.
func (e *Encoder) Flush() error {
	e.flush()
	if e.buf != nil {
		e.pool.put(e.buf)
		e.buf = nil
	}
	return e.err
}

// flush writes what is buffered.
func (e *Encoder) flush() {
	if len(e.buf) > 0 && e.err == nil {
		if _, err := e.w.Write(e.buf); err != nil {
			e.err = err
		}
	}
	e.buf = e.buf[:0]
}

// room returns the buffer with room for n more bytes, or, if n is more than a whole
// buffer, an empty one. What is appended to it must be given to done.
func (e *Encoder) room(n int) []byte {
	if e.buf == nil {
		e.buf = e.pool.get()[:0]
	}
	if cap(e.buf)-len(e.buf) < n {
		e.flush()
	}
	return e.buf
}

// done takes the buffer back. One that has grown is written and dropped.
func (e *Encoder) done(b []byte) {
	e.buf = b
	if cap(b) > bufferSize {
		e.flush()
		e.buf = nil
	}
}

// Raw appends s as it is.
func (e *Encoder) Raw(s string) {
	if len(s) > bufferSize {
		e.flush()
		if e.err == nil {
			_, e.err = io.WriteString(e.w, s)
		}
		return
	}
	e.done(append(e.room(len(s)), s...))
}

// RawBytes appends b as it is.
func (e *Encoder) RawBytes(b []byte) {
	if len(b) > bufferSize {
		e.flush()
		if e.err == nil {
			_, e.err = e.w.Write(b)
		}
		return
	}
	e.done(append(e.room(len(b)), b...))
}

// Byte appends a byte as it is.
func (e *Encoder) Byte(c byte) {
	e.done(append(e.room(1), c))
}

// SP appends a space.
func (e *Encoder) SP() {
	e.Byte(' ')
}

// CRLF ends a line.
func (e *Encoder) CRLF() {
	e.done(append(e.room(2), '\r', '\n'))
}

// Open begins a list.
func (e *Encoder) Open() {
	e.Byte('(')
	e.sep = false
}

// Close ends a list.
func (e *Encoder) Close() {
	e.Byte(')')
	e.sep = true
}

// Item begins an element of a list: it appends a space, unless it is the first.
func (e *Encoder) Item() {
	if e.sep {
		e.Byte(' ')
	}
	e.sep = true
}

// Name begins an element of a list that has a name and a value, as in FETCH responses.
func (e *Encoder) Name(name string) {
	e.Item()
	e.Raw(name)
	e.SP()
}

// Number appends a number.
func (e *Encoder) Number(n uint64) {
	e.done(strconv.AppendUint(e.room(20), n, 10))
}

// NIL appends NIL.
func (e *Encoder) NIL() {
	e.Raw("NIL")
}

// DateTime appends a date-time in quotes. RFC 9051 §9, production date-time
func (e *Encoder) DateTime(t time.Time) {
	b := append(e.room(32), '"')
	e.done(append(imap.AppendDateTime(b, t), '"'))
}

// Date appends a date. RFC 9051 §9, production date-text
func (e *Encoder) Date(d imap.Date) {
	e.done(d.AppendTo(e.room(16)))
}

// NumSet appends a number set, which must not be empty.
func (e *Encoder) NumSet(s imap.NumSet) {
	e.done(s.AppendTo(e.room(1024)))
}

// Ranges appends a set of numbers, which must not be empty.
func (e *Encoder) Ranges(r imap.Ranges) {
	e.done(r.AppendTo(e.room(1024)))
}

// Flags appends flags and keywords in parentheses.
func (e *Encoder) Flags(f imap.Flags, keywords []string) {
	b := append(e.room(128), '(')
	b = f.AppendTo(b)
	for i, k := range keywords {
		if i > 0 || f != 0 {
			b = append(b, ' ')
		}
		b = append(b, k...)
	}
	e.done(append(b, ')'))
	e.sep = true
}

// Words appends words in parentheses, as they are: flag names, capabilities.
func (e *Encoder) Words(words []string) {
	e.Byte('(')
	for i, w := range words {
		if i > 0 {
			e.SP()
		}
		e.Raw(w)
	}
	e.Byte(')')
	e.sep = true
}

// FetchItem appends the name of a data item as it is written in a FETCH response, where a
// partial has only its offset. RFC 9051 §7.5.2
func (e *Encoder) FetchItem(item *imap.FetchItem) {
	b := append(e.room(1024), item.Attr.String()...)
	if item.Attr.HasSection() {
		b = item.Section.AppendTo(b)
	}
	if item.Partial != nil {
		b = append(b, '<')
		b = strconv.AppendInt(b, item.Partial.Offset, 10)
		b = append(b, '>')
	}
	e.done(b)
}

// Literal appends a literal of size bytes that are read from r. If r has fewer bytes or
// fails, the Encoder fails. A literal8 may have NUL bytes. RFC 9051 §4.3
func (e *Encoder) Literal(size int64, binary bool, r io.Reader) {
	e.literalHeader(size, binary)
	for size > 0 && e.err == nil {
		b := e.room(1024)
		free := b[len(b):cap(b)]
		n, err := readSome(r, free[:min(int64(len(free)), size)])
		e.buf = b[:len(b)+n]
		size -= int64(n)
		if err != nil && size > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			e.Fail(fmt.Errorf("reading literal: %w", err))
		}
	}
}

// literalHeader appends the announcement of a literal, and waits for the server where
// that is needed.
func (e *Encoder) literalHeader(size int64, binary bool) {
	b := e.room(32)
	if binary {
		b = append(b, '~')
	}
	b = append(b, '{')
	b = strconv.AppendInt(b, size, 10)
	nonSync := e.nonSync != nil && e.nonSync(size)
	if nonSync {
		b = append(b, '+')
	}
	e.done(append(b, '}', '\r', '\n'))
	if e.nonSync != nil && !nonSync {
		if e.Flush() == nil {
			e.err = e.wait()
		}
	}
}
