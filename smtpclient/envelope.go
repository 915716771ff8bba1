package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"

	"mox/smtp"
)

// Envelope is a message to deliver.
type Envelope struct {
	// Mail has the reverse-path and what is wanted of the server. Body is to be
	// Body8BitMIME if the content has 8-bit octets, and BodyBinaryMIME if it is not made
	// of lines; SMTPUTF8 is to be set if its header has UTF-8, Size is to be set if it is
	// known. Delivery fails if the server does not support SMTPUTF8, REQUIRETLS,
	// BINARYMIME or a hold and it is asked for. Body, Size, Auth, Ret
	// and EnvID are left out for servers that do not know them. SMTPUTF8 is also used if
	// one of the addresses needs it.
	Mail smtp.MailCommand

	// Recipients are the forward-paths, with parameters for notifications, which are
	// left out for servers that do not know them.
	Recipients []smtp.RcptCommand

	// Open returns the content, with CRLF line ends. It is called once for each
	// transaction, and not before the server wants it.
	Open func() (io.ReadCloser, error)
}

// Result is what came of a recipient.
type Result struct {
	// Err is nil if the server has taken responsibility for the message to this
	// recipient. It is set for all others.
	Err *Error

	// Reply is the reply to the content if Err is nil.
	Reply Reply
}

// need is what a transaction needs, adapted to the server.
type need struct {
	mail    smtp.MailCommand
	utf8    bool
	dsn     bool
	chunked bool // With BDAT instead of DATA, RFC 3030 §2.
}

// adapt checks what the envelope needs against what the server offers, and leaves
// out what it can do without.
func (c *Client) adapt(env Envelope) (need, *Error) {
	has := c.caps.Extensions.Has
	m := env.Mail
	if !m.SMTPUTF8 {
		m.SMTPUTF8 = m.ReversePath.IsInternational()
		for _, r := range env.Recipients {
			m.SMTPUTF8 = m.SMTPUTF8 || r.ForwardPath.IsInternational()
		}
	}
	refuse := func(permanent bool, enhanced string, err error) (need, *Error) {
		return need{}, &Error{Command: "mail", Permanent: permanent, Enhanced: enhanced, Err: err}
	}
	switch {
	case c.caps.MaxSize > 0 && m.Size > c.caps.MaxSize:
		return refuse(true, "5.3.4", fmt.Errorf("%w: %d octets, server accepts %d", ErrSize, m.Size, c.caps.MaxSize))
	// Another host for the same recipients may support these. That is why they
	// are not permanent.
	case m.SMTPUTF8 && !has(smtp.ExtSMTPUTF8):
		return refuse(false, "4.6.7", ErrSMTPUTF8Unsupported)
	case m.Body == smtp.Body8BitMIME && !has(smtp.Ext8BITMIME) && c.opts.Require8BitMIME:
		return refuse(false, "4.6.3", Err8BitMIMEUnsupported)
	case m.Body == smtp.BodyBinaryMIME && !has(smtp.ExtBinaryMIME|smtp.ExtChunking):
		// DATA cannot carry it, RFC 3030 §3.
		return refuse(false, "4.6.3", ErrBinaryMIMEUnsupported)
	// It is up to the sender of the message to find another way, RFC 8689 §4.2.1.
	case m.RequireTLS && !has(smtp.ExtRequireTLS):
		return refuse(true, "5.7.30", ErrRequireTLSUnsupported)
	case (m.HoldFor != 0 || !m.HoldUntil.IsZero()) && !has(smtp.ExtFutureRelease):
		return refuse(true, "5.3.3", ErrFutureReleaseUnsupported)
	}
	chunked := has(smtp.ExtChunking) && (m.Body == smtp.BodyBinaryMIME || m.Size >= chunkedMin)
	if m.Body != smtp.BodyBinaryMIME && !has(smtp.Ext8BITMIME) {
		m.Body = ""
	}
	if !has(smtp.ExtSize) {
		m.Size = 0
	}
	if !has(smtp.ExtAuth) {
		m.Auth = nil
	}
	if !has(smtp.ExtDSN) {
		m.Ret, m.EnvID = "", ""
	}
	return need{mail: m, utf8: m.SMTPUTF8, dsn: has(smtp.ExtDSN), chunked: chunked}, nil
}

// rcptLine returns the RCPT command for a recipient.
func (n need) rcptLine(r smtp.RcptCommand) string {
	if !n.dsn {
		r = smtp.RcptCommand{ForwardPath: r.ForwardPath}
	}
	return r.Format(n.utf8)
}

// Deliver sends a message, in as many transactions as it takes: servers limit the
// recipients of one. Recipients that a server refuses for now because there are too
// many, after it has taken others, are tried again in the next transaction.
//
// There is a result for each recipient, also with an error. The error, of type
// *Error, is the first failure that was not about a recipient.
func (c *Client) Deliver(ctx context.Context, env Envelope) ([]Result, error) {
	results := make([]Result, len(env.Recipients))
	pending := make([]int, len(env.Recipients))
	for i := range pending {
		pending[i] = i
	}
	if err := c.deliver(ctx, env, results, pending); err != nil {
		for i := range results {
			if results[i].Err == nil && results[i].Reply.Code == 0 {
				results[i].Err = err
			}
		}
		return results, err
	}
	return results, nil
}

func (c *Client) deliver(ctx context.Context, env Envelope, results []Result, pending []int) *Error {
	if c.botched {
		return &Error{Command: "mail", Err: ErrBotched}
	}
	if len(pending) == 0 {
		return &Error{Command: "mail", Permanent: true, Err: errors.New("no recipients")}
	}
	defer c.begin(ctx)()
	n, err := c.adapt(env)
	if err != nil {
		return err
	}
	limit := MaxRecipients
	if c.caps.Limits.RcptMax > 0 {
		limit = c.caps.Limits.RcptMax
	}
	for len(pending) > 0 {
		if c.botched {
			return &Error{Command: "mail", Err: ErrBotched}
		}
		chunk, rest := c.chunk(env, pending, limit)
		if len(chunk) == 0 {
			return &Error{Command: "mail", Err: ErrLimit}
		}
		t := &transaction{c: c, env: env, need: n, rcpts: chunk, results: results}
		if err := t.run(); err != nil {
			return err
		}
		if len(t.retry) > 0 {
			// At least one was taken, so this ends.
			limit = t.accepted
		}
		pending = append(t.retry, rest...)
	}
	return nil
}

// chunk returns the recipients for the next transaction, and those that remain.
// There are none for the next if the connection has reached a limit.
func (c *Client) chunk(env Envelope, pending []int, limit int) (chunk, rest []int) {
	if !c.Usable() {
		return nil, pending
	}
	for _, i := range pending {
		domain := smtp.FormatDomain(env.Recipients[i].ForwardPath.IPDomain, false)
		maxDomains := c.caps.Limits.RcptDomainMax
		if len(chunk) == limit || maxDomains > 0 && !c.domains[domain] && len(c.domains) >= maxDomains {
			rest = append(rest, i)
			continue
		}
		c.domains[domain] = true
		chunk = append(chunk, i)
	}
	return chunk, rest
}
