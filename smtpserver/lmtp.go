package smtpserver

import (
	"context"
	"errors"

	"mox/smtp"
)

// LMTP, RFC 2033: SMTP for the last step of a message, from a mail server on this
// machine. It greets with LHLO, and after the message there is a reply for each
// recipient, so that none of what receive.go does for those that fail is needed. The
// client is trusted: it has checked who the message is from, it has no limits and no
// delays, and it keeps and reports what we do not take. There is no AUTH, for who may
// use the socket is a matter of its permissions.

// completeEach is complete for LMTP: it writes a reply for each accepted RCPT, in
// their order, and returns the last one (RFC 2033 §4.2).
func (s *session) completeEach(ctx context.Context, t *transaction, err error) (smtp.Reply, error) {
	if err == nil {
		err = s.deliverEach(ctx, t)
	}
	s.closeBody(t)
	if errors.Is(err, errSimulated) {
		err = s.simulateDATA(t)
	}
	s.traceRefused(ctx, t, err)
	if errors.Is(err, errConnection) {
		s.finish(err)
		return smtp.Reply{}, err
	}
	var replies []smtp.Reply
	var last error
	good := false
	for i, p := range t.accepted {
		last = err
		for _, o := range t.outcomes {
			if err == nil && o.rcpt.path.Equal(p) {
				last = o.err
			}
		}
		good = good || last == nil
		switch {
		case i == len(t.accepted)-1:
		case last == nil:
			r, _ := ok(smtp.C250Completed, smtp.Se20MailboxOther, p.String()+" has the message ("+s.id+")")
			replies = append(replies, r)
		default:
			e := replyError(last)
			s.logError(&command{name: "DATA"}, e, last)
			replies = append(replies, s.errorReply(e))
		}
	}
	if good {
		s.finish(nil)
	} else {
		s.finish(last)
	}
	for _, r := range replies {
		if err := s.reply(r); err != nil {
			return smtp.Reply{}, connectionError(err)
		}
	}
	if last != nil {
		return smtp.Reply{}, last
	}
	return ok(smtp.C250Completed, smtp.Se20MailboxOther, t.accepted[len(t.accepted)-1].String()+" has the message ("+s.id+")")
}

// repeatSkipped writes the reply to a last chunk that is skipped once for each
// recipient but one, for which the dispatcher does it. Without recipients there is no
// reply (RFC 2033 §4.3).
func (s *session) repeatSkipped() (smtp.Reply, error) {
	if s.skipped == 0 {
		return smtp.Reply{}, nil
	}
	for range s.skipped - 1 {
		if err := s.reply(s.errorReply(errSkipped)); err != nil {
			return smtp.Reply{}, connectionError(err)
		}
	}
	return smtp.Reply{}, errSkipped
}

// deliverEach decides about and delivers a message for each recipient. The error is
// one about all of it.
func (s *session) deliverEach(ctx context.Context, t *transaction) error {
	m, err := s.prepare(ctx, t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	ctx = s.traceContext(ctx, t)
	t.outcomes = make([]outcome, len(t.recipients))
	for i, r := range t.recipients {
		t.outcomes[i].rcpt = r
	}
	s.deliver(ctx, t, m, t.outcomes)
	return nil
}
