package transfer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/sasl"
	"mox/store"
)

// How a connection to another server is secured.
const (
	TLSImmediate = "tls"      // Usually on port 993.
	TLSStart     = "starttls" // With STARTTLS, usually on port 143.
	TLSNone      = "none"
)

// PullOptions are for [Transfers.Pull]. Those with a name in JSON come from the command.
type PullOptions struct {
	Host      string   `json:"host"`
	Port      int      `json:"port"` // Zero is 993 or 143.
	TLS       string   `json:"tls"`
	CAs       string   `json:"cas,omitempty"` // Certificates of authorities, PEM. Empty are those of the system.
	Login     string   `json:"login"`
	Token     bool     `json:"token,omitempty"` // The secret is an OAuth token, not a password.
	Exclude   []string `json:"exclude,omitempty"`
	Keep      bool     `json:"keep,omitempty"`      // What is deleted there stays here.
	Mechanism string   `json:"mechanism,omitempty"` // Empty is the best that is offered.

	// Secret returns the password or token. It is called for each connection.
	Secret func(ctx context.Context) (string, error) `json:"-"`
	// Progress is told in words how far the copy is. It is called often.
	Progress func(text string) `json:"-"`
	// Dial connects to the server. Nil is the net package.
	Dial func(ctx context.Context, address string) (net.Conn, error) `json:"-"`
}

// PullResult is what a run has done.
type PullResult struct {
	Mailboxes   int `json:"mailboxes"`
	Copied      int `json:"copied"`
	Flags       int `json:"flags"` // Messages whose flags were changed.
	Deleted     int `json:"deleted"`
	Skipped     int `json:"skipped"` // Too large, or the server does not give them out.
	Connections int `json:"connections"`
}

// puller is a run.
type puller struct {
	t    *Transfers
	a    *store.Account
	opts PullOptions
	key  string // In names of notes.
	res  PullResult

	c         *imapclient.Client
	gmail     bool
	qresync   bool
	condstore bool
	names     map[string]bool // Of mailboxes that are copied.
	there     map[string]bool // Of all that there are.
	uses      map[string]bool // Special uses of them.
	ids       map[uint64]copied
}

// copied is where a message of Gmail was copied to in this run.
type copied struct {
	mailboxID int64
	uid       uint32
}

// Pull copies an account from another server, and at later times what has changed there:
// new messages, flags, and deletions. What is changed here stays as it is, unless it is
// changed there later. A connection that ends is made again, and the copy goes on.
func (t *Transfers) Pull(ctx context.Context, a *store.Account, opts PullOptions) (PullResult, error) {
	p := &puller{t: t, a: a, opts: opts, key: pullKey(opts), ids: map[uint64]copied{}}
	release, err := t.alone(a.Name(), p.key)
	if err != nil {
		return PullResult{}, fmt.Errorf("copy from %s: %w", opts.Host, err)
	}
	defer release()
	start := time.Now()
	err = p.run(ctx)
	t.opts.Log.LogAttrs(ctx, slog.LevelInfo, "copy of account from another server ended", slog.String("account", a.Name()), slog.String("host", opts.Host),
		slog.Int("copied", p.res.Copied), slog.Int("flags", p.res.Flags), slog.Int("deleted", p.res.Deleted), slog.Int("skipped", p.res.Skipped),
		slog.Int("connections", p.res.Connections), slog.Duration("duration", time.Since(start)), slog.Any("err", err))
	return p.res, err
}

// errFinal is an error for which another connection is of no use.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

func final(err error) error {
	if err == nil {
		return nil
	}
	return errFinal{err}
}

// run connects until all is copied.
func (p *puller) run(ctx context.Context) error {
	wait := pullBackoff
	for failed := 0; ; {
		before := p.res
		err := p.session(ctx)
		refused := (*imap.Error)(nil)
		switch {
		case err == nil || ctx.Err() != nil || errors.As(err, new(errFinal)):
			return err
		case errors.As(err, &refused) && refused.Type != imap.TypeBYE:
			return err
		}
		before.Connections = p.res.Connections
		if failed++; p.res != before {
			failed, wait = 1, pullBackoff
		}
		if failed == pullAttempts {
			return fmt.Errorf("gave up after %d connections without progress: %w", failed, err)
		}
		p.say("connection ended, the next one follows: %v", err)
		p.t.opts.Log.WarnContext(ctx, "connection for copy of account ended", "account", p.a.Name(), "host", p.opts.Host, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBackoff)
	}
}

func (p *puller) say(format string, args ...any) {
	if p.opts.Progress != nil {
		p.opts.Progress(fmt.Sprintf(format, args...))
	}
}

// session copies on one connection.
func (p *puller) session(ctx context.Context) error {
	p.res.Connections++
	if err := p.connect(ctx); err != nil {
		return err
	}
	defer func() { _ = p.c.Close() }() // All is done, or there is another error.
	boxes, err := p.list(ctx)
	if err != nil {
		return err
	}
	p.res.Mailboxes = len(boxes)
	for _, b := range boxes {
		if err := p.mailbox(ctx, b); err != nil {
			return fmt.Errorf("mailbox %q: %w", b.name, err)
		}
	}
	if err := p.gone(ctx); err != nil {
		return final(err)
	}
	_ = p.c.Logout(ctx) // All is done.
	return nil
}

