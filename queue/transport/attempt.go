package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"mox/dsn"
	"mox/mlog"
	"mox/queue"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/smtpclient"
)

// An attempt is one call of Deliver. Recipients are pending until it is clear what
// becomes of them in this attempt.
type attempt struct {
	n       *Network
	d       queue.Delivery
	log     *slog.Logger
	rec     *recorder
	results []queue.Result
	pending []int // Indexes of recipients.
}

func newAttempt(n *Network, d queue.Delivery) *attempt {
	a := &attempt{n: n, d: d, log: n.Log, rec: &recorder{}, results: make([]queue.Result, len(d.Messages))}
	for i := range d.Messages {
		a.pending = append(a.pending, i)
	}
	return a
}

// finish returns the results.
func (a *attempt) finish() []queue.Result {
	for i := range a.results {
		r := &a.results[i]
		r.Transcript = a.rec.lines
		if r.Err != nil || r.Code != 0 {
			continue
		}
		r.Err = errors.New("message was not sent") // There was nothing to try, which is a mistake.
	}
	return a.results
}

// needsTLS reports whether the sender wants REQUIRETLS. All messages of a delivery
// should have the same wish; if not, the stricter one counts.
func (a *attempt) needsTLS() bool {
	return slices.ContainsFunc(a.d.Messages, func(m queuedb.Message) bool { return m.RequireTLS != nil && *m.RequireTLS })
}

// ignoresTLS reports whether the message has "TLS-Required: No".
func (a *attempt) ignoresTLS() bool {
	return !slices.ContainsFunc(a.d.Messages, func(m queuedb.Message) bool { return m.RequireTLS == nil || *m.RequireTLS })
}

// order returns addresses in the order in which to try them. Without earlier
// attempts it is free, and those to which there is a connection come first.
func (a *attempt) order(ctx context.Context, ips []netip.Addr, linkTo func(netip.Addr) link) []netip.Addr {
	if len(ips) == 0 {
		return nil
	}
	dialed := a.n.Addresses.Dialed(ctx, a.d.Base.ID, linkTo(ips[0]).host.XString(false))
	ips = orderAddresses(ips, dialed, MaxAddresses)
	if len(dialed) > 0 {
		return ips
	}
	idle := func(ip netip.Addr) int {
		if a.n.Pool.hasIdle(a.n.key(linkTo(ip))) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ips, func(x, y netip.Addr) int { return idle(x) - idle(y) })
	return ips
}

// dialed remembers an address, unless it could not be connected to.
func (a *attempt) dialed(ctx context.Context, l link, err error) {
	var e *smtpclient.Error
	if !errors.As(err, &e) || e.Command != "connect" {
		a.n.Addresses.SetDialed(ctx, a.d.Base.ID, l.host.XString(false), l.addr.Addr())
	}
}

// fail notes an error for all pending recipients, that may be tried at other hosts.
func (a *attempt) fail(l link, err error) {
	for _, i := range a.pending {
		a.merge(i, a.result(l, err))
	}
}

// result returns the result for an error.
func (a *attempt) result(l link, err error) queue.Result {
	r := queue.Result{Err: queueError(err), Host: l.host.XString(false), IP: l.addr.Addr(), TLS: l.req.label, Session: l.session}
	if l.host.IsZero() {
		r.Host = ""
	}
	if a.needsTLS() && isTLSRefused(err) {
		// For good, so that the sender knows at once, RFC 8689 §4.2.1.
		r.Err = smtp.Errorf(smtp.C554TransactionFailed, smtp.Se710EncryptionNeeded, "sender requires verified TLS, which is not possible with the server").WithCause(err)
	}
	var e *smtpclient.Error
	if errors.As(err, &e) {
		r.Code, r.Enhanced, r.Text, r.Unanswered = e.Code, e.Enhanced, replyText(e.Lines), e.Unanswered
		if e.Code != 0 {
			r.Remote = r.Host
		}
	}
	return r
}

