package imapserver

import (
	"context"
	"strings"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// NOTIFY. RFC 5465 §3.1

// maxNotifyNames is how many mailboxes a NOTIFY command may name in all its groups.
const maxNotifyNames = 1000

// notifyRequest has the arguments of NOTIFY.
type notifyRequest struct {
	status bool
	groups []eventGroup // None for NONE.

	unknown  bool // There is an event that we do not know.
	selected int  // Groups for the selected mailbox.
	names    int  // Mailboxes named.
}

// parseNotify parses what a client wants to be told.
//
//	notify       = "NOTIFY" SP (notify-set / notify-none)
//	notify-set   = "SET" [SP "STATUS"] SP event-group *(SP event-group)
//	notify-none  = "NONE"
func parseNotify(d *wire.Decoder) *notifyRequest {
	defer d.In("notify")()
	req := &notifyRequest{}
	d.NeedSP()
	switch d.NeedName() {
	case "NONE":
		return req
	case "SET":
	default:
		d.Fail("expected SET or NONE")
	}
	d.NeedSP()
	if req.status = d.TryName("STATUS"); req.status {
		d.NeedSP()
	}
	for len(req.groups) < wire.MaxListItems {
		req.groups = append(req.groups, req.group(d))
		if !d.TrySP() {
			return req
		}
	}
	d.Fail("too many groups")
	return req
}

// group parses an event group.
//
//	event-group      = "(" filter-mailboxes SP events ")"
//	filter-mailboxes = "selected" / "selected-delayed" / "inboxes" / "personal" /
//	                   "subscribed" / "subtree" SP one-or-more-mailbox /
//	                   "mailboxes" SP one-or-more-mailbox
func (r *notifyRequest) group(d *wire.Decoder) eventGroup {
	defer d.In("event-group")()
	d.NeedByte('(')
	g := eventGroup{filter: filter(d.NeedName())}
	switch g.filter {
	case filterSelected, filterDelayed:
		if r.selected++; r.selected > 1 {
			d.Fail("second group for the selected mailbox")
		}
	case filterSubtree, filterMailboxes:
		d.NeedSP()
		g.names = parseMailboxes(d)
		r.names += len(g.names)
	case filterInboxes, filterPersonal, filterSubscribed:
	default:
		d.Fail("unknown mailboxes")
	}
	d.NeedSP()
	r.events(d, &g)
	d.NeedByte(')')
	return g
}

// parseMailboxes parses one or more names of mailboxes. RFC 5465 §8
//
//	one-or-more-mailbox = mailbox / many-mailboxes
//	many-mailboxes      = "(" mailbox *(SP mailbox) ")"
func parseMailboxes(d *wire.Decoder) (names []string) {
	name := func() { names = append(names, d.NeedMailbox()) }
	if d.PeekIs('(') {
		d.NeedList(name)
	} else {
		name()
	}
	return names
}

// events parses the events of a group, and checks that they go together. RFC 5465 §5, §6.1
//
//	events = ("(" event *(SP event) ")") / "NONE"
//	event  = "MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"] / "MessageExpunge" / ...
func (r *notifyRequest) events(d *wire.Decoder, g *eventGroup) {
	if d.TryName("NONE") {
		return
	}
	selected := g.filter == filterSelected || g.filter == filterDelayed
	d.NeedList(func() {
		e := eventByName(d.NeedAtom())
		if e == 0 {
			r.unknown = true
		}
		g.events |= e
		if e == messageNew && d.PeekSPList() {
			if !selected {
				d.Fail("fetch items are for the selected mailbox")
			}
			d.NeedSP()
			g.items = d.NeedFetchList()
		}
	})
	both := messageNew | messageExpunge
	switch {
	case g.events&messageEvents != 0 && g.events&both != both:
		d.Fail("MessageNew and MessageExpunge go together, and with FlagChange")
	case selected && g.events&^messageEvents != 0:
		d.Fail("the selected mailbox has events of messages only")
	}
}

func eventByName(name string) events {
	for _, e := range eventNames {
		if strings.EqualFold(e.name, name) {
			return e.event
		}
	}
	return 0
}

// runNotify changes what the client is told. What has happened in the selected mailbox is
// told as before: "a successful NOTIFY SET command implies an implicit NOOP command".
func runNotify(ctx context.Context, s *session, req *notifyRequest) (reply, error) {
	switch {
	case req.unknown:
		names := make([]string, len(eventNames))
		for i, e := range eventNames {
			names[i] = e.name
		}
		return reply{}, imap.No(imap.CodeBadEvent.List(names...), "unknown event")
	case req.names > maxNotifyNames:
		return reply{}, imap.No(imap.CodeNotificationOverflow, "too many mailboxes")
	}
	if len(req.groups) > 0 {
		s.notify = nil
		if err := s.c.sync(ctx, true); err != nil {
			return reply{}, err
		}
	}
	s.setNotify(req.groups)
	if req.status {
		s.notifyStatus(s.account.Tree())
	}
	return reply{}, nil
}

// notifyStatus tells the state of the mailboxes whose messages are to be told of.
func (s *session) notifyStatus(t *store.Tree) {
	for _, mb := range t.Mailboxes() {
		wanted := s.notify.wants(t, mb.Name)
		if wanted&messageEvents == 0 || s.sel != nil && s.sel.id == mb.ID {
			continue
		}
		s.notify.told[mb.ID] = stateOf(&mb)
		items := []imap.StatusItem{imap.StatusMessages, imap.StatusUIDNext, imap.StatusUIDValidity, imap.StatusUnseen}
		if wanted&flagChange != 0 || s.condStore {
			items = append(items, imap.StatusHighestModSeq)
		}
		s.writeStatus(mb, items)
	}
}
