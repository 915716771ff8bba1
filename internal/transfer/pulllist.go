package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mox/imap"
	"mox/imapclient"
	"mox/store"
)

// remoteBox is a mailbox of the other server.
type remoteBox struct {
	name  string // There.
	local string // Here, if there is none of the use.
	use   store.SpecialUse
	all   bool // It has all messages, of which only those are copied that are in no other one.
}

// specialUses are attributes of mailboxes that stand for messages of their own.
var specialUses = []struct {
	attr string
	use  store.SpecialUse
}{{`\Archive`, store.UseArchive}, {`\Drafts`, store.UseDrafts}, {`\Junk`, store.UseJunk}, {`\Sent`, store.UseSent}, {`\Trash`, store.UseTrash}}

// list returns the mailboxes to copy, that with all messages last. Mailboxes that only show
// messages of others (RFC 6154 §2: \All, \Flagged; RFC 8457 §3: \Important) are left out.
func (p *puller) list(ctx context.Context) ([]remoteBox, error) {
	prefix := ""
	if p.c.Caps().Has(imap.CapNamespace) {
		if ns, err := p.c.Namespace(ctx); err == nil && len(ns.Personal) > 0 {
			prefix = ns.Personal[0].Prefix
		} else if refused := (*imap.Error)(nil); err != nil && !errors.As(err, &refused) {
			return nil, err
		}
	}
	var opts imapclient.ListOptions
	if p.c.Caps().Has(imap.CapSpecialUse) {
		opts.Return.SpecialUse = p.c.Caps().Has("LIST-EXTENDED")
	}
	l, _, err := p.c.List(ctx, "", []string{"*"}, opts)
	if err != nil {
		return nil, err
	}
	var boxes []remoteBox
	p.names, p.there, p.uses = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range l {
		has := func(attr string) bool {
			return slices.ContainsFunc(r.Attrs, func(a string) bool { return strings.EqualFold(a, attr) })
		}
		b := remoteBox{name: imap.CanonicalInbox(r.Mailbox), all: has(`\All`)}
		p.there[b.name] = true
		if has(`\Noselect`) || has(`\NonExistent`) || has(`\Flagged`) || has(`\Important`) || b.all && !p.gmail || len(boxes) >= maxMailboxes {
			continue
		}
		b.local = localName(r, prefix)
		for _, u := range specialUses {
			if has(u.attr) {
				b.use = u.use
				p.uses[u.attr] = true
			}
		}
		if b.all {
			b.use = store.UseArchive
		}
		if p.excluded(b.local) {
			continue
		}
		boxes = append(boxes, b)
		if !b.all {
			p.names[b.name] = true
		}
	}
	if !p.there[imap.Inbox] {
		return nil, final(errors.New("server lists no INBOX")) // It must not look as if all was deleted.
	}
	slices.SortStableFunc(boxes, func(a, b remoteBox) int { return cmp.Compare(allLast(a), allLast(b)) })
	return boxes, nil
}

func allLast(b remoteBox) int {
	if b.all {
		return 1
	}
	return 0
}

// localName returns our name for a mailbox.
func localName(r imapclient.List, prefix string) string {
	if strings.EqualFold(r.Mailbox, imap.Inbox) {
		return imap.Inbox
	}
	name := r.Mailbox
	if n := strings.TrimPrefix(name, prefix); n != "" {
		name = n
	}
	if r.Delimiter != 0 && r.Delimiter != '/' {
		name = strings.ReplaceAll(name, "/", "_")
		name = strings.ReplaceAll(name, string(rune(r.Delimiter)), "/")
	}
	return cleanName(strings.Trim(name, "/"))
}

// target returns our mailbox for another one, and makes it if there is none.
func (p *puller) target(ctx context.Context, b remoteBox) (id int64, err error) {
	err = p.a.Update(ctx, func(tx *store.Tx) error {
		for _, mb := range tx.Mailboxes() {
			if b.use != 0 && mb.SpecialUse&b.use != 0 {
				id = mb.ID
				return nil
			}
		}
		mb, err := tx.MailboxByName(b.local)
		if errors.Is(err, store.ErrNoMailbox) {
			var l []store.Mailbox
			if l, err = tx.CreateMailbox(b.local, b.use); err == nil {
				mb = l[len(l)-1]
			}
		}
		id = mb.ID
		return err
	})
	if err != nil {
		err = fmt.Errorf("mailbox %q: %w", b.local, err)
	}
	return id, err
}

// elsewhere reports whether a message of Gmail is in another mailbox that is copied.
func (p *puller) elsewhere(labels []string) bool {
	for _, l := range labels {
		switch l {
		case `\Inbox`:
			if p.names[imap.Inbox] {
				return true
			}
		case `\Sent`, `\Trash`, `\Junk`:
			if p.uses[l] {
				return true
			}
		case `\Draft`, `\Drafts`:
			if p.uses[`\Drafts`] {
				return true
			}
		case `\Spam`:
			if p.uses[`\Junk`] {
				return true
			}
		default:
			if n, err := imap.DecodeUTF7(l); err == nil && p.names[n] {
				return true
			}
		}
	}
	return false
}
