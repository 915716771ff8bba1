package smtpserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/metrics"
	"mox/internal/parallel"
	"mox/internal/submit"
	"mox/mlog"
	"mox/smtp"
)

// What becomes of a message from elsewhere.
//
// Every recipient is decided about and delivered to for itself, but the client gets
// one reply for all. When all succeed, or all fail, that is no problem. When some
// have got the message and others have not, RFC 5321 §4.2.5 wants 250 and a
// notification to the sender. If the server has a Notifier, and trying again cannot
// help for any of them, that is what happens.
//
// Otherwise, nothing may be lost and nobody left uninformed, so the reply is an
// error and the message stays the client's. Who has got it already is remembered:
// when the client comes again with the same message, only the others get it. Only
// a restart in between makes a second copy. If no recipient that failed can succeed
// later, the error is permanent and its text says who has got the message, which
// the sender then reads in the notification of its own server.

// outcome is what became of a message for a recipient.
type outcome struct {
	rcpt     recipient
	had      bool // It got the message in an earlier attempt.
	slow     bool // The client is not to be treated well any more.
	stranger bool // It has the message, and nothing is known of the sender.

	// evaluated is what can be reported of the message to its domain, nil for nothing.
	// Again says that some members of an alias got it in an earlier attempt.
	evaluated *deliver.Evaluated
	again     bool

	// It was forwarded; relayed says that the next server tells the sender of delivery.
	forwarded, relayed bool

	err error
}

// receive decides about and delivers a message. It returns nil when the client has
// nothing more to do.
func (s *session) receive(ctx context.Context, t *transaction, m *incoming) error {
	outcomes := make([]outcome, len(t.recipients))
	for i, r := range t.recipients {
		outcomes[i].rcpt = r
	}
	id := &messageID{sender: t.mail.ReversePath, m: m}
	if err := s.srv.got.mark(id, outcomes); err != nil {
		return err
	}
	s.deliver(ctx, t, m, outcomes)
	s.reportDelivered(ctx, t, m, outcomes)
	s.recordEvaluation(ctx, outcomes)
	var done, failed []outcome
	for _, o := range outcomes {
		if o.slow {
			s.penalize()
		}
		if o.err == nil {
			t.stranger = t.stranger || o.stranger
			done = append(done, o)
			continue
		}
		failed = append(failed, o)
	}
	switch {
	case len(failed) == 0:
		s.srv.got.forget(id, done)
		return nil
	case len(done) == 0:
		return allFailed(failed)
	}
	return s.someFailed(ctx, t, id, done, failed)
}

// deliver fills in the outcomes. A recipient does not wait for another. Aliases come
// last and one by one, as each has many deliveries.
func (s *session) deliver(ctx context.Context, t *transaction, m *incoming, outcomes []outcome) {
	t.traced.judged = true
	defer s.deliverAliases(ctx, t, m, outcomes)
	parallel.Do(len(outcomes), maxParallelDeliveries, func(i int) {
		if o := &outcomes[i]; !o.had && o.rcpt.to.Alias == nil {
			s.deliverOne(ctx, t, m, o)
		}
	})
}

// deliverOne decides about and delivers a message for one recipient. A panic is an
// error for this recipient alone, for it is not in the goroutine of the connection.
func (s *session) deliverOne(ctx context.Context, t *transaction, m *incoming, o *outcome) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkg)
			s.log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
			o.err = fmt.Errorf("panic: %v", x)
		}
	}()
	if !o.rcpt.bounce.IsZero() {
		o.err = s.passBounce(ctx, t, m, o.rcpt)
		return
	}
	r, facts := o.rcpt, s.facts(t, m, o.rcpt)
	v := s.srv.opts.Decide.Decide(ctx, facts)
	o.slow, o.stranger = v.Slow, v.FirstTime
	del := deliver.Delivery{Facts: facts, Verdict: v, Spool: m.spool, Trace: m.trace, Received: m.time}
	if !v.Accept {
		if v.Err == nil { // A verdict should have one.
			v.Err = smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "local error in processing")
		}
		metricDelivery.WithLabelValues("reject", v.Reason).Inc()
		kept := false
		if k := s.srv.opts.Rejects; k != nil && v.KeepCopy {
			kept = k.KeepRejected(ctx, del)
		}
		o.evaluated = del.Evaluated()
		s.traceRejected(ctx, t, r, v.Reason, v.Reasons, v.Err)
		s.log.Info("message refused", slog.Any("rcptto", r.path), slog.String("reason", v.Reason), slog.Bool("copykept", kept), mlog.Err(v.Err))
		o.err = v.Err
		return
	}
	var res deliver.Result
	res, o.err = s.srv.opts.Deliver.Deliver(ctx, del)
	o.forwarded, o.relayed = res.Forwarded > 0, res.Relayed
	if o.err != nil {
		metricDelivery.WithLabelValues("delivererror", v.Reason).Inc()
		s.log.Info("message not delivered", slog.Any("rcptto", r.path), mlog.Err(o.err))
		return
	}
	o.evaluated = del.Evaluated()
	metricDelivery.WithLabelValues("delivered", v.Reason).Inc()
	s.log.Info("message delivered", slog.Any("mailfrom", t.mail.ReversePath), slog.Any("rcptto", r.path),
		slog.String("account", r.to.Account), slog.Int64("size", m.size), slog.String("reason", v.Reason))
}

