package imapclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"mox/imap"
	"mox/imap/wire"
)

// Defaults of Options.
const (
	DefaultTimeout    = 2 * time.Minute
	DefaultMaxLine    = 16 << 20
	DefaultMaxLiteral = 100 << 20
)

// maxUntagged is the most responses that are kept for one command.
const maxUntagged = 1 << 20

// Options are the options of a [Client]. All may be zero.
type Options struct {
	Timeout    time.Duration // Longest wait for the server, DefaultTimeout if 0.
	MaxLine    int           // Bytes in a line of a response, DefaultMaxLine if 0.
	MaxLiteral int           // Bytes in a literal that is kept in memory, DefaultMaxLiteral if 0.

	// SyncLiterals makes the client wait before each literal, also if the server does not
	// want that.
	SyncLiterals bool

	// Lenient keeps untagged responses that cannot be parsed as [Malformed], instead of
	// giving up.
	Lenient bool

	// OnUntagged, if not nil, is called with each untagged response when it is read.
	OnUntagged func(Untagged)
}

// A State is a state of a connection. RFC 9051 §3
type State uint8

// States.
const (
	StateNotAuthenticated State = iota
	StateAuthenticated
	StateSelected
	StateLogout
)

// A Client is a connection to an IMAP server. Make one with [New].
type Client struct {
	opts  Options
	conn  net.Conn
	r     *wire.Reader
	dec   *wire.Decoder
	clock connClock

	tags    int
	state   State
	caps    imap.Caps // Nil when not known.
	enabled imap.Caps
	utf8    bool
	bye     *imap.Error // Set when the server has said BYE.
	broken  error       // Set when the connection cannot be used any more.

	// literal, if not nil, is given the literals of sections of FETCH responses, instead of
	// keeping them in memory.
	literal func(*FetchData, *FetchSection, io.Reader) error
}

// New reads the greeting of a server and returns a client in the state that it says. The
// client closes conn when New fails. A greeting BYE is an [imap.Error]. RFC 9051 §7.1
func New(ctx context.Context, conn net.Conn, opts Options) (*Client, error) {
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.MaxLine == 0 {
		opts.MaxLine = DefaultMaxLine
	}
	if opts.MaxLiteral == 0 {
		opts.MaxLiteral = DefaultMaxLiteral
	}
	c := &Client{opts: opts, conn: conn, clock: connClock{conn: conn, timeout: opts.Timeout}, enabled: imap.Caps{}}
	c.r = wire.NewReader(&c.clock, nil)
	c.dec = wire.NewDecoder(c.r, wire.Options{
		Limits: wire.Limits{
			Line:         opts.MaxLine,
			Literal:      opts.MaxLiteral,
			LiteralTotal: opts.MaxLine + opts.MaxLiteral,
			Literals:     1 << 20,
			Ranges:       1 << 24,
		},
		Response: true,
	})
	err := c.run(ctx, c.greeting)
	if err != nil {
		conn.Close() // The error of reading is the one to tell.
		return nil, fmt.Errorf("reading greeting: %w", err)
	}
	return c, nil
}

// greeting reads the greeting.
//
//	greeting = "*" SP (resp-cond-auth / resp-cond-bye) CRLF
func (c *Client) greeting() error {
	rep, err := c.read()
	if err != nil {
		return err
	}
	st, ok := rep.untagged.(Status)
	switch {
	case !ok:
		return errors.New("greeting is not a status response")
	case st.Type == "OK":
	case st.Type == "PREAUTH":
		c.state = StateAuthenticated
	case st.Type == "BYE":
		return st.err()
	default:
		return errors.New("greeting is not OK, PREAUTH or BYE")
	}
	return nil
}

// Close closes the connection without LOGOUT.
func (c *Client) Close() error {
	c.state = StateLogout
	return c.conn.Close()
}

// State returns the state of the connection.
func (c *Client) State() State {
	return c.state
}

// Caps returns the capabilities that the server has announced last, nil if they are not
// known: it does not always announce them after STARTTLS and login. See
// [Client.Capability].
func (c *Client) Caps() imap.Caps {
	return c.caps
}

// Enabled returns the extensions that were enabled. RFC 5161 §3.2
func (c *Client) Enabled() imap.Caps {
	return c.enabled
}

// Conn returns the connection, which has the layers of [Client.StartTLS] and
// [Client.Compress] after these.
func (c *Client) Conn() net.Conn {
	return c.conn
}

// setConn puts the client on a new layer of the connection.
func (c *Client) setConn(conn net.Conn) {
	c.conn = conn
	c.clock.setConn(conn)
}

// newTag returns a tag that was not used before on the connection.
func (c *Client) newTag() string {
	c.tags++
	return "c" + strconv.Itoa(c.tags)
}

// run runs f with the deadline and cancellation of ctx. Errors of the connection and of
// the syntax make the client unusable.
func (c *Client) run(ctx context.Context, f func() error) error {
	if c.broken != nil {
		return fmt.Errorf("connection not usable after error: %w", c.broken)
	}
	stop := c.clock.start(ctx, true)
	defer stop()
	err := f()
	if err == nil {
		return nil
	}
	if refused := (*refusedError)(nil); errors.As(err, &refused) {
		return refused.err
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	c.broken = err
	return err
}

// refusedError is a NO or BAD from the server, after which the connection goes on.
type refusedError struct {
	err *imap.Error
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// lastTag returns the tag of the command that was begun last.
func (c *Client) lastTag() string {
	return "c" + strconv.Itoa(c.tags)
}
