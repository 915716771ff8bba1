package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"mox/config"
	"mox/internal/tracedb"
	"mox/smtp"
)

// The steps of messages that are recorded here: that they were received, or refused,
// and for which recipients. What else becomes of them is recorded by those who do it,
// with the context from here.

// traced is what was recorded of a transaction.
type traced struct {
	received bool
	judged   bool // Or is by those who deliver.
	refused  int  // Recipients.
}

// traceContext returns a context for what is done with the message of a transaction.
func (s *session) traceContext(ctx context.Context, t *transaction) context.Context {
	return tracedb.WithRef(ctx, tracedb.Ref{Cid: s.cid, N: t.number})
}

// step returns a step about a transaction.
func (s *session) step(t *transaction, kind tracedb.Kind) tracedb.Step {
	return tracedb.Step{
		Kind: kind,
		Ref:  tracedb.Ref{Cid: s.cid, N: t.number},
		Cid:  s.cid,
		From: tracedb.Address(t.mail.ReversePath),
	}
}

// client adds what is known of the client.
func (s *session) client(st tracedb.Step) tracedb.Step {
	st.Service, st.Connection, st.Host = s.lis.Kind.String(), s.id, s.heloName(true)
	if s.remoteIP.IsValid() {
		st.IP = s.remoteIP.String()
	}
	if s.tls != nil {
		st.TLS = tls.VersionName(s.tls.Version) + " " + tls.CipherSuiteName(s.tls.CipherSuite)
	}
	if s.login != nil {
		st.Account = s.login.account
	}
	return st
}

// traceReceived records that a message was received. Name is what DNS calls the client.
func (s *session) traceReceived(ctx context.Context, t *transaction, m *incoming, name string) {
	if s.srv.opts.Trace == nil {
		return
	}
	st := s.client(s.step(t, tracedb.Received))
	st.Time, st.Name, st.Size, st.MessageID = m.time, name, m.size, string(m.digest.MessageID())
	t.traced.received = true
	s.srv.opts.Trace.Step(ctx, st)
}

// traceRecipient records that a recipient was refused. Those in domains that are not
// ours tell nothing about our mail.
func (s *session) traceRecipient(ctx context.Context, t *transaction, p smtp.Path, err error) {
	if s.srv.opts.Trace == nil || errors.Is(err, config.ErrDomainUnknown) || t.traced.refused >= maxTracedRecipients {
		return
	}
	if !s.srv.tracedRefusals.Add(s.remoteIP, time.Now(), 1) {
		return
	}
	t.traced.refused++
	st := s.client(s.step(t, tracedb.Refused))
	st.To = tracedb.Address(p)
	st.SetError(replyError(err))
	s.srv.opts.Trace.Step(ctx, st)
}

// traceRejected records the verdict about a message that is not accepted for a
// recipient.
func (s *session) traceRejected(ctx context.Context, t *transaction, r recipient, reason string, reasons []string, err error) {
	if s.srv.opts.Trace == nil {
		return
	}
	st := s.step(t, tracedb.Judged)
	st.To, st.Account = tracedb.Address(r.path), r.to.Account
	st.Result, st.Reason, st.Reasons = tracedb.Rejected, reason, reasons
	st.SetError(replyError(err))
	s.srv.opts.Trace.Step(ctx, st)
}

// traceRefused records that all of a message was refused, if it was. Unless there are
// verdicts, it says for whom.
func (s *session) traceRefused(ctx context.Context, t *transaction, err error) {
	if s.srv.opts.Trace == nil || err == nil || errors.Is(err, errConnection) {
		return
	}
	st := s.step(t, tracedb.Refused)
	if !t.traced.received {
		st = s.client(st)
	}
	st.SetError(replyError(err))
	if t.traced.judged || len(t.recipients) == 0 {
		s.srv.opts.Trace.Step(ctx, st)
		return
	}
	for i, r := range t.recipients {
		if i == maxTracedRecipients {
			break
		}
		st.To = tracedb.Address(r.path)
		s.srv.opts.Trace.Step(ctx, st)
	}
}
