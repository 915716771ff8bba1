package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mox/imap"
	"mox/internal/lex"
	"mox/message"
)

// ErrMbox: what should be an mbox file is none.
var ErrMbox = errors.New(`not an mbox file: it does not begin with a line "From "`)

// mboxReader reads an mbox file (RFC 4155). Messages begin with a line "From " at the
// start or after an empty line. ">From " in a body is unquoted as in mboxrd, of which
// mboxo is a part. A Content-Length (mboxcl, mboxcl2) is used where a message, or the file,
// ends there; lines of the body that begin with "From " are then left alone.
//
// Status, X-Status and X-Keywords become flags and do not stay in the message: an export
// has them again.
type mboxReader struct {
	r       *bufio.Reader
	mailbox string
	from    string // The From_ line of the next message, without line end.
	started bool
	err     error
}

func newMbox(r io.Reader, mailbox string) *mboxReader {
	return &mboxReader{r: bufio.NewReaderSize(r, 1<<20), mailbox: mailbox}
}

func (m *mboxReader) Close() error { return nil }

// line returns a line with its end, or a piece of a long one. It is valid until the next call.
func (m *mboxReader) line() (b []byte, whole bool, err error) {
	b, err = m.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return b, false, nil
	}
	if errors.Is(err, io.EOF) && len(b) > 0 {
		err = nil
	}
	return b, true, err
}

// Next implements [Source].
func (m *mboxReader) Next(w io.Writer) (Item, error) {
	if m.err != nil {
		return Item{}, m.err
	}
	if !m.started {
		m.started = true
		if m.err = m.begin(); m.err != nil {
			return Item{}, m.err
		}
	}
	it := Item{Mailbox: m.mailbox, Received: fromDate(m.from)}
	length, err := m.header(w, &it)
	if err == nil {
		err = m.body(w, length)
	}
	if errors.Is(err, io.EOF) { // The message is complete, and the last.
		m.err, err = io.EOF, nil
	}
	if err != nil {
		m.err = err
	}
	return it, err
}

// begin reads up to the first From_ line.
func (m *mboxReader) begin() error {
	for first := true; ; first = false {
		b, _, err := m.line()
		if first {
			b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		}
		switch {
		case err != nil:
			return err // An empty file has no messages.
		case isFrom(b):
			m.from = strings.TrimRight(string(b), "\r\n")
			return nil
		case len(bytes.TrimSpace(b)) > 0:
			return ErrMbox
		}
	}
}

// isFrom reports whether a line can be a From_ line. What follows is not looked at: there
// are too many forms of it.
func isFrom(b []byte) bool { return bytes.HasPrefix(b, []byte("From ")) && len(b) <= maxLine }

// header copies the header without the fields that are flags. The result is the
// Content-Length, -1 if there is none.
func (m *mboxReader) header(w io.Writer, it *Item) (length int64, err error) {
	length = -1
	skip, start := false, true
	for {
		b, whole, err := m.line()
		if err != nil {
			return length, err
		}
		if start {
			if len(bytes.TrimRight(b, "\r\n")) == 0 {
				_, err := w.Write(b)
				return length, err
			}
			if b[0] != ' ' && b[0] != '\t' {
				skip = len(b) <= maxLine && m.field(b, it, &length)
			}
		}
		start = whole
		if skip {
			continue
		}
		if _, err := w.Write(b); err != nil {
			return length, err
		}
	}
}

// field takes what a header field says, and reports whether it is not to stay.
func (m *mboxReader) field(b []byte, it *Item, length *int64) (remove bool) {
	name, value, _ := strings.Cut(string(b), ":")
	value = strings.TrimSpace(value)
	switch strings.ToLower(name) {
	case "status", "x-status":
		for _, c := range value {
			it.Flags.Flags |= statusFlags[c]
		}
		return true
	case "x-keywords":
		sep := func(c rune) bool { return c == ',' }
		if strings.ContainsAny(value, " \t") && !strings.Contains(value, ", ") { // As Dovecot and we have it: a comma can be in a keyword.
			sep = func(c rune) bool { return c == ' ' || c == '\t' }
		}
		for k := range strings.FieldsFuncSeq(value, sep) {
			addFlag(&it.Flags, strings.TrimSpace(k))
		}
		return true
	case "content-length":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
			*length = n
		}
	}
	return false
}

