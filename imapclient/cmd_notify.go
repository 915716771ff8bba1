package imapclient

import (
	"context"
	"errors"

	"mox/imap"
	"mox/imap/wire"
)

// A NotifyFilter says which mailboxes a [NotifyGroup] is about. RFC 5465 §6
type NotifyFilter string

// Filters. The last two go with names.
const (
	NotifySelected        NotifyFilter = "SELECTED"
	NotifySelectedDelayed NotifyFilter = "SELECTED-DELAYED"
	NotifyInboxes         NotifyFilter = "INBOXES"
	NotifyPersonal        NotifyFilter = "PERSONAL"
	NotifySubscribed      NotifyFilter = "SUBSCRIBED"
	NotifySubtree         NotifyFilter = "SUBTREE"
	NotifyMailboxes       NotifyFilter = "MAILBOXES"
)

// A NotifyEvent is a kind of event. RFC 5465 §5
type NotifyEvent string

// Events.
const (
	EventMessageNew     NotifyEvent = "MessageNew"
	EventMessageExpunge NotifyEvent = "MessageExpunge"
	EventFlagChange     NotifyEvent = "FlagChange"
	EventMailboxName    NotifyEvent = "MailboxName"
	EventSubscription   NotifyEvent = "SubscriptionChange"
	EventMetadata       NotifyEvent = "MailboxMetadataChange"
	EventServerMetadata NotifyEvent = "ServerMetadataChange"
)

// A NotifyGroup says which events of which mailboxes are wanted.
type NotifyGroup struct {
	Filter    NotifyFilter
	Mailboxes []string         // For NotifySubtree and NotifyMailboxes.
	Events    []NotifyEvent    // None for NONE.
	Items     []imap.FetchItem // Of new messages, for the selected mailbox.
}

// NotifyOptions are the options of [Client.Notify].
type NotifyOptions struct {
	Status bool // Ask for STATUS of the mailboxes, which is in the response.
}

// Notify says what the client wants to be told, also between commands; nothing without
// groups. What comes is read with [Client.Listen], or with the next command. RFC 5465 §3.1
func (c *Client) Notify(ctx context.Context, groups []NotifyGroup, opts NotifyOptions) (*Response, error) {
	return c.do(ctx, "NOTIFY", func(e *wire.Encoder) {
		if len(groups) == 0 {
			e.Raw(" NONE")
			return
		}
		e.Raw(" SET")
		if opts.Status {
			e.Raw(" STATUS")
		}
		for i := range groups {
			e.SP()
			groups[i].encode(e)
		}
	})
}

func (g *NotifyGroup) encode(e *wire.Encoder) {
	e.Open()
	e.Item()
	e.Raw(string(g.Filter))
	if len(g.Mailboxes) > 0 {
		e.SP()
		e.Open()
		for _, name := range g.Mailboxes {
			e.Item()
			e.Mailbox(name)
		}
		e.Close()
	}
	e.SP()
	if len(g.Events) == 0 {
		e.Raw("NONE")
	} else {
		e.Open()
		for _, event := range g.Events {
			e.Item()
			e.Raw(string(event))
			if event == EventMessageNew && len(g.Items) > 0 {
				e.SP()
				encodeFetchItems(e, g.Items, false)
			}
		}
		e.Close()
	}
	e.Close()
}

// Listen waits for what the server tells between commands, after [Client.Notify], and calls
// each with it. It ends without error when ctx is done, or when each returns [ErrStopIdle].
func (c *Client) Listen(ctx context.Context, each func(Untagged) error) error {
	bg := context.WithoutCancel(ctx)
	for {
		ended, err := c.waitInput(ctx)
		if err != nil || ended {
			return err
		}
		err = c.run(bg, func() error {
			rep, err := c.read()
			switch {
			case err != nil:
				return err
			case rep.untagged == nil:
				return errors.New("response is not untagged")
			}
			if err = each(rep.untagged); err == ErrStopIdle {
				ended = true
				return nil
			}
			return err
		})
		if err != nil || ended {
			return err
		}
	}
}
