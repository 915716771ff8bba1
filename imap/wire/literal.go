package wire

import (
	"bytes"
	"io"
	"math"

	"mox/imap"
)

// A Literal is the announcement of a literal that holds a message. RFC 9051 §4.3
type Literal struct {
	Size    int64
	NonSync bool // The peer sends it without waiting. RFC 7888 §3
	Binary  bool // literal8: it may have NUL bytes. RFC 3516 §4.4
}

// msgLiteral is the message literal at the end of the current line.
type msgLiteral struct {
	header Literal
	at     bool // The announcement was parsed.
	open   bool // The peer sends, or has sent, the bytes.
	left   int64
}

// parseLiteral parses the announcement that ends line, starting at its last "{" or "~{".
// It returns where that starts.
func parseLiteral(line []byte) (lit Literal, start int, ok bool) {
	if len(line) < 3 || line[len(line)-1] != '}' {
		return Literal{}, 0, false
	}
	i := len(line) - 2
	if line[i] == '+' {
		lit.NonSync = true
		i--
	}
	end := i + 1
	for i >= 0 && line[i] >= '0' && line[i] <= '9' {
		i--
	}
	if i < 0 || line[i] != '{' || i+1 == end {
		return Literal{}, 0, false
	}
	size, ok := parseNumber64(line[i+1 : end])
	if !ok {
		size = math.MaxInt64 // A literal all the same, so it must not be read as commands.
	}
	lit.Size = int64(size)
	if i > 0 && line[i-1] == '~' {
		lit.Binary = true
		i--
	}
	return lit, i, true
}

// LiteralSize returns the size of the literal that line ends in, if it does.
func LiteralSize(line []byte) (int64, bool) {
	lit, _, ok := parseLiteral(line)
	return lit.Size, ok
}

// literalNext reports whether a literal is announced at the current position.
func (d *Decoder) literalNext() bool {
	return d.PeekIs('{') || d.PeekIs('~') && d.pos+1 < len(d.line) && d.line[d.pos+1] == '{'
}

// needLiteral parses the announcement of a literal, which must end the line.
func (d *Decoder) needLiteral(binaryOK bool) (Literal, bool) {
	if d.err != nil {
		return Literal{}, false
	}
	lit, start, ok := parseLiteral(d.line)
	switch {
	case !ok || start != d.pos:
		d.Fail("expected literal at end of line")
	case lit.Binary && !binaryOK:
		d.Fail("literal8 is not allowed here")
	case lit.NonSync && d.opts.Response:
		d.Fail("server must not send a non-synchronizing literal")
	default:
		return lit, true
	}
	return Literal{}, false
}

// accept lets the peer send the literal at the end of the line.
func (d *Decoder) accept(lit Literal) {
	if !lit.NonSync && !d.opts.Response && d.opts.Continue != nil {
		if err := d.opts.Continue(); err != nil {
			d.broken = true
			d.setErr(err)
		}
	}
	d.pos = len(d.line)
}

// needLiteralString reads a literal that is a string, and the next line. Only a literal8
// may have NUL bytes.
func (d *Decoder) needLiteralString(binaryOK bool) string {
	lit, ok := d.needLiteral(binaryOK)
	if !ok {
		return ""
	}
	l := &d.opts.Limits
	if lit.Size > int64(l.Literal) || lit.Size > int64(l.LiteralTotal-d.total) || d.literals >= l.Literals {
		d.setErr(imap.Bad(imap.CodeTooBig, "literals too large or too many"))
		return ""
	}
	d.literals++
	d.total += int(lit.Size)
	d.accept(lit)
	if d.err != nil {
		return ""
	}
	b, err := readFull(d.r, int(lit.Size))
	if err != nil {
		d.broken = true
		d.setErr(err)
		return ""
	}
	d.nextLine()
	d.total += len(d.line)
	if d.err == nil && d.total > l.LiteralTotal {
		d.setErr(imap.Bad(imap.CodeTooBig, "command too large"))
	}
	if !lit.Binary && bytes.IndexByte(b, 0) >= 0 {
		d.Fail("literal with NUL byte before this line")
	}
	if d.err != nil {
		return ""
	}
	return string(b)
}

