package imapclient

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"mox/imap"
	"mox/imap/wire"
)

// A Message is one to append. RFC 9051 §6.3.12
type Message struct {
	Flags  []string
	Date   time.Time // Zero for none.
	Size   int64
	Data   io.Reader // Of Size bytes.
	Binary bool      // Send as literal8. RFC 3516 §4.4
	UTF8   bool      // Send as UTF8 (...). RFC 6855 §4
	Parts  []Part    // Make it of these, instead of Data. RFC 4469 §3
}

// StringMessage returns a message with this content, for tests and small messages.
func StringMessage(s string, flags ...string) Message {
	return Message{Flags: flags, Size: int64(len(s)), Data: strings.NewReader(s)}
}

// Appended tells where appended messages are. It is zero if the server does not say.
type Appended struct {
	UIDValidity uint32
	UIDs        imap.NumSet
}

// Append adds messages to a mailbox; more than one need MULTIAPPEND (RFC 3502 §6.3.11).
// RFC 9051 §6.3.12
func (c *Client) Append(ctx context.Context, mailbox string, messages ...Message) (Appended, *Response, error) {
	resp, err := c.do(ctx, "APPEND", func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(mailbox)
		for _, m := range messages {
			m.encode(e)
		}
	})
	code, _ := resp.Code(imap.CodeAppendUID)
	return Appended{code.UIDValidity, code.UIDs}, resp, err
}

// Replace replaces a message by another, possibly in another mailbox. RFC 8508 §3
func (c *Client) Replace(ctx context.Context, kind NumKind, num uint32, mailbox string, m Message) (Appended, *Response, error) {
	resp, err := c.do(ctx, kind.command("REPLACE"), func(e *wire.Encoder) {
		e.SP()
		e.Number(uint64(num))
		e.SP()
		e.Mailbox(mailbox)
		m.encode(e)
	})
	code, _ := resp.Code(imap.CodeAppendUID)
	return Appended{code.UIDValidity, code.UIDs}, resp, err
}

func (m *Message) encode(e *wire.Encoder) {
	e.SP()
	if len(m.Flags) > 0 {
		e.Words(m.Flags)
		e.SP()
	}
	if !m.Date.IsZero() {
		e.DateTime(m.Date)
		e.SP()
	}
	if m.Parts != nil {
		e.Raw("CATENATE (")
		for i := range m.Parts {
			if i > 0 {
				e.SP()
			}
			m.Parts[i].encode(e)
		}
		e.Byte(')')
		return
	}
	if m.UTF8 {
		e.Raw("UTF8 (")
	}
	if m.Data == nil && m.Size > 0 {
		e.Fail(errors.New("message without data"))
	}
	e.Literal(m.Size, m.Binary || m.UTF8, m.Data)
	if m.UTF8 {
		e.Byte(')')
	}
}
