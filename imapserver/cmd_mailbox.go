package imapserver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE. RFC 9051 §6.3.4 to §6.3.8, with the USE
// parameter of RFC 6154 §3. There are no mailboxes that cannot be selected: parents are
// created.

// specialUses has the special uses that mailboxes can have. RFC 6154 §2
var specialUses = []struct {
	use  store.SpecialUse
	name string
}{
	{store.UseArchive, imap.UseArchive},
	{store.UseDrafts, imap.UseDrafts},
	{store.UseJunk, imap.UseJunk},
	{store.UseSent, imap.UseSent},
	{store.UseTrash, imap.UseTrash},
	{store.UseImportant, imap.UseImportant}, // RFC 8457
}

// createRequest has the arguments of CREATE.
type createRequest struct {
	name    string
	use     store.SpecialUse
	unknown bool // There is a special use that mailboxes cannot have.
}

// parseCreate parses a name and parameters.
//
//	create       = "CREATE" SP mailbox [create-params]
//	create-param =/ "USE" SP "(" [use-attr *(SP use-attr)] ")"
func parseCreate(d *wire.Decoder) createRequest {
	req := createRequest{name: parseMailbox(d)}
	if !d.TrySP() {
		return req
	}
	defer d.In("create-param")()
	seen := false
	d.NeedList(func() {
		if !d.TryName("USE") || seen {
			d.Fail("expected USE once")
			return
		}
		seen = true
		d.NeedSP()
		d.NeedListOrEmpty(func() { req.addUse(d.NeedFlagName()) })
	})
	return req
}

func (r *createRequest) addUse(name string) {
	for _, u := range specialUses {
		if strings.EqualFold(u.name, name) {
			r.use |= u.use
			return
		}
	}
	r.unknown = true
}

// runCreate creates a mailbox and the parents it lacks, and subscribes to them. A special
// use is taken from the mailbox that had it.
func runCreate(ctx context.Context, s *session, req createRequest) (reply, error) {
	// A trailing delimiter says that the mailbox is to have children. RFC 9051 §6.3.4
	name, err := imap.ParseMailboxName(strings.TrimRight(req.name, string(imap.Delimiter)))
	if err != nil {
		return reply{}, err
	}
	if req.unknown {
		return reply{}, store.ErrSpecialUse
	}
	var created []store.Mailbox
	err = s.update(ctx, func(tx *store.Tx) (err error) {
		created, err = tx.CreateMailbox(name, req.use)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	t := s.account.Tree()
	for _, mb := range created {
		s.did(store.ChangeMailboxAdded, mb.Name)
		s.did(store.ChangeSubscribed, mb.Name)
		attrs := append(mailboxAttrs(t, mb), imap.AttrSubscribed)
		s.writeList("LIST", listEntry{name: mb.Name, attrs: attrs})
	}
	return reply{code: mailboxIDCode(created[len(created)-1].ID)}, nil
}

// runDelete deletes a mailbox with its messages. The subscription stays.
func runDelete(ctx context.Context, s *session, name string) (reply, error) {
	mb, err := s.mailbox(name)
	if err != nil {
		return reply{}, err
	}
	err = s.update(ctx, func(tx *store.Tx) error { return tx.DeleteMailbox(mb.ID) })
	if err != nil {
		return reply{}, err
	}
	s.did(store.ChangeMailboxRemoved, name)
	if s.sel != nil && s.sel.id == mb.ID {
		s.sel.closed()
	}
	return reply{}, nil
}

// renameRequest has the arguments of RENAME.
type renameRequest struct{ from, to string }

// parseRename parses two names.
//
//	rename = "RENAME" SP mailbox SP mailbox
func parseRename(d *wire.Decoder) renameRequest {
	req := renameRequest{from: parseMailbox(d)}
	d.NeedSP()
	req.to = d.NeedMailbox()
	return req
}

// runRename renames a mailbox and all below it; of Inbox, the messages are moved.
// Subscriptions keep the old names. RFC 9051 §6.3.6
func runRename(ctx context.Context, s *session, req renameRequest) (reply, error) {
	to, err := imap.ParseMailboxName(strings.TrimRight(req.to, string(imap.Delimiter)))
	if err != nil {
		return reply{}, err
	}
	mb, err := s.mailbox(req.from)
	if err != nil {
		return reply{}, err
	}
	if to == imap.Inbox && req.from != imap.Inbox {
		return reply{}, store.ErrMailboxExists
	}
	before := s.account.Tree()
	err = s.update(ctx, func(tx *store.Tx) error { return tx.RenameMailbox(mb.ID, to) })
	if err != nil {
		return reply{}, err
	}
	s.didRename(before)
	return reply{}, nil
}

// didRename notes what a rename changed, and tells new names that the client cannot
// derive: those of parents that had to be made.
func (s *session) didRename(before *store.Tree) {
	after := s.account.Tree()
	for _, mb := range after.Mailboxes() {
		old, existed := before.ByID(mb.ID)
		switch {
		case !existed:
			s.did(store.ChangeMailboxAdded, mb.Name)
			s.did(store.ChangeSubscribed, mb.Name)
		case old.Name != mb.Name:
			s.did(store.ChangeMailboxRenamed, mb.Name)
		}
	}
}

// runSubscribe subscribes to a name, of a mailbox that exists or not.
func runSubscribe(ctx context.Context, s *session, name string) (reply, error) {
	name, err := imap.ParseMailboxName(name)
	if err != nil {
		return reply{}, err
	}
	s.did(store.ChangeSubscribed, name)
	return reply{}, s.update(ctx, func(tx *store.Tx) error { return tx.Subscribe(name) })
}

// runUnsubscribe ends a subscription.
func runUnsubscribe(ctx context.Context, s *session, name string) (reply, error) {
	s.did(store.ChangeUnsubscribed, name)
	err := s.update(ctx, func(tx *store.Tx) error { return tx.Unsubscribe(name) })
	if err != nil && !errors.Is(err, store.ErrNotSubscribed) {
		err = fmt.Errorf("unsubscribe: %w", err)
	}
	return reply{}, err
}
