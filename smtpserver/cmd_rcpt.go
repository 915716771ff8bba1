package smtpserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"mox/config"
	"mox/mlog"
	"mox/smtp"
	"mox/spf"
)

// RCPT, RFC 5321 §4.1.1.3. Recipients that do not exist are refused here and not
// after the message, as RFC 5321 §7.9 allows: so the sender knows which, no
// notification has to be sent to addresses that may be forged, and the message need
// not be received. Harvesting addresses is made slow instead.

func parseRCPT(g grammar, args string) (smtp.RcptCommand, error) {
	return smtp.ParseRcpt(args, smtp.RcptOptions{Mode: g.mode, Extensions: g.ext, SMTPUTF8: g.smtputf8})
}

func runRCPT(ctx context.Context, s *session, t *transaction, c smtp.RcptCommand) (smtp.Reply, error) {
	t.commands++
	add := s.localRecipient
	if s.lis.Kind == Submission {
		add = s.submitRecipient
	}
	r, err := add(t, c.ForwardPath)
	r.notify, r.original = c.Notify, c.OriginalRecipient
	if err == nil && s.lis.Kind == Delivery && len(t.recipients) > 0 && !t.has(r.path) {
		err = s.checkMoreRecipients(ctx, t)
	}
	if err == nil {
		err = s.simulateRCPT(t, r.path)
	}
	if err != nil {
		t.refused++
		s.traceRecipient(ctx, t, c.ForwardPath, err)
		return smtp.Reply{}, s.refuseRecipient(c.ForwardPath, err)
	}
	s.counts.known++
	t.accepted = append(t.accepted, r.path)
	if !t.has(r.path) { // Named twice, it gets one copy.
		t.recipients = append(t.recipients, r)
	}
	return ok(smtp.C250Completed, smtp.Se10AddressOther, "recipient accepted")
}

// localRecipient checks a recipient of a message from elsewhere.
func (s *session) localRecipient(t *transaction, p smtp.Path) (recipient, error) {
	r, err := s.lookupLocal(p)
	switch {
	case s.lis.RequireTLS && s.tls == nil && r.Report != config.ReportTLS && r.Report != config.ReportTLSHost:
		// Reports about TLS that fails must get through without it, RFC 8460 §3.
		return recipient{}, smtp.Errorf(smtp.C530AuthRequired, smtp.Se70SecurityOther, "must issue a STARTTLS command first")
	case t.commands > maxRecipients:
		return recipient{}, smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se53TooManyRecipients, "more than %d recipients", maxRecipients)
	case s.lis.Kind == Delivery && t.mail.ReversePath.IsZero() && len(t.recipients) > 0 && !t.has(p):
		// A notification is for one sender.
		return recipient{}, smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se53TooManyRecipients, "more than one recipient for a notification")
	}
	if to, is, berr := s.bounceTo(t, p); is {
		return recipient{path: p, bounce: to}, berr
	}
	switch {
	case errors.Is(err, config.ErrDomainUnknown), errors.Is(err, config.ErrAddressUnknown):
		e := replyError(err)
		return recipient{}, e.WithCause(errors.Join(errUnknownRecipient, err))
	case err != nil:
		return recipient{}, err
	case r.Destination.SMTPError != nil:
		return recipient{}, r.Destination.SMTPError
	case r.Alias != nil && !t.has(p) && t.members()+len(r.Alias.Members) > maxMembers:
		return recipient{}, smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se53TooManyRecipients, "too many recipients once aliases are expanded, send to this one in another transaction")
	}
	return recipient{path: p, to: r}, nil
}

// checkMoreRecipients checks whether a message can have a second recipient. When some
// get it and others do not, the sender must be told, and an address that may be forged
// is not told anything.
func (s *session) checkMoreRecipients(ctx context.Context, t *transaction) error {
	if s.maySend(ctx, t) {
		return nil
	}
	return smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se53TooManyRecipients, "only one recipient at a time, because SPF does not let your address send for %s", t.mail.ReversePath.IPDomain)
}

// maySend reports whether it is known that the client may use the reverse-path.
// Without a resolver that is taken for granted. The result is kept for when the
// message is decided about.
func (s *session) maySend(ctx context.Context, t *transaction) bool {
	if s.srv.opts.Resolver == nil || t.mail.ReversePath.IsZero() {
		return true
	}
	if t.spf == nil {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		r := spf.Check(ctx, s.log, s.srv.opts.Resolver, spf.Args{
			RemoteIP:      net.IP(s.remoteIP.AsSlice()),
			MailFrom:      t.mail.ReversePath,
			HELO:          s.hello.name,
			LocalHostname: s.lis.Hostname,
		})
		t.spf = &r
	}
	return t.spf.Status == spf.StatusPass && t.spf.Identity == spf.IdentityMailFrom
}

// lookupLocal looks a recipient up in the configuration.
func (s *session) lookupLocal(p smtp.Path) (config.Recipient, error) {
	snap := s.srv.opts.Config.Snapshot()
	r, err := snap.LookupAddress(p)
	unknown := errors.Is(err, config.ErrDomainUnknown) || errors.Is(err, config.ErrAddressUnknown)
	if !s.srv.opts.Localserve || !unknown {
		return r, err
	}
	addr, ok := p.Address()
	if !ok {
		addr = smtp.NewAddress(p.Localpart, snap.Hostname)
	}
	return config.Recipient{Account: LocalserveAccount, Destination: config.Destination{Mailbox: "Inbox"}, Canonical: addr}, nil
}

// submitRecipient checks a recipient of a user. Whether others exist is not known
// here.
func (s *session) submitRecipient(t *transaction, p smtp.Path) (recipient, error) {
	if t.commands > maxRecipients {
		return recipient{}, smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se53TooManyRecipients, "more than %d recipients", maxRecipients)
	}
	r, err := s.lookupLocal(p)
	switch {
	case err == nil && p.IsPostmaster():
		return recipient{path: r.Canonical.Path()}, nil // The queue needs a domain.
	case err == nil, errors.Is(err, config.ErrDomainUnknown):
		return recipient{path: p}, nil
	}
	return recipient{}, err
}

// refuseRecipient makes those wait who try unknown recipients, and ends the
// connection if they found none.
func (s *session) refuseRecipient(p smtp.Path, err error) error {
	if !errors.Is(err, errUnknownRecipient) {
		return err
	}
	s.counts.unknown++
	metricDelivery.WithLabelValues("unknownuser", "").Inc()
	s.log.Info("unknown recipient", slog.Any("rcptto", p), mlog.IP("remote", s.remoteIP), mlog.Err(err))
	if s.exempt {
		return err
	}
	if l := s.lis.unknown; l != nil && !l.Add(s.remoteIP, time.Now(), 1) {
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se71NotAuthorized, "too many unknown recipients from your network, try again later")
	}
	if s.counts.unknown > maxUnknownRecipients && s.counts.known == 0 {
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se71NotAuthorized, "too many unknown recipients")
	}
	if s.counts.unknown <= maxDelayedRecipients {
		if derr := s.delay(unknownRecipientDelay(s.counts.unknown)); derr != nil {
			return derr
		}
	}
	return err
}