// connect connects and logs in.
func (p *puller) connect(ctx context.Context) error {
	o := p.opts
	config := &tls.Config{ServerName: o.Host, MinVersion: tls.VersionTLS12}
	if o.CAs != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(o.CAs)) {
			return final(errors.New("there is no certificate in the file with authorities"))
		}
	}
	port := o.Port
	if port == 0 {
		port = 143
		if o.TLS == TLSImmediate {
			port = 993
		}
	}
	dial := o.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: time.Minute}).DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, net.JoinHostPort(o.Host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	switch o.TLS {
	case TLSImmediate:
		conn = tls.Client(conn, config)
	case TLSStart, TLSNone:
	default:
		return final(errors.Join(fmt.Errorf("unknown kind of TLS %q", o.TLS), conn.Close()))
	}
	if p.c, err = imapclient.New(ctx, conn, imapclient.Options{Timeout: pullTimeout, Lenient: true}); err != nil {
		return tlsFinal(err)
	}
	if err = p.begin(ctx, config, port); err != nil {
		err = errors.Join(err, p.c.Close())
	}
	return err
}

// tlsFinal makes errors final that are about a certificate.
func tlsFinal(err error) error {
	if bad := (*tls.CertificateVerificationError)(nil); errors.As(err, &bad) {
		return final(fmt.Errorf("certificate of the other server is not accepted, -cafile is for authorities of its own: %w", bad))
	}
	return err
}

// begin brings a connection to where mailboxes can be listed.
func (p *puller) begin(ctx context.Context, config *tls.Config, port int) error {
	if p.opts.TLS == TLSStart {
		if p.c.State() != imapclient.StateNotAuthenticated {
			return final(errors.New("server does not take STARTTLS because the connection is authenticated"))
		}
		if err := p.c.StartTLS(ctx, config); err != nil {
			return tlsFinal(err)
		}
	}
	if p.c.Caps() == nil {
		if _, err := p.c.Capability(ctx); err != nil {
			return err
		}
	}
	if p.c.State() == imapclient.StateNotAuthenticated {
		if err := p.login(ctx, port); err != nil {
			return err
		}
	}
	if _, err := p.c.Capability(ctx); err != nil { // There are often more after logging in.
		return err
	}
	caps := p.c.Caps()
	p.gmail = caps.Has("X-GM-EXT-1")
	p.qresync, p.condstore = caps.Has(imap.CapQResync), caps.Has(imap.CapCondStore) || caps.Has(imap.CapQResync)
	if p.qresync {
		if _, err := p.c.Enable(ctx, imap.CapQResync); err != nil {
			p.qresync = false
		}
	}
	return nil
}

// login logs in. A password that is refused is not tried again: accounts get locked.
func (p *puller) login(ctx context.Context, port int) error {
	ctx2, cancel := context.WithTimeout(ctx, tokenTimeout)
	secret, err := p.opts.Secret(ctx2)
	cancel()
	if err != nil {
		return final(err)
	}
	m, err := p.mechanism(secret, port)
	if err != nil {
		return final(err)
	}
	if m == nil {
		_, err = p.c.Login(ctx, p.opts.Login, secret)
	} else {
		_, err = p.c.Authenticate(ctx, m)
	}
	if refused := (*imap.Error)(nil); errors.As(err, &refused) && refused.Code == "UNAVAILABLE" {
		return fmt.Errorf("log in: %s", refused.Text) // It can be tried again.
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("log in: %w", err)
	if errors.As(err, new(net.Error)) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return final(err)
}

// mechanism returns how to log in, nil for the command LOGIN.
func (p *puller) mechanism(secret string, port int) (imapclient.Mechanism, error) {
	caps := p.c.Caps()
	o := p.opts
	if o.Token {
		switch {
		case caps.HasAuth(sasl.OAuthBearer) && o.Mechanism != sasl.XOAuth2:
			return sasl.NewOAuthBearerClient(o.Login, secret, o.Host, port), nil
		case caps.HasAuth(sasl.XOAuth2):
			return sasl.NewXOAuth2Client(o.Login, secret), nil
		}
		return nil, errors.New("server takes no tokens: it offers neither OAUTHBEARER nor XOAUTH2")
	}
	var state *tls.ConnectionState
	if c, ok := p.c.Conn().(*tls.Conn); ok {
		s := c.ConnectionState()
		state = &s
	}
	allowed := append(sasl.DefaultMechanisms(), sasl.Plain)
	if o.Mechanism != "" {
		allowed = []string{o.Mechanism}
	}
	var offered []string
	for _, m := range allowed {
		if caps.HasAuth(m) {
			offered = append(offered, m)
		}
	}
	m, err := sasl.Choose(sasl.ChooseOptions{Offered: offered, Mechanisms: allowed, TLS: state, AllowCleartext: o.TLS == TLSNone,
		Credentials: sasl.Credentials{Identity: sasl.Identity{Authentication: o.Login}, Password: secret}})
	if err != nil && o.Mechanism == "" && !caps.Has("LOGINDISABLED") && (state != nil || o.TLS == TLSNone) {
		return nil, nil
	}
	return m, err
}

// excluded reports whether a mailbox, or one above it, is not to be copied.
func (p *puller) excluded(name string) bool {
	for n := name; n != ""; n = imap.MailboxParent(n) {
		if slices.Contains(p.opts.Exclude, n) {
			return true
		}
	}
	return false
}
