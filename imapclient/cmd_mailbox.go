package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// Create creates a mailbox, with special uses such as [imap.UseArchive] if any are given
// (RFC 6154 §3). The server's LIST and MAILBOXID are in the response. RFC 9051 §6.3.4
func (c *Client) Create(ctx context.Context, mailbox string, uses ...string) (*Response, error) {
	return c.do(ctx, "CREATE", func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(mailbox)
		if len(uses) > 0 {
			e.SP()
			e.Open()
			e.Name("USE")
			e.Words(uses)
			e.Close()
		}
	})
}

// Delete deletes a mailbox. RFC 9051 §6.3.5
func (c *Client) Delete(ctx context.Context, mailbox string) (*Response, error) {
	return c.doMailbox(ctx, "DELETE", mailbox)
}

// Rename renames a mailbox. RFC 9051 §6.3.6
func (c *Client) Rename(ctx context.Context, from, to string) (*Response, error) {
	return c.do(ctx, "RENAME", func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(from)
		e.SP()
		e.Mailbox(to)
	})
}

// Subscribe adds a mailbox to the subscriptions. RFC 9051 §6.3.7
func (c *Client) Subscribe(ctx context.Context, mailbox string) (*Response, error) {
	return c.doMailbox(ctx, "SUBSCRIBE", mailbox)
}

// Unsubscribe removes a mailbox from the subscriptions. RFC 9051 §6.3.8
func (c *Client) Unsubscribe(ctx context.Context, mailbox string) (*Response, error) {
	return c.doMailbox(ctx, "UNSUBSCRIBE", mailbox)
}

func (c *Client) doMailbox(ctx context.Context, name, mailbox string) (*Response, error) {
	return c.do(ctx, name, func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(mailbox)
	})
}

// Status asks for properties of a mailbox. RFC 9051 §6.3.11
func (c *Client) Status(ctx context.Context, mailbox string, items ...imap.StatusItem) (MailboxStatus, error) {
	resp, err := c.do(ctx, "STATUS", func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(mailbox)
		e.SP()
		encodeStatusItems(e, items)
	})
	mailbox = imap.CanonicalInbox(mailbox)
	for _, st := range All[MailboxStatus](resp) {
		if st.Mailbox == mailbox {
			return st, err
		}
	}
	if err == nil {
		err = errMissing("STATUS")
	}
	return MailboxStatus{}, err
}

func encodeStatusItems(e *wire.Encoder, items []imap.StatusItem) {
	e.Open()
	for _, item := range items {
		e.Item()
		e.Raw(string(item))
	}
	e.Close()
}

// ListOptions are the options of [Client.List]. With the zero value it is the basic LIST.
type ListOptions struct {
	Select imap.ListSelect
	Return imap.ListReturn
}

// List lists mailboxes. More than one pattern, and options, need LIST-EXTENDED. The STATUS
// and METADATA responses that were asked for are in the response. RFC 9051 §6.3.9
func (c *Client) List(ctx context.Context, reference string, patterns []string, opts ListOptions) ([]List, *Response, error) {
	resp, err := c.do(ctx, "LIST", func(e *wire.Encoder) {
		e.SP()
		encodeWords(e, opts.Select != imap.ListSelect{}, []option{
			{"SUBSCRIBED", opts.Select.Subscribed}, {"REMOTE", opts.Select.Remote},
			{"RECURSIVEMATCH", opts.Select.RecursiveMatch}, {"SPECIAL-USE", opts.Select.SpecialUse},
		})
		e.Mailbox(reference)
		e.SP()
		if len(patterns) == 1 {
			e.ListMailbox(patterns[0])
		} else {
			e.Open()
			for _, p := range patterns {
				e.Item()
				e.ListMailbox(p)
			}
			e.Close()
		}
		encodeListReturn(e, &opts.Return)
	})
	return All[List](resp), resp, err
}

// option is a word that may be given.
type option struct {
	name string
	on   bool
}

// encodeWords appends the options that are on, in parentheses with a space behind, if any.
func encodeWords(e *wire.Encoder, any bool, options []option) {
	if !any {
		return
	}
	e.Open()
	for _, o := range options {
		if o.on {
			e.Item()
			e.Raw(o.name)
		}
	}
	e.Close()
	e.SP()
}

func encodeListReturn(e *wire.Encoder, r *imap.ListReturn) {
	if !r.Subscribed && !r.Children && !r.SpecialUse && len(r.Status) == 0 && len(r.Metadata) == 0 {
		return
	}
	e.Raw(" RETURN ")
	e.Open()
	for _, o := range []option{{"SUBSCRIBED", r.Subscribed}, {"CHILDREN", r.Children}, {"SPECIAL-USE", r.SpecialUse}} {
		if o.on {
			e.Item()
			e.Raw(o.name)
		}
	}
	if len(r.Status) > 0 {
		e.Name("STATUS")
		encodeStatusItems(e, r.Status)
	}
	if len(r.Metadata) > 0 {
		e.Name("METADATA")
		e.Open()
		for _, name := range r.Metadata {
			e.Item()
			e.AString(name)
		}
		e.Close()
	}
	e.Close()
}

// LSub lists subscribed mailboxes the old way. RFC 3501 §6.3.9
func (c *Client) LSub(ctx context.Context, reference, pattern string) ([]List, error) {
	resp, err := c.do(ctx, "LSUB", func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(reference)
		e.SP()
		e.ListMailbox(pattern)
	})
	return All[List](resp), err
}

// Namespace asks for the namespaces. RFC 9051 §6.3.10
func (c *Client) Namespace(ctx context.Context) (Namespace, error) {
	resp, err := c.do(ctx, "NAMESPACE", nil)
	return last[Namespace](resp, err, "NAMESPACE")
}