// merge notes a failure of a recipient at one of several hosts. The most telling one
// stays: temporary ones before permanent ones, for then it is worth to try again; then
// those that a server has given a reason for.
func (a *attempt) merge(i int, r queue.Result) {
	old := a.results[i]
	switch {
	case old.Err == nil:
	case isPermanent(old.Err) != isPermanent(r.Err):
		if isPermanent(r.Err) {
			return
		}
	case old.Remote != "" && r.Remote == "":
		return
	}
	a.results[i] = r
}

// envelope returns what is to be sent for some recipients.
func (a *attempt) envelope(todo []int) smtpclient.Envelope {
	b := a.d.Base
	env := smtpclient.Envelope{
		Mail: smtp.MailCommand{
			ReversePath: a.d.Messages[0].Sender(),
			Size:        a.d.Content.Size(),
			SMTPUTF8:    b.SMTPUTF8,
			RequireTLS:  a.needsTLS(),
			Ret:         smtp.Ret(b.Ret),
			EnvID:       b.EnvID,
		},
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(a.d.Content, 0, a.d.Content.Size())), nil
		},
	}
	if b.EightBit {
		env.Mail.Body = smtp.Body8BitMIME
	}
	for _, i := range todo {
		m := a.d.Messages[i]
		env.Recipients = append(env.Recipients, smtp.RcptCommand{
			ForwardPath:       m.Recipient(),
			Notify:            smtp.Notify(m.Notify),
			OriginalRecipient: m.Original(),
		})
	}
	return env
}

// send delivers to pending recipients over connections that open makes, as many as
// it takes: servers limit what they take on one. Its error is that of open, and then
// nothing was sent. A connection that had been kept and does not work any more is
// replaced by a new one, once.
func (a *attempt) send(ctx context.Context, l link, soften bool, open func(c *conn) error) error {
	todo := slices.Clone(a.pending)
	fresh := false
	for len(todo) > 0 {
		c, reused, err := a.n.Pool.get(ctx, a.n.key(l), fresh, func(c *conn) error {
			c.rec = a.rec
			return open(c)
		})
		if err != nil {
			return err
		}
		if reused {
			c.rec = a.rec
			a.dialed(ctx, l, nil)
			metricConnection.WithLabelValues("reused").Inc()
			a.rec.add("using connection to %s %s again", l.host, l.addr)
		}
		// What did not fit on this connection fits on a new one, of which each settles
		// something.
		todo, fresh = a.transact(ctx, c, l, todo, soften, reused), true
	}
	return nil
}

// transact sends to recipients over a connection, and notes what came of it. It
// returns those that are to be tried on a new connection: all if this one was used
// before and turned out to be dead.
func (a *attempt) transact(ctx context.Context, c *conn, l link, todo []int, soften, reused bool) (again []int) {
	defer a.n.Pool.put(c)
	l.session = c.session()
	c.messages++
	c.spent = true // Should there be a panic.
	results, err := c.client.Deliver(ctx, a.envelope(todo))
	c.spent = false
	if reused && a.isDead(ctx, c, results) {
		a.rec.add("connection does not work any more: %v", err)
		return todo
	}
	progress := false
	for _, r := range results {
		progress = progress || r.Err == nil || r.Err.Command != "mail"
		// The server is about to close it, RFC 5321 §3.8.
		c.spent = c.spent || r.Err != nil && r.Err.Code == smtp.C421ServiceUnavailable
	}
	hasDSN := c.client.Capabilities().Extensions.Has(smtp.ExtDSN)
	for k, i := range todo {
		r := results[k]
		switch {
		case r.Err == nil:
			a.results[i] = a.success(l, r.Reply, hasDSN)
			a.settle(i)
		case (progress || reused) && ctx.Err() == nil && (errors.Is(r.Err, smtpclient.ErrLimit) || errors.Is(r.Err, smtpclient.ErrBotched)):
			again = append(again, i)
		default:
			a.refused(ctx, i, l, r.Err, soften)
		}
	}
	a.logLink(ctx, l, c, results, err)
	return again
}

