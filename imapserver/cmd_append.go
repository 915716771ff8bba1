package imapserver

import (
	"cmp"
	"context"
	"io"

	"mox/imap"
	"mox/internal/safefile"
	"mox/store"
)

// APPEND. RFC 9051 §6.3.12, with several messages (RFC 3502), literal8 (RFC 3516 §4.4),
// UTF8 (RFC 6855 §4), the limit on size (RFC 7889), and CATENATE (RFC 4469).

// runAppend reads messages into spools and stores all or none of them. What can be known
// before the client sends a message is checked before it is asked for it.
func runAppend(ctx context.Context, s *session, name string) (reply, error) {
	a := appending{session: s, name: name}
	defer a.close()
	for {
		if err := a.message(); err != nil {
			return reply{}, err
		}
		if s.c.dec.AtEnd() {
			break
		}
	}
	if err := s.c.endCommand(); err != nil {
		return reply{}, err
	}
	var stored []store.Message
	err := s.c.working(func() (err error) {
		stored, err = s.account.Append(ctx, a.msgs...)
		return err
	})
	if err != nil {
		return reply{}, tryCreate(err)
	}
	var uids imap.Ranges
	for _, m := range stored {
		uids.Add(m.UID)
	}
	s.noteAppend(a.mailbox.ID, uids)
	// The UIDs are those of the mailbox that it went to, whatever has happened since.
	return reply{code: imap.AppendUIDCode(a.mailbox.UIDValidity, uids)}, nil
}

// appending is an APPEND being read.
type appending struct {
	*session
	name     string
	mailbox  store.Mailbox
	msgs     []store.NewMessage
	replaced int64       // Messages that are replaced.
	more     store.Usage // All messages, without those.
	memory   int         // Octets of those that wait in memory.
	files    int
}

// close gives back the spools.
func (a *appending) close() {
	for _, m := range a.msgs {
		if err := m.Spool.Close(); err != nil {
			a.c.log.Error("remove spooled message", "err", err)
		}
	}
}

// message reads one message with what stands before it.
//
//	append         = "APPEND" SP mailbox 1*append-message
//	append-message = [SP flag-list] [SP date-time] SP append-data
//	append-data    = literal / literal8 / "UTF8" SP "(" literal8 ")" /
//	                 "CATENATE" SP "(" cat-part *(SP cat-part) ")"
func (a *appending) message() error {
	d := a.c.dec
	defer d.In("append-message")()
	var m store.NewMessage
	d.NeedSP()
	if d.PeekIs('(') {
		set := d.NeedFlagList()
		m.Flags, m.Keywords = set.Flags, set.Keywords
		d.NeedSP()
	}
	if d.PeekIs('"') {
		m.Received = d.NeedDateTime()
		d.NeedSP()
	}
	if d.TryName("CATENATE") {
		return a.catenate(&m)
	}
	utf8 := d.TryName("UTF8")
	if utf8 {
		d.NeedSP()
		d.NeedByte('(')
	}
	lit := d.NeedMessage()
	if err := a.c.decoded(); err != nil {
		return err
	}
	if lit.Size == 0 {
		return errEmptyMessage
	}
	if err := a.begin(&m); err != nil {
		return err
	}
	if err := a.literal(&m, lit.Size); err != nil {
		return err
	}
	if err := a.end(&m); err != nil {
		return err
	}
	if utf8 {
		d.NeedByte(')')
	}
	return a.c.decoded()
}

// errEmptyMessage cancels the command. RFC 3502 §6.3.11
var errEmptyMessage = imap.No("", "empty message: append cancelled")

// begin makes the spool of a message, with bare LF made CRLF.
func (a *appending) begin(m *store.NewMessage) error {
	mb, err := a.session.mailbox(a.name)
	if err != nil {
		return tryCreate(err)
	}
	if limit := min(maxAppendMessages, a.c.srv.opts.MessageLimit); len(a.msgs) == limit {
		return imap.No(limitCode(limit, 0), "too many messages at once")
	}
	a.mailbox = mb
	m.MailboxID = mb.ID
	memory := min(safefile.SpoolMemory, appendMemory-a.memory)
	m.Spool = safefile.NewSpool(safefile.SpoolOptions{
		Dir: a.c.srv.opts.Store.TempDir(), MaxSize: a.c.opts.MaxMessageSize, Memory: max(memory, 1), CRLF: true,
	})
	a.msgs = append(a.msgs, *m)
	return nil
}

// end ends a message.
func (a *appending) end(m *store.NewMessage) error {
	if m.Spool.Size() == 0 {
		return errEmptyMessage
	}
	if _, inMemory := m.Spool.Bytes(); inMemory {
		a.memory += int(m.Spool.Size())
	} else if a.files++; a.files > maxAppendFiles {
		return imap.No(imap.CodeLimit, "too many large messages at once")
	}
	return a.c.decoded()
}

// room refuses octets that cannot be stored, before the client sends them.
func (a *appending) room(m *store.NewMessage, size int64) error {
	if size > a.c.opts.MaxMessageSize-m.Spool.Size() {
		return imap.No(imap.CodeTooBig, "message is larger than the limit")
	}
	a.more.Messages = int64(len(a.msgs)) - a.replaced
	a.more.Size += size
	return a.account.CheckSpace(a.more)
}

// literal reads the literal that was announced.
func (a *appending) literal(m *store.NewMessage, size int64) error {
	if err := a.room(m, size); err != nil {
		return err
	}
	d := a.c.dec
	a.c.inputLevel = traceLevel(0)
	if err := a.copy(m, &pieceReader{a.c, d.OpenMessage()}); err != nil {
		return cmp.Or(a.c.decoded(), err)
	}
	d.CloseMessage()
	return a.c.decoded()
}

// copy copies to the spool.
func (a *appending) copy(m *store.NewMessage, r io.Reader) error {
	buf, ok := a.c.srv.copies.Get().(*[copyBuffer]byte)
	if !ok {
		buf = new([copyBuffer]byte)
	}
	defer a.c.srv.copies.Put(buf)
	_, err := io.CopyBuffer(onlyWriter{m.Spool}, r, buf[:])
	return err
}

// onlyWriter hides other methods, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// pieceReader reads a message, each piece with a time limit of its own.
type pieceReader struct {
	c *conn
	r io.Reader
}

func (p *pieceReader) Read(b []byte) (int, error) {
	p.c.setReadTimeout(literalTimeout)
	return p.r.Read(b)
}
