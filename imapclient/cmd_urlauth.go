package imapclient

import (
	"context"
	"errors"
	"io"

	"mox/imap"
	"mox/imap/wire"
)

// A Part is a part of a message to append: what a URL refers to, or Size bytes of Data.
// RFC 4469 §3
type Part struct {
	URL  string
	Size int64
	Data io.Reader
}

func (p *Part) encode(e *wire.Encoder) {
	if p.URL != "" {
		e.Raw("URL ")
		e.AString(p.URL)
		return
	}
	if p.Data == nil && p.Size > 0 {
		e.Fail(errors.New("part without data"))
	}
	e.Raw("TEXT ")
	e.Literal(p.Size, false, p.Data)
}

// GenURLAuth are authorized URLs. RFC 4467 §8
type GenURLAuth []string

// URLFetch has what URLs refer to, without OK where that is nothing. RFC 4467 §8
type URLFetch []URLData

// URLData is a URL and its data.
type URLData struct {
	URL  string
	Data imap.NString
}

func (GenURLAuth) untagged() {}
func (URLFetch) untagged()   {}

// genURLAuth parses what follows GENURLAUTH.
//
//	genurlauth-data = "*" SP "GENURLAUTH" 1*(SP url-full)
func (p *parser) genURLAuth() (l GenURLAuth) {
	for p.TrySP() {
		l = append(l, p.NeedAString())
	}
	return l
}

// urlFetch parses what follows URLFETCH.
//
//	urlfetch-data = "*" SP "URLFETCH" 1*(SP url-full SP nstring)
func (p *parser) urlFetch() (l URLFetch) {
	for p.TrySP() {
		u := URLData{URL: p.NeedAString()}
		p.NeedSP()
		u.Data = p.NeedNString()
		l = append(l, u)
	}
	return l
}

// GenURLAuth authorizes URLs, which end in an access identifier. RFC 4467 §7
func (c *Client) GenURLAuth(ctx context.Context, rumps ...string) (GenURLAuth, error) {
	resp, err := c.do(ctx, "GENURLAUTH", func(e *wire.Encoder) {
		for _, r := range rumps {
			e.SP()
			e.AString(r)
			e.Raw(" INTERNAL")
		}
	})
	return last[GenURLAuth](resp, err, "GENURLAUTH")
}

// URLFetch reads what authorized URLs refer to. RFC 4467 §7
func (c *Client) URLFetch(ctx context.Context, urls ...string) (URLFetch, error) {
	resp, err := c.do(ctx, "URLFETCH", func(e *wire.Encoder) {
		for _, u := range urls {
			e.SP()
			e.AString(u)
		}
	})
	return last[URLFetch](resp, err, "URLFETCH")
}

// ResetKey makes URLs void that were authorized for a mailbox, or, with the empty name, for
// all mailboxes. RFC 4467 §7
func (c *Client) ResetKey(ctx context.Context, mailbox string) (*Response, error) {
	return c.do(ctx, "RESETKEY", func(e *wire.Encoder) {
		if mailbox != "" {
			e.SP()
			e.Mailbox(mailbox)
		}
	})
}