// isDead reports whether a connection that was used before has failed before it
// answered MAIL, RFC 5321 §3.8: servers end idle connections, by just closing them or
// with 421, which is then read in place of a reply. A server that refuses RSET has said
// nothing about the message either.
func (a *attempt) isDead(ctx context.Context, c *conn, results []smtpclient.Result) bool {
	if ctx.Err() != nil {
		return false
	}
	for _, r := range results {
		e := r.Err
		if e == nil || e.Command != "mail" && e.Command != "rset" {
			return false
		}
		if e.Command == "mail" && e.Code != smtp.C421ServiceUnavailable && (e.Code != 0 || c.client.Usable()) {
			return false
		}
	}
	return true
}

// success returns the result for a message that was taken.
func (a *attempt) success(l link, reply smtpclient.Reply, hasDSN bool) queue.Result {
	r := queue.Result{
		Remote:   l.host.XString(false),
		Host:     l.host.XString(false),
		IP:       l.addr.Addr(),
		TLS:      l.req.label,
		Session:  l.session,
		Code:     reply.Code,
		Enhanced: reply.Enhanced,
		Text:     replyText(reply.Lines),
	}
	if !hasDSN {
		r.Success = dsn.Relayed
	}
	return r
}

// refused notes that a recipient was not delivered to. Where that is not about the
// host, no other host is tried.
func (a *attempt) refused(ctx context.Context, i int, l link, e *smtpclient.Error, soften bool) {
	r := a.result(l, e)
	if e.Unanswered {
		metricUnanswered.Inc()
		a.log.WarnContext(ctx, "no reply to message that was sent, the next attempt may deliver it twice",
			slog.Int64("msgid", a.d.Messages[i].ID), slog.String("host", l.host.XString(false)), mlog.Err(e))
	}
	if errors.Is(e, smtpclient.ErrRequireTLSUnsupported) {
		metricRequireTLS.WithLabelValues("norequiretls").Inc()
	}
	permanent := isPermanent(r.Err)
	if permanent && soften && strings.HasPrefix(e.Enhanced, "5.7.") {
		// The other family of addresses may be welcome.
		se := *smtp.AsError(r.Err)
		se.Code -= 100
		se.Enhanced = "4" + se.Enhanced[1:]
		r.Err = &se
	}
	switch {
	case permanent && !isAboutHost(e), e.Unanswered, errors.Is(e, smtpclient.ErrContent), ctx.Err() != nil:
		// What another host would say is of no interest, or might be a second delivery.
		a.results[i] = r
		a.settle(i)
	default:
		a.merge(i, r)
	}
}

// settle takes a recipient out of those that are pending.
func (a *attempt) settle(i int) {
	a.pending = slices.DeleteFunc(a.pending, func(j int) bool { return i == j })
}

// logLink logs what came of a connection.
func (a *attempt) logLink(ctx context.Context, l link, c *conn, results []smtpclient.Result, err error) {
	taken, code := 0, 0
	for _, r := range results {
		if r.Err == nil {
			taken++
			code = r.Reply.Code
		} else if taken == 0 {
			code = r.Err.Code
		}
	}
	a.log.InfoContext(ctx, "smtp delivery attempt", a.attrs(l, slog.Int("code", code), slog.Int("recipients", len(results)),
		slog.Int("taken", taken), slog.Int("messageofconnection", c.messages), mlog.Err(err))...)
}

// logFailed logs that a server could not be used.
func (a *attempt) logFailed(ctx context.Context, l link, err error) {
	code := 0
	var e *smtpclient.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	a.log.InfoContext(ctx, "smtp delivery attempt without session", a.attrs(l, slog.Int("code", code), mlog.Err(err))...)
}

func (a *attempt) attrs(l link, more ...any) []any {
	return append([]any{
		slog.String("transport", a.n.Name),
		slog.Int64("content", a.d.Base.ID),
		slog.String("host", l.host.XString(false)),
		slog.String("ip", l.addr.Addr().String()),
		slog.String("tls", l.req.label),
	}, more...)
}