// recordEvaluation records what DMARC has said of a message, for reports to others: once
// for all recipients. If some got it in an earlier attempt, it was recorded then.
func (s *session) recordEvaluation(ctx context.Context, outcomes []outcome) {
	var l []*deliver.Evaluated
	for _, o := range outcomes {
		if o.had || o.again {
			return
		}
		if o.evaluated != nil {
			l = append(l, o.evaluated)
		}
	}
	deliver.RecordEvaluation(ctx, s.log, s.srv.opts.Evaluations, l...)
}

// facts returns what is known of a message for a recipient.
func (s *session) facts(t *transaction, m *incoming, r recipient) inbound.Facts {
	f := m.facts
	f.Rcpt, f.Recipient = r.path, r.to
	f.Notify, f.Original = r.notify, r.original
	return f
}

// commonFacts returns what is known of a message for all recipients.
func (s *session) commonFacts(t *transaction, m *incoming) inbound.Facts {
	f := inbound.Facts{
		RemoteIP: s.remoteIP,
		EHLO:     s.hello.name,
		TLS:      s.tls,
		Exempt:   s.exempt,
		DNSBLs:   s.lis.DNSBLs,

		MailFrom:   t.mail.ReversePath,
		SMTPUTF8:   t.mail.SMTPUTF8,
		RequireTLS: t.mail.RequireTLS,
		Ret:        t.mail.Ret,
		EnvID:      t.mail.EnvID,

		Digest:  m.digest,
		Size:    m.size,
		Message: m.spool,
		Auth:    m.auth,
	}
	f.Share()
	return f
}

// allFailed returns the error for a message that nobody got: that of the
// recipients if it is the same for all, else one that is temporary if it may pass
// for any of them.
func allFailed(failed []outcome) error {
	first := replyError(failed[0].err)
	same, temporary := true, false
	for _, o := range failed {
		e := replyError(o.err)
		same = same && e.Code == first.Code && e.Enhanced == first.Enhanced && e.Text == first.Text
		temporary = temporary || e.Temporary()
	}
	if same {
		return failed[0].err
	}
	return failures(temporary, "not delivered to any recipient", failed)
}

// someFailed handles a message that some recipients got and others did not.
func (s *session) someFailed(ctx context.Context, t *transaction, id *messageID, done, failed []outcome) error {
	temporary := false
	for _, o := range failed {
		temporary = temporary || replyError(o.err).Temporary()
	}
	// What can pass is not reported as failed: the client tries again.
	if n := s.srv.opts.Notify; n != nil && !temporary && !t.mail.ReversePath.IsZero() {
		err := n.NotifyFailure(ctx, s.notification(t, id.m, failed))
		if err == nil {
			s.srv.got.forget(id, done)
			return nil
		}
		metricErrors.WithLabelValues("queuedsn").Inc()
		s.log.Error("queueing notification about failed recipients", mlog.Err(err))
	}
	if err := s.srv.got.remember(id, done); err != nil {
		// It is delivered again to those who have it, which is better than not at all.
		s.log.Error("remembering who has a message", mlog.Err(err))
	}
	return failures(temporary, fmt.Sprintf("delivered to %d of %d recipients, not to these", len(done), len(done)+len(failed)), failed)
}

// failures returns one error for several.
func failures(temporary bool, text string, failed []outcome) *smtp.Error {
	code := smtp.C554TransactionFailed
	if temporary {
		code = smtp.C451LocalError
	}
	lines := []string{text}
	for i, o := range failed {
		if i == maxListedFailures {
			lines = append(lines, fmt.Sprintf("and %d more", len(failed)-i))
			break
		}
		e := replyError(o.err)
		lines = append(lines, fmt.Sprintf("%s: %d %s %s", o.rcpt.path, e.Code, e.Enhanced, strings.ReplaceAll(e.Text, "\n", " ")))
	}
	return smtp.Errorf(code, smtp.Se30SystemOther, "%s", strings.Join(lines, "\n")).WithCause(failed[0].err)
}

// notification returns what the sender is to be told.
func (s *session) notification(t *transaction, m *incoming, failed []outcome) submit.Failed {
	f := submit.Failed{Mail: t.mail, From: s.heloName(false), Spool: m.spool, Arrived: m.time}
	for _, o := range failed {
		f.Recipients = append(f.Recipients, submit.FailedRecipient{RcptCommand: o.rcpt.command(), Err: replyError(o.err)})
	}
	return f
}
