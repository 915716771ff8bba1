package imapserver

import (
	"context"
	"errors"
	"io"
	"strings"

	"mox/imap"
	"mox/imap/wire"
	"mox/message"
	"mox/store"
)

// CATENATE, for APPEND and REPLACE. RFC 4469, with URLs of RFC 5092.

// catenate makes a message of literals and of parts of messages that are there already.
//
//	append-data  =/ "CATENATE" SP "(" cat-part *(SP cat-part) ")"
//	cat-part     = text-literal / url
//	text-literal = "TEXT" SP literal
//	url          = "URL" SP astring
func (a *appending) catenate(m *store.NewMessage) error {
	d := a.c.dec
	d.NeedSP()
	d.NeedByte('(')
	if err := a.c.decoded(); err != nil {
		return err
	}
	if err := a.begin(m); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if n == maxCatenateParts {
			return imap.No(imap.CodeLimit, "too many parts")
		}
		if err := a.catPart(m); err != nil {
			return err
		}
		if d.TryByte(')') {
			return a.end(m)
		}
		d.NeedSP()
	}
}

// catPart adds one part.
func (a *appending) catPart(m *store.NewMessage) error {
	d := a.c.dec
	if d.TryName("TEXT") {
		d.NeedSP()
		lit := d.NeedMessage()
		if err := a.c.decoded(); err != nil {
			return err
		}
		return a.literal(m, lit.Size)
	}
	if !d.TryName("URL") {
		d.Fail("expected TEXT or URL")
	}
	d.NeedSP()
	s := d.NeedAString()
	if err := a.c.decoded(); err != nil {
		return err
	}
	return a.catURL(m, s)
}

// catURL adds what a URL refers to.
func (a *appending) catURL(m *store.NewMessage, s string) error {
	u, err := wire.ParseURL(s)
	if err != nil || u.Absolute || u.Access != "" {
		return badURL(s, err)
	}
	part, err := a.openURL(a.c.ctx, u)
	if err != nil {
		return badURL(s, err)
	}
	defer part.close()
	if err := a.room(m, part.size); err != nil {
		return err
	}
	return a.copy(m, io.LimitReader(part.r, part.size))
}

// badURL is the answer for a URL that leads to nothing. RFC 4469 §4.1
func badURL(s string, err error) error {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ']' {
			return '?' // It is in no URL, and ends the code.
		}
		return r
	}, s[:min(len(s), wire.MaxURL)])
	return imap.No(imap.CodeBadURL+imap.Code(" "+s), "url does not refer to a message or part").With(err)
}

// urlPart is data that a URL refers to.
type urlPart struct {
	section
	m *fetching
}

func (p urlPart) close() { p.m.close() }

// errURL is for a URL that refers to nothing.
var errURL = errors.New("no such message or part")

// openURL opens what a URL refers to in the account. It marks nothing as seen. The caller
// closes it.
func (s *session) openURL(ctx context.Context, u wire.URL) (urlPart, error) {
	name := u.Mailbox
	if u.Relative {
		if s.sel == nil {
			return urlPart{}, errURL
		}
		mb, ok := s.account.Tree().ByID(s.sel.id)
		if !ok {
			return urlPart{}, errURL
		}
		// As for any URL, the last segment of the base is replaced, unless there is only a UID.
		if name == "" {
			name = mb.Name
		} else if parent := imap.MailboxParent(mb.Name); parent != "" {
			name = parent + "/" + name
		}
	}
	name, err := imap.ParseMailboxName(name)
	if err != nil {
		return urlPart{}, errURL
	}
	mb, err := s.mailbox(name)
	if err != nil || u.UIDValidity != 0 && u.UIDValidity != mb.UIDValidity {
		return urlPart{}, errURL
	}
	ix, err := s.account.Index(ctx, mb.ID)
	if err != nil {
		return urlPart{}, err
	}
	pos, ok := ix.Find(u.UID)
	if !ok {
		return urlPart{}, errURL
	}
	it := &fetchItem{FetchItem: imap.FetchItem{Attr: imap.FetchBodySection, Peek: true, Section: u.Section, Partial: u.Partial}}
	for _, f := range u.Section.Fields {
		it.fields = append(it.fields, []byte(f))
	}
	m := &fetching{fetcher: &fetcher{selected: &selected{session: s}, ctx: ctx}, Item: itemAt(ix, pos)}
	sec, err := m.section(it)
	if err != nil {
		m.close()
		if errors.Is(err, message.ErrNoSection) {
			err = errURL
		}
		return urlPart{}, err
	}
	return urlPart{sec, m}, nil
}
