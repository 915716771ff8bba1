package wire

import (
	"fmt"
	"io"
	"strings"

	"mox/imap"
	"mox/internal/lex"
)

// Options are the options of a [Decoder].
type Options struct {
	Limits Limits // Zero fields are those of ServerLimits.

	// Continue is called before a synchronising literal is read. It sends the
	// continuation request, and may set a deadline for reading. RFC 9051 §7.6
	// It is not used for responses.
	Continue func() error

	// OnLine, if not nil, is called with each line that follows a literal, for
	// transcripts. The line is only valid during the call. For the first line there is
	// [Decoder.Line].
	OnLine func(line []byte)

	// Response is for reading what a server sends: its literals are never
	// synchronising, and never marked as non-synchronising. RFC 9051 §9, literal
	Response bool
}

// A Decoder parses commands, or responses. Call [Decoder.ReadLine] to begin one, the
// Need and Try methods for its parts, and [Decoder.End] at its end. If that or anything
// before it fails, call [Decoder.Abandon] before the next.
//
// Errors are either an *[imap.Error], usually BAD with an *[lex.Error] as cause, or an error
// of the connection.
type Decoder struct {
	r    *Reader
	opts Options
	utf8 bool // Mailbox names are UTF-8, not modified UTF-7.

	// State of the current command.
	line     []byte // Current line without CRLF, in the buffer of r.
	pos      int
	err      error
	broken   bool // err is of the connection; nothing can be read.
	prods    []string
	leaveFn  func()
	literals int // String literals read.
	total    int // Bytes of those, and of the lines after them.
	msg      msgLiteral
}

// NewDecoder returns a Decoder that reads from r.
func NewDecoder(r *Reader, opts Options) *Decoder {
	def := ServerLimits()
	l := &opts.Limits
	for _, f := range []struct{ v, def *int }{
		{&l.Line, &def.Line}, {&l.Literal, &def.Literal}, {&l.LiteralTotal, &def.LiteralTotal},
		{&l.Literals, &def.Literals}, {&l.Ranges, &def.Ranges},
	} {
		if *f.v == 0 {
			*f.v = *f.def
		}
	}
	if l.Drain == 0 {
		l.Drain = def.Drain
	}
	d := &Decoder{r: r, opts: opts}
	d.leaveFn = d.leave
	return d
}

// SetUTF8 says whether mailbox names are UTF-8, as they are after IMAP4rev2 or
// UTF8=ACCEPT was enabled, or else modified UTF-7. RFC 9755 §3
func (d *Decoder) SetUTF8(on bool) {
	d.utf8 = on
}

// ReadLine begins a command or response: it reads its first line and clears the error
// of the one before. At the end of the input the error is io.EOF. A line that is too
// long is a BYE error, as the connection cannot stay in sync; one without CRLF is BAD.
func (d *Decoder) ReadLine() error {
	d.err, d.prods, d.literals, d.total, d.msg = nil, d.prods[:0], 0, 0, msgLiteral{}
	d.readLine()
	return d.err
}

// readLine reads a line and goes to its start.
func (d *Decoder) readLine() {
	line, err := d.r.ReadLine(d.opts.Limits.Line)
	d.line, d.pos = line, 0
	switch err {
	case nil:
	case ErrBareLF:
		d.Fail("line does not end in CRLF")
	case ErrLineTooLong:
		d.broken = true
		d.setErr(imap.Bye("", "line too long").With(err))
	default:
		d.broken = true
		d.setErr(err)
	}
}

// nextLine reads the line that goes on after a literal.
func (d *Decoder) nextLine() {
	d.readLine()
	if d.err == io.EOF {
		d.err = io.ErrUnexpectedEOF
	}
	if d.err == nil && d.opts.OnLine != nil {
		d.opts.OnLine(d.line)
	}
}

// Line returns the current line without CRLF. It is valid until the next call of a
// method.
func (d *Decoder) Line() []byte {
	return d.line
}

// Err returns the first error, or nil.
func (d *Decoder) Err() error {
	return d.err
}

// End records an error if there is more of the command, and returns the first error.
func (d *Decoder) End() error {
	if d.err == nil && d.pos < len(d.line) {
		d.Fail("expected end of line")
	}
	return d.err
}

