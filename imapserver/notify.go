package imapserver

import (
	"context"
	"slices"
	"strings"

	"mox/imap"
	"mox/store"
)

// What a client wants to be told with NOTIFY (RFC 5465), and telling it. What happens comes
// from the account's session (store.Session), which is bounded: when a client cannot be
// told as fast as things happen, it is told of that, and of nothing more. For the selected
// mailbox there is no queue: what is told is what differs between two versions of it.

// events are kinds of events.
type events uint8

const (
	messageNew events = 1 << iota
	messageExpunge
	flagChange
	mailboxName
	subscriptionChange
	mailboxMetadata
	serverMetadata

	messageEvents = messageNew | messageExpunge | flagChange
)

// eventNames has the events that can be asked for. RFC 5465 §5
var eventNames = []struct {
	event events
	name  string
}{
	{messageNew, "MessageNew"},
	{messageExpunge, "MessageExpunge"},
	{flagChange, "FlagChange"},
	{mailboxName, "MailboxName"},
	{subscriptionChange, "SubscriptionChange"},
	{mailboxMetadata, "MailboxMetadataChange"},
	{serverMetadata, "ServerMetadataChange"},
}

// filter says which mailboxes an event group is about. RFC 5465 §6
type filter string

const (
	filterSelected   filter = "SELECTED"
	filterDelayed    filter = "SELECTED-DELAYED"
	filterInboxes    filter = "INBOXES" // As filterPersonal: which mailboxes mail is delivered to is not known here. RFC 5465 §6.3
	filterPersonal   filter = "PERSONAL"
	filterSubscribed filter = "SUBSCRIBED"
	filterSubtree    filter = "SUBTREE"
	filterMailboxes  filter = "MAILBOXES"
)

// eventGroup says which events of which mailboxes a client wants to be told.
type eventGroup struct {
	filter filter
	names  []string // For filterSubtree and filterMailboxes.
	events events
	items  []imap.FetchItem // To be told of new messages in the selected mailbox.
}

// matches reports whether the group is about a mailbox, or name, that is not selected.
func (g *eventGroup) matches(t *store.Tree, name string) bool {
	switch g.filter {
	case filterInboxes, filterPersonal:
		return true
	case filterSubscribed:
		return t.Subscribed(name)
	case filterMailboxes:
		return slices.Contains(g.names, name)
	case filterSubtree:
		return slices.ContainsFunc(g.names, func(n string) bool { return n == name || strings.HasPrefix(name, n+"/") })
	}
	return false
}

// notifier is what a client that has used NOTIFY wants. Without groups it wants nothing.
type notifier struct {
	groups []eventGroup
	// told is the state of mailboxes that the client has been told, or that was when it
	// said what it wants.
	told map[int64]mailboxState
}

// mailboxState is what STATUS responses of events tell.
type mailboxState struct {
	messages, unseen     int64
	uidNext, uidValidity uint32
	modSeq               store.ModSeq
}

func stateOf(mb *store.Mailbox) mailboxState {
	return mailboxState{mb.Messages, mb.Unseen, mb.UIDNext, mb.UIDValidity, mb.ModSeq}
}

// selected returns the group for the selected mailbox, one without events if there is
// none.
func (n *notifier) selected() *eventGroup {
	for i := range n.groups {
		if f := n.groups[i].filter; f == filterSelected || f == filterDelayed {
			return &n.groups[i]
		}
	}
	return &eventGroup{}
}

// wants returns which events of a mailbox that is not selected are wanted.
func (n *notifier) wants(t *store.Tree, name string) (e events) {
	for i := range n.groups {
		if n.groups[i].matches(t, name) {
			e |= n.groups[i].events
		}
	}
	return e
}

// wantsAny returns which events are wanted of anything.
func (n *notifier) wantsAny() (e events) {
	for i := range n.groups {
		e |= n.groups[i].events
	}
	return e
}

// wantsSelected returns which events of the selected mailbox are to be told: all, unless
// the client has said something else.
func (s *session) wantsSelected() events {
	if s.notify == nil {
		return messageEvents
	}
	return s.notify.selected().events
}