// statusFlags are the letters of Status and X-Status.
var statusFlags = map[rune]imap.Flags{'R': imap.FlagSeen, 'A': imap.FlagAnswered, 'F': imap.FlagFlagged, 'T': imap.FlagDraft, 'D': imap.FlagDeleted}

// body copies the body up to the next From_ line. The error is io.EOF after the last message.
func (m *mboxReader) body(w io.Writer, length int64) error {
	if ok, err := m.counted(length); err != nil {
		return err
	} else if ok {
		if _, err := io.CopyN(w, m.r, length); err != nil {
			return err
		}
		return m.next()
	}
	empty := true // The line before, which was not written yet if it was.
	var held []byte
	for start := true; ; {
		b, whole, err := m.line()
		if err != nil {
			return err // The empty line before the end belongs to the file.
		}
		if start && empty && isFrom(b) {
			m.from = strings.TrimRight(string(b), "\r\n")
			return nil
		}
		if len(held) > 0 {
			if _, err := w.Write(held); err != nil {
				return err
			}
			held = held[:0]
		}
		text := b
		if start && isQuotedFrom(b) {
			text = b[1:]
		}
		empty = start && whole && len(bytes.TrimRight(b, "\r\n")) == 0
		start = whole
		if empty {
			held = append(held, b...)
			continue
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
}

func isQuotedFrom(b []byte) bool {
	t := bytes.TrimLeft(b, ">")
	return len(t) < len(b) && bytes.HasPrefix(t, []byte("From "))
}

// counted reports whether a Content-Length can be right: there, the file ends or a From_
// line follows. It is only looked at as far as the buffer reaches.
func (m *mboxReader) counted(length int64) (bool, error) {
	if length < 0 || length > int64(m.r.Size()-maxLine) {
		return false, nil
	}
	b, err := m.r.Peek(int(length) + len("\r\n\r\nFrom "))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if int64(len(b)) < length {
		return false, nil
	}
	rest := bytes.TrimLeft(b[length:], "\r\n")
	ended := length == 0 || b[length-1] == '\n' || len(rest) < len(b[length:])
	return ended && (bytes.HasPrefix(rest, []byte("From ")) || len(rest) == 0 && errors.Is(err, io.EOF)), nil
}

// next reads the From_ line after a counted body.
func (m *mboxReader) next() error {
	for {
		b, _, err := m.line()
		if err != nil {
			return err
		}
		if isFrom(b) {
			m.from = strings.TrimRight(string(b), "\r\n")
			return nil
		}
		if len(bytes.TrimSpace(b)) > 0 {
			return fmt.Errorf("%w: after a message with Content-Length", ErrMbox)
		}
	}
}

// fromDate returns the date of a From_ line, zero if there is none. It follows an address,
// which can have spaces in it, and begins with a day of the week.
func fromDate(line string) time.Time {
	words := strings.Fields(strings.TrimPrefix(line, "From "))
	for i, w := range words {
		w = strings.TrimRight(w, ",")
		if len(w) != 3 || !strings.Contains("SunMonTueWedThuFriSat", w) || !lex.Alpha.Has(w[0]) {
			continue
		}
		d := words[i:]
		if len(d) > 5 && strings.ContainsAny(d[4][:1], "+-") { // A zone before the year.
			d = []string{d[0], d[1], d[2], d[3], d[5], d[4]}
		}
		if t, ok := message.ParseDate(strings.Join(d, " ")); ok {
			return t
		}
	}
	return time.Time{}
}