func (d *Decoder) setErr(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Fail records a syntax error at the current position, unless there is an error
// already. The text must have nothing of the input in it.
func (d *Decoder) Fail(format string, args ...any) {
	d.failAt(d.pos, format, args...)
}

func (d *Decoder) failAt(pos int, format string, args ...any) {
	if d.err != nil {
		return
	}
	d.setErr(imap.Bad("", "syntax error").With(&lex.Error{
		Production: d.production(),
		Column:     pos + 1,
		Text:       fmt.Sprintf(format, args...),
	}))
}

// FailWith records a protocol error that is not one of syntax, unless there is an error
// already.
func (d *Decoder) FailWith(err *imap.Error) {
	d.setErr(err)
}

// In enters a production, which errors then name. The function it returns leaves it:
//
//	defer d.In("fetch-att")()
func (d *Decoder) In(production string) func() {
	d.prods = append(d.prods, production)
	return d.leaveFn
}

func (d *Decoder) leave() {
	d.prods = d.prods[:len(d.prods)-1]
}

// production returns the outermost and innermost productions that are open.
func (d *Decoder) production() string {
	const shown = 4
	p := d.prods
	if len(p) > shown {
		return p[0] + "/.../" + strings.Join(p[len(p)-shown+1:], "/")
	}
	return strings.Join(p, "/")
}

// AtEnd reports whether the line has no more bytes. It is true after an error, so that
// loops end.
func (d *Decoder) AtEnd() bool {
	return d.err != nil || d.pos >= len(d.line)
}

// Peek returns the next byte of the line, and false at its end and after an error.
func (d *Decoder) Peek() (byte, bool) {
	if d.AtEnd() {
		return 0, false
	}
	return d.line[d.pos], true
}

// PeekIs reports whether c is next.
func (d *Decoder) PeekIs(c byte) bool {
	return d.err == nil && d.pos < len(d.line) && d.line[d.pos] == c
}

// TryByte consumes c if it is next.
func (d *Decoder) TryByte(c byte) bool {
	if !d.PeekIs(c) {
		return false
	}
	d.pos++
	return true
}

// NeedByte consumes c.
func (d *Decoder) NeedByte(c byte) {
	if !d.TryByte(c) {
		d.Fail("expected %q", c)
	}
}

// TrySP consumes a space if it is next.
func (d *Decoder) TrySP() bool {
	return d.TryByte(' ')
}

// NeedSP consumes a space.
func (d *Decoder) NeedSP() {
	if !d.TryByte(' ') {
		d.Fail("expected space")
	}
}

// span returns the longest run of bytes in class that is next, without consuming it.
func (d *Decoder) span(class *lex.Class) []byte {
	if d.err != nil {
		return nil
	}
	i := d.pos
	for i < len(d.line) && class.Has(d.line[i]) {
		i++
	}
	return d.line[d.pos:i]
}

// needSpan consumes at least one byte of class.
func (d *Decoder) needSpan(class *lex.Class, name string) string {
	b := d.span(class)
	if len(b) == 0 {
		d.Fail("expected %s", name)
		return ""
	}
	d.pos += len(b)
	return string(b)
}

// NeedRest consumes the rest of the line, which may be empty.
func (d *Decoder) NeedRest() string {
	if d.err != nil {
		return ""
	}
	s := string(d.line[d.pos:])
	d.pos = len(d.line)
	return s
}

// Pos returns the position in the current line, from 0.
func (d *Decoder) Pos() int {
	return d.pos
}

// NeedText consumes the rest of the line, which may be empty, as text for humans.
// RFC 9051 §9, production text
func (d *Decoder) NeedText() string {
	pos := d.pos
	return d.checkQuoted(d.NeedRest(), pos)
}

// codeChar are the bytes of the arguments of unknown response codes.
var codeChar = lex.TextChar.Without(lex.RespSpecial)

// NeedCodeText consumes the arguments of an unknown response code. RFC 9051 §9, production
// resp-text-code
func (d *Decoder) NeedCodeText() string {
	return d.needSpan(&codeChar, "text")
}