// listens reports whether the client is told events also between commands.
func (s *session) listens() bool { return s != nil && s.notify != nil && len(s.notify.groups) > 0 }

// tellListening tells what has happened while the client waits.
func (c *conn) tellListening(ctx context.Context) error {
	if err := c.sync(ctx, c.sess.notify.selected().filter == filterSelected); err != nil {
		return err
	}
	return c.enc.Flush()
}

// tellEvents tells what has happened outside of the selected mailbox, as the client wants
// it. RFC 5465 §5
func (s *session) tellEvents(changes []store.Change, overflow bool) {
	if overflow && len(s.notify.groups) > 0 {
		// "behave as if a NOTIFY NONE command had just been received" RFC 5465 §5.8
		s.setNotify(nil)
		s.c.enc.Status("", "OK", imap.CodeNotificationOverflow, "too much has happened, nothing more will be told")
	}
	t := s.account.Tree()
	for i, ch := range changes {
		switch ch.Kind {
		case store.ChangeMessages:
			s.tellStatus(t, ch.MailboxID)
		case store.ChangeMailboxAdded, store.ChangeMailboxRemoved, store.ChangeMailboxRenamed:
			if s.isOwn(ch) || slices.ContainsFunc(changes[:i], func(o store.Change) bool { return isParentRename(o, ch) }) {
				continue
			}
			if (s.notify.wants(t, ch.Name)|s.notify.wants(t, ch.OldName))&mailboxName != 0 {
				s.tellMailboxName(t, ch)
			}
		case store.ChangeSubscribed, store.ChangeUnsubscribed:
			if !s.isOwn(ch) && s.wantsSubscription(t, ch.Name) {
				s.tellName(t, ch.Name, "")
			}
		case store.ChangeMetadata:
			wanted := s.notify.wants(t, ch.Name)&mailboxMetadata != 0
			if ch.MailboxID == 0 {
				wanted = s.notify.wantsAny()&serverMetadata != 0
			}
			if !s.isOwn(ch) && (wanted || s.metadata) {
				s.tellMetadata(ch)
			}
		}
	}
}

// isParentRename reports whether o is the rename of a mailbox above one that was renamed
// with it: "No additional MailboxName events are sent for children in this case." RFC 5465
// §5.4
func isParentRename(o, ch store.Change) bool {
	return o.Kind == store.ChangeMailboxRenamed && ch.Kind == o.Kind && o.ModSeq == ch.ModSeq &&
		strings.HasPrefix(ch.OldName, o.OldName+"/")
}

// wantsSubscription reports whether subscribing to a name, or not any more, is to be told.
func (s *session) wantsSubscription(t *store.Tree, name string) bool {
	return slices.ContainsFunc(s.notify.groups, func(g eventGroup) bool {
		return g.events&subscriptionChange != 0 && (g.filter == filterSubscribed || g.matches(t, name))
	})
}

// tellMailboxName tells a mailbox that was created, deleted or renamed, and of one that
// was created or deleted its parent, which has children now or not. RFC 5465 §5.4
func (s *session) tellMailboxName(t *store.Tree, ch store.Change) {
	s.tellName(t, ch.Name, ch.OldName)
	parent := imap.MailboxParent(ch.Name)
	if ch.Kind != store.ChangeMailboxRenamed && parent != "" && s.notify.wants(t, parent)&mailboxName != 0 {
		s.tellName(t, parent, "")
	}
}

// tellName writes a LIST response for a name as it is now.
func (s *session) tellName(t *store.Tree, name, oldName string) {
	e := listEntry{name: name, oldName: oldName, attrs: []string{imap.AttrNonExistent}}
	if mb, ok := t.ByName(name); ok {
		e.attrs = mailboxAttrs(t, mb)
	}
	if t.Subscribed(name) {
		e.attrs = append(e.attrs, imap.AttrSubscribed)
	}
	s.writeList("LIST", e)
}

