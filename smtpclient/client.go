package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"mox/dns"
	"mox/mlog"
	"mox/sasl"
	"mox/smtp"
)

// Options are for New.
type Options struct {
	// Hostname is our name, for EHLO.
	Hostname dns.IPDomain

	TLS TLSOptions

	// Auth, if not nil, authenticates, after TLS has started if it is used. It is given
	// the mechanisms that the server offers, and the state of the connection (nil
	// without TLS); usually it calls sasl.Choose.
	Auth func(mechanisms []string, cs *tls.ConnectionState) (sasl.Client, error)

	// Require8BitMIME refuses to send content with 8-bit octets to servers that do not
	// support it. Otherwise it is sent just the same: servers that cannot handle it
	// have become rarer than those that do not announce it.
	Require8BitMIME bool

	// OnReply, if not nil, is called for each command, with its reply and how long that
	// took, for metrics. A reply that did not come has code 0. Command is as in Error.
	OnReply func(command string, reply Reply, took time.Duration)

	// Log gets the transcript, at trace levels. Nil means no log.
	Log *slog.Logger
}

// Client is a connection to a server that is ready for transactions.
type Client struct {
	*conn
	opts Options
	caps Capabilities
	tls  TLSInfo

	greeting  Reply
	ehlo      bool            // EHLO worked, and not just HELO.
	needReset bool            // A transaction was begun and not ended.
	mails     int             // MAIL commands sent.
	domains   map[string]bool // Of recipients sent.
}

// Dial connects with dial and calls New.
func Dial(ctx context.Context, dial func(context.Context) (net.Conn, error), opts Options) (*Client, error) {
	nc, err := dial(ctx)
	if err != nil {
		return nil, &Error{Command: "connect", Err: err}
	}
	return New(ctx, nc, opts)
}

// New reads the greeting, says EHLO, and starts TLS and authenticates as far as
// options say. Errors are of type *Error. The connection is the client's from
// then on: it is closed if there is an error.
func New(ctx context.Context, nc net.Conn, opts Options) (*Client, error) {
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	c := &Client{conn: newConn(ctx, nc, opts.Log), opts: opts, domains: map[string]bool{}}
	defer c.begin(ctx)()
	if err := c.setUp(); err != nil {
		// A client is to say QUIT also when it does not like the server, RFC 5321
		// §4.1.1.10. There is nothing more to learn from how that goes.
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// setUp returns an error, not an *Error, so that nil stays nil.
func (c *Client) setUp() error {
	mode := c.opts.TLS.Mode
	if mode == TLSImmediate {
		if err := c.startTLS(); err != nil {
			return err
		}
	}
	start := time.Now()
	greeting, err := c.read("greeting", GreetingTimeout)
	c.observe("greeting", greeting, start)
	if err != nil {
		return err
	}
	if !greeting.ok() {
		return replyError("greeting", greeting)
	}
	c.greeting = greeting
	if err := c.hello(false); err != nil {
		return err
	}
	if mode == TLSRequired || mode == TLSOpportunistic && c.caps.Extensions.Has(smtp.ExtStartTLS) {
		if err := c.upgrade(); err != nil {
			return err
		}
	}
	if c.opts.Auth != nil {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) observe(command string, r Reply, start time.Time) {
	if c.opts.OnReply != nil {
		c.opts.OnReply(command, r, time.Since(start))
	}
}

// command sends a line and reads the reply. The error is for the connection only.
func (c *Client) command(name, line string, timeout time.Duration) (Reply, *Error) {
	start := time.Now()
	err := c.write(name, line)
	if err != nil {
		return Reply{}, err
	}
	r, err := c.read(name, timeout)
	c.observe(name, r, start)
	return r, err
}

// hello says EHLO, and HELO to servers that do not know EHLO. With TLS, EHLO must
// work: it did before, or the server is not of that age.
func (c *Client) hello(needEHLO bool) error {
	name := smtp.FormatDomain(c.opts.Hostname, false)
	r, err := c.command("ehlo", "EHLO "+name, CommandTimeout)
	if err != nil {
		return err
	}
	if r.ok() {
		c.ehlo = true
		c.caps = parseCapabilities(r)
		return nil
	}
	// RFC 5321 §3.2 has 500 and 502; others are seen too.
	if needEHLO || r.Code < 500 || r.Code > 504 {
		return replyError("ehlo", r)
	}
	c.caps = Capabilities{}
	r, err = c.command("helo", "HELO "+name, CommandTimeout)
	if err != nil {
		return err
	}
	if !r.ok() {
		return replyError("helo", r)
	}
	return nil
}

// upgrade starts TLS with STARTTLS. All that the server has said before is
// forgotten, RFC 3207 §4.2.
func (c *Client) upgrade() error {
	r, err := c.command("starttls", "STARTTLS", CommandTimeout)
	if err != nil {
		return err
	}
	if r.Code != 220 {
		e := replyError("starttls", r)
		// With whatever code: it is a policy that makes TLS a must, and trouble with TLS
		// on the other side that can be repaired.
		e.Permanent = false
		if c.opts.TLS.Mode == TLSOpportunistic {
			c.tls.StartTLSErr = e
			return nil
		}
		e.Err = fmt.Errorf("%w: STARTTLS refused", ErrTLS)
		return e
	}
	if err := c.startTLS(); err != nil {
		return err
	}
	c.caps = Capabilities{}
	return c.hello(true)
}

func (c *Client) startTLS() error {
	start := time.Now()
	cs, err := c.handshake(c.opts.TLS.config(&c.tls))
	if err != nil {
		c.observe("tls", Reply{}, start)
		return c.fail("tls", err)
	}
	c.observe("tls", Reply{Code: 220}, start)
	c.tls.State = cs
	return nil
}

// Capabilities returns what the server announces, after TLS if it is used. They are
// zero if the server only knows HELO.
func (c *Client) Capabilities() Capabilities {
	return c.caps
}

// TLS returns what came of TLS.
func (c *Client) TLS() TLSInfo {
	return c.tls
}

// Greeting returns the reply with which the server started.
func (c *Client) Greeting() Reply {
	return c.greeting
}

// Usable reports whether the connection can be used for another message.
func (c *Client) Usable() bool {
	return !c.botched && (c.caps.Limits.MailMax == 0 || c.mails < c.caps.Limits.MailMax)
}

// Reset ends a transaction with RSET, and so tells whether the connection still
// works before it is used again.
func (c *Client) Reset(ctx context.Context) error {
	if c.botched {
		return &Error{Command: "rset", Err: ErrBotched}
	}
	defer c.begin(ctx)()
	if err := c.reset(); err != nil {
		return err
	}
	return nil
}

func (c *Client) reset() *Error {
	r, err := c.command("rset", "RSET", CommandTimeout)
	if err != nil {
		return err
	}
	if !r.ok() {
		c.close()
		e := replyError("rset", r)
		// RFC 5321 §4.1.1.5 has no such reply. It is about the connection: another one
		// does not need RSET.
		e.Permanent = false
		return e
	}
	c.needReset = false
	return nil
}

// Close says QUIT, unless the connection has failed, and closes it. The server has
// a few seconds to answer; its answer does not matter.
func (c *Client) Close() error {
	if c.botched {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), QuitTimeout)
	defer cancel()
	defer c.begin(ctx)()
	_, err := c.command("quit", "QUIT", QuitTimeout)
	c.close()
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