// readFull reads n bytes. It allocates no more than twice what the peer has sent, and a
// little, as the announced size may be a lie.
func readFull(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, 128<<10))
	for have := 0; ; {
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			return nil, noEOF(err)
		}
		if len(b) == n {
			return b, nil
		}
		have = len(b)
		b = append(b, make([]byte, min(n-have, have))...)
	}
}

// NeedMessage parses the announcement of a literal that holds a message, without
// letting the peer send it. Then call either [Decoder.OpenMessage], or, to refuse the
// message, [Decoder.Abandon].
func (d *Decoder) NeedMessage() Literal {
	lit, ok := d.needLiteral(true)
	if ok {
		d.msg = msgLiteral{header: lit, at: true, left: lit.Size}
	}
	return lit
}

// OpenMessage lets the peer send the literal of NeedMessage and returns its bytes. Reading
// them ends with io.EOF after the announced size; if the connection ends before, the error
// is io.ErrUnexpectedEOF. Afterwards call [Decoder.CloseMessage].
func (d *Decoder) OpenMessage() io.Reader {
	if d.err == nil && !d.msg.at {
		d.Fail("no literal to read")
	}
	if d.err == nil {
		d.accept(d.msg.header)
		d.msg.open = true
	}
	return messageReader{d}
}

// CloseMessage reads what is left of the literal and goes on to the next line.
func (d *Decoder) CloseMessage() {
	if d.err != nil || !d.msg.open {
		return
	}
	left := d.msg.left
	d.msg = msgLiteral{}
	if err := d.r.Discard(left); err != nil {
		d.broken = true
		d.setErr(err)
		return
	}
	d.nextLine()
}

// messageReader reads the open message literal of a Decoder.
type messageReader struct {
	d *Decoder
}

func (m messageReader) Read(p []byte) (int, error) {
	d := m.d
	switch {
	case d.err != nil:
		return 0, d.err
	case !d.msg.open || d.msg.left == 0:
		return 0, io.EOF
	}
	n, err := d.r.Read(p[:min(int64(len(p)), d.msg.left)])
	d.msg.left -= int64(n)
	if err != nil {
		d.broken = true
		d.setErr(noEOF(err))
	}
	return n, d.err
}

// Abandon gives up the current command, so that the next can be read: it reads the
// literals that the peer sends without waiting and the lines after them, at most
// Limits.Drain bytes. A synchronising literal that was not accepted ends the command: the
// peer waits for it to be answered. An error means that the connection must be closed; the
// error from before stays in [Decoder.Err].
func (d *Decoder) Abandon() error {
	if d.broken {
		return d.err
	}
	left := d.opts.Limits.Drain
	if d.msg.open {
		if left -= d.msg.left; left < 0 {
			return d.drainError()
		}
		if err := d.r.Discard(d.msg.left); err != nil {
			return err
		}
		if err := d.skipLine(&left); err != nil {
			return err
		}
	}
	d.msg = msgLiteral{}
	for {
		lit, _, ok := parseLiteral(d.line)
		if !ok || !lit.NonSync && !d.opts.Response {
			break
		}
		if left -= min(lit.Size, left+1); left < 0 {
			return d.drainError()
		}
		if err := d.r.Discard(lit.Size); err != nil {
			return err
		}
		if err := d.skipLine(&left); err != nil {
			return err
		}
	}
	d.line, d.pos = nil, 0
	return nil
}

func (d *Decoder) drainError() error {
	d.broken = true
	return imap.Bye(imap.CodeTooBig, "too much data for a refused command")
}

// skipLine reads the line after a literal of an abandoned command.
func (d *Decoder) skipLine(left *int64) error {
	line, err := d.r.ReadLine(d.opts.Limits.Line)
	if err != nil && err != ErrBareLF {
		d.broken = true
		return noEOF(err)
	}
	d.line = line
	if *left -= int64(len(line)); *left < 0 {
		return d.drainError()
	}
	return nil
}