// tellStatus tells new, expunged and changed messages of a mailbox that is not selected.
// RFC 5465 §5.1, §5.2, §5.3
func (s *session) tellStatus(t *store.Tree, id int64) {
	mb, ok := t.ByID(id)
	if !ok {
		delete(s.notify.told, id)
		return
	}
	before, now := s.notify.told[id], stateOf(&mb)
	s.notify.told[id] = now
	wanted := s.notify.wants(t, mb.Name)
	if now == before || s.sel != nil && s.sel.id == id || wanted&messageEvents == 0 {
		return
	}
	items := []imap.StatusItem{imap.StatusUIDValidity}
	switch {
	case now.uidNext != before.uidNext || now.messages != before.messages || now.uidValidity != before.uidValidity:
		items = append(items, imap.StatusMessages, imap.StatusUIDNext, imap.StatusUnseen)
	case wanted&flagChange == 0 || now.unseen == before.unseen && !s.condStore:
		return
	case now.unseen != before.unseen:
		items = append(items, imap.StatusUnseen)
	}
	if s.condStore {
		items = append(items, imap.StatusHighestModSeq)
	}
	s.writeStatus(mb, items)
}

// setNotify makes the client be told what the groups say.
func (s *session) setNotify(groups []eventGroup) {
	s.notify = &notifier{groups: groups, told: map[int64]mailboxState{}}
	for _, mb := range s.account.Tree().Mailboxes() {
		s.notify.told[mb.ID] = stateOf(&mb)
	}
	if s.wantsSelected() == 0 {
		s.watch.Unpin() // It will not be told what is gone, and need not be able to read it.
	}
}

// noteOwn notes what a change made of mailboxes, if it is all that has happened: "The
// server SHOULD omit notifying the client if the event is caused by this client." RFC 5465
// §5
func (s *session) noteOwn(before *store.Tree) {
	if s.notify == nil || before == nil {
		return
	}
	for _, mb := range s.account.Tree().Mailboxes() {
		old, existed := before.ByID(mb.ID)
		if mb.ModSeq == before.ModSeq+1 && (!existed || stateOf(&old) == s.notify.told[mb.ID]) {
			s.notify.told[mb.ID] = stateOf(&mb)
		}
	}
}

// noteAppend is noteOwn for messages that the client has appended to a mailbox.
func (s *session) noteAppend(id int64, uids imap.Ranges) {
	if s.sel != nil && s.sel.id == id {
		s.sel.own = s.sel.own.Union(uids)
	}
	if s.notify == nil || len(uids) == 0 {
		return
	}
	mb, ok := s.account.Tree().ByID(id)
	told := s.notify.told[id]
	if ok && told.uidNext == uids.Min() && mb.UIDNext == uids.Max()+1 && mb.Messages == told.messages+int64(uids.Count()) {
		s.notify.told[id] = stateOf(&mb)
	}
}

// tellNew tells what the client wants to know of new messages in the selected mailbox. "A
// FETCH response SHOULD NOT be generated for a new message created by the client on this
// particular connection". RFC 5465 §5.2
func (s *selected) tellNew(ctx context.Context, added []uint32) error {
	own := s.own
	s.own = nil
	if s.notify == nil {
		return nil
	}
	items := s.notify.selected().items
	uids := imap.NewRanges(added...).Subtract(own)
	if len(items) == 0 || len(uids) == 0 {
		return nil
	}
	s.tellItems(ctx, uids, s.condStore, items)
	return ctx.Err()
}

// tellItems writes FETCH responses that were not asked for with a command.
func (s *selected) tellItems(ctx context.Context, uids imap.Ranges, withUID bool, items []imap.FetchItem) {
	req := &fetchRequest{uid: withUID || s.condStore, items: items}
	if s.condStore {
		req.items = append(slices.Clip(items), imap.FetchItem{Attr: imap.FetchModSeq})
	}
	f := fetcher{selected: s, ctx: ctx, intervals: s.uidPositions(uids), latest: s.known}
	f.compile(req)
	err := f.run()
	if err == nil {
		err = f.markSeen()
	}
	if err != nil {
		s.c.log.Error("tell new messages", "err", err)
	}
}
