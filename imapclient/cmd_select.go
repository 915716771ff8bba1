package imapclient

import (
	"context"
	"errors"

	"mox/imap"
	"mox/imap/wire"
)

// SelectOptions are the options of [Client.Select]. All may be zero.
type SelectOptions struct {
	ReadOnly  bool // EXAMINE.
	CondStore bool // RFC 7162 §3.1.8
	QResync   *QResync
}

// A QResync asks for the changes since a mailbox was last selected. RFC 7162 §3.2.5
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64
	KnownUIDs   imap.Ranges // Empty for all.
	MatchSeqs   imap.Ranges // Sequence numbers, empty for none.
	MatchUIDs   imap.Ranges // Their UIDs.
}

// A Mailbox is what the server says of a mailbox when it is selected. RFC 9051 §6.3.2
type Mailbox struct {
	Response       *Response
	ReadOnly       bool
	Exists         uint32
	Recent         uint32
	Flags          []string
	PermanentFlags []string // Nil if not told.
	UIDNext        uint32
	UIDValidity    uint32
	Unseen         uint32 // Sequence number of the first message that is not seen, 0 if not told.
	HighestModSeq  uint64
	NoModSeq       bool
	MailboxID      string
	List           *List // Nil if not told.
	Vanished       []Vanished
	Changed        []*FetchData // FETCH responses, with QRESYNC.
}

// Select selects a mailbox. If that fails no mailbox is selected. RFC 9051 §6.3.2,
// RFC 9051 §6.3.3
func (c *Client) Select(ctx context.Context, mailbox string, opts SelectOptions) (*Mailbox, error) {
	name := "SELECT"
	if opts.ReadOnly {
		name = "EXAMINE"
	}
	resp, err := c.do(ctx, name, func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(mailbox)
		opts.encode(e)
	})
	var refused *imap.Error
	if errors.As(err, &refused) && refused.Type == imap.TypeBAD {
		return newMailbox(resp), err // Whether the mailbox is still selected is not said.
	}
	if c.state == StateSelected {
		c.state = StateAuthenticated
	}
	if err == nil {
		c.state = StateSelected
	}
	return newMailbox(resp), err
}

func (o *SelectOptions) encode(e *wire.Encoder) {
	if !o.CondStore && o.QResync == nil {
		return
	}
	e.SP()
	e.Open()
	if o.CondStore {
		e.Item()
		e.Raw("CONDSTORE")
	}
	if q := o.QResync; q != nil {
		e.Name("QRESYNC")
		e.Open()
		e.Item()
		e.Number(uint64(q.UIDValidity))
		e.Item()
		e.Number(q.ModSeq)
		if len(q.KnownUIDs) > 0 {
			e.Item()
			e.Ranges(q.KnownUIDs)
		}
		if len(q.MatchSeqs) > 0 {
			e.Item()
			e.Open()
			e.Item()
			e.Ranges(q.MatchSeqs)
			e.Item()
			e.Ranges(q.MatchUIDs)
			e.Close()
		}
		e.Close()
	}
	e.Close()
}

// newMailbox collects what was said. Responses before a CLOSED code are about the mailbox
// that was selected before. RFC 9051 §7.1
func newMailbox(resp *Response) *Mailbox {
	m := &Mailbox{Response: resp, ReadOnly: resp.Status.Code.Name == imap.CodeReadOnly}
	untagged := resp.Untagged
	for i, u := range untagged {
		if st, ok := u.(Status); ok && st.Code.Name == imap.CodeClosed {
			untagged = untagged[i+1:]
			break
		}
	}
	for _, u := range untagged {
		switch u := u.(type) {
		case Status:
			m.addCode(u.Code)
		case Exists:
			m.Exists = uint32(u)
		case Recent:
			m.Recent = uint32(u)
		case Flags:
			m.Flags = u
		case List:
			m.List = &u
		case Vanished:
			m.Vanished = append(m.Vanished, u)
		case *FetchData:
			m.Changed = append(m.Changed, u)
		}
	}
	return m
}

func (m *Mailbox) addCode(code Code) {
	switch code.Name {
	case imap.CodePermanentFlags:
		m.PermanentFlags = code.Words
		if m.PermanentFlags == nil {
			m.PermanentFlags = []string{}
		}
	case imap.CodeUIDNext:
		m.UIDNext = uint32(code.Num)
	case imap.CodeUIDValidity:
		m.UIDValidity = uint32(code.Num)
	case imap.CodeUnseen:
		m.Unseen = uint32(code.Num)
	case imap.CodeHighestModSeq:
		m.HighestModSeq = code.Num
	case imap.CodeNoModSeq:
		m.NoModSeq = true
	case imap.CodeMailboxID:
		m.MailboxID = code.ID
	}
}

// CloseMailbox removes the messages that are marked as deleted, without being told which,
// and goes back to no mailbox. RFC 9051 §6.4.1
func (c *Client) CloseMailbox(ctx context.Context) error {
	return c.unselect(ctx, "CLOSE")
}

// Unselect goes back to no mailbox, without removing messages. RFC 9051 §6.4.2
func (c *Client) Unselect(ctx context.Context) error {
	return c.unselect(ctx, "UNSELECT")
}

func (c *Client) unselect(ctx context.Context, name string) error {
	_, err := c.do(ctx, name, nil)
	if err == nil {
		c.state = StateAuthenticated
	}
	return err
}

// Expunge removes the messages that are marked as deleted. RFC 9051 §6.4.3
func (c *Client) Expunge(ctx context.Context) (*Response, error) {
	return c.do(ctx, "EXPUNGE", nil)
}

// UIDExpunge removes those of these messages that are marked as deleted. RFC 4315 §2.1
func (c *Client) UIDExpunge(ctx context.Context, uids imap.NumSet) (*Response, error) {
	return c.do(ctx, "UID EXPUNGE", func(e *wire.Encoder) {
		e.SP()
		e.NumSet(uids)
	})
}
