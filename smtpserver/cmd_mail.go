package smtpserver

import (
	"context"
	"errors"
	"time"

	"mox/config"
	"mox/dns"
	"mox/smtp"
)

// MAIL, RFC 5321 §4.1.1.2.

// parseMAIL also takes REQUIRETLS where it is not offered for lack of TLS, so that
// there is a reply that says so.
func parseMAIL(g grammar, args string) (smtp.MailCommand, error) {
	ext := g.ext
	if g.requireTLS {
		ext |= smtp.ExtRequireTLS
	}
	return smtp.ParseMail(args, smtp.MailOptions{Mode: g.mode, Extensions: ext})
}

func runMAIL(ctx context.Context, s *session, c smtp.MailCommand) (smtp.Reply, error) {
	if s.counts.bad > maxBadTransactions && s.counts.good == 0 && !s.exempt {
		s.ended = true
		return smtp.Reply{}, smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se10AddressOther, "too many failures")
	}
	check := s.checkSender
	switch s.lis.Kind {
	case Submission:
		check = s.checkSubmitter
	case LMTP:
		check = func(context.Context, smtp.MailCommand) error { return nil } // For the client to check.
	}
	for _, check := range []func(context.Context, smtp.MailCommand) error{s.checkSize, s.checkTLS, s.checkHold, check, s.simulateMAIL} {
		if err := check(ctx, c); err != nil {
			if replyError(err).Permanent() {
				s.counts.bad++
			}
			return smtp.Reply{}, err
		}
	}
	s.transactions++
	s.txn, s.skipping = &transaction{mail: c, number: s.transactions}, false
	return ok(smtp.C250Completed, smtp.Se10AddressOther, "sender accepted")
}

// checkSize refuses a message that is known to be too large, or that there is no
// room for, before it is sent (RFC 1870 §6.1).
func (s *session) checkSize(_ context.Context, c smtp.MailCommand) error {
	if c.Size > s.lis.MaxMessageSize {
		// A message that others take is not too big for mail as such.
		if c.Size < config.DefaultMaxMessageSize {
			return smtp.Errorf(smtp.C552ExceededStorage, smtp.Se23MessageLengthExceeded, "message too large, limit is %d octets", s.lis.MaxMessageSize)
		}
		return smtp.Errorf(smtp.C552ExceededStorage, smtp.Se34MessageTooBig, "message too large, limit is %d octets", s.lis.MaxMessageSize)
	}
	if f := s.srv.opts.Floor; f != nil {
		return f.Check(c.Size)
	}
	return nil
}

// checkTLS checks REQUIRETLS, RFC 8689 §2.
func (s *session) checkTLS(_ context.Context, c smtp.MailCommand) error {
	if c.RequireTLS && s.tls == nil {
		return smtp.Errorf(smtp.C523EncryptionNeeded, smtp.Se710EncryptionNeeded, "REQUIRETLS is possible with TLS only")
	}
	return nil
}

// checkHold checks what FUTURERELEASE asks for, RFC 4865 §4.2.
func (s *session) checkHold(_ context.Context, c smtp.MailCommand) error {
	now := time.Now()
	late := c.HoldFor > maxFutureRelease || c.HoldUntil.After(now.Add(maxFutureRelease))
	if late || !c.HoldUntil.IsZero() && c.HoldUntil.Before(now) {
		return smtp.Errorf(smtp.C501BadParameters, smtp.Se54InvalidArguments, "time of release not within the next %d days", int(maxFutureRelease.Hours()/24))
	}
	return nil
}

// checkSubmitter checks that a user sends as themselves: with the null reverse-path
// or an address of the account (RFC 6409 §6.1).
func (s *session) checkSubmitter(_ context.Context, c smtp.MailCommand) error {
	conf := s.srv.opts.Config.Snapshot()
	if _, ok := conf.Account(s.login.account); !ok {
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se70SecurityOther, "account was renamed or removed, log in again")
	}
	if c.ReversePath.IsZero() {
		return nil
	}
	notOwn := smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se71NotAuthorized, "must match an address of your account")
	addr, ok := c.ReversePath.Address()
	if !ok {
		return notOwn
	}
	owns, err := conf.AccountOwns(s.login.account, addr)
	switch {
	case errors.Is(err, config.ErrDomainDisabled):
		return smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "domain temporarily disabled").WithCause(err)
	case err != nil:
		return err
	case !owns:
		return notOwn
	}
	return nil
}

// checkSender refuses mail that could not be answered: the domain must exist and
// take mail (RFC 7505 §4.2).
func (s *session) checkSender(ctx context.Context, c smtp.MailCommand) error {
	switch {
	case c.ReversePath.IsZero():
		return nil
	case c.ReversePath.IPDomain.IsIP():
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se70SecurityOther, "address with an IP address instead of a domain not accepted")
	case s.srv.opts.Resolver == nil:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	takes, err := takesMail(ctx, s.srv.opts.Resolver, c.ReversePath.IPDomain.Domain)
	if err != nil {
		return smtp.Errorf(smtp.C451LocalError, smtp.Se40NetworkOther, "cannot look up domain of sender").WithCause(err)
	}
	if !takes {
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se727SenderNullMX, "domain of sender does not exist or takes no mail")
	}
	return nil
}

// takesMail reports whether a domain has MX records other than a null MX, or else
// addresses (RFC 5321 §5.1). An error is one that may pass.
func takesMail(ctx context.Context, r dns.Resolver, d dns.Domain) (bool, error) {
	name := d.ASCII + "."
	mx, _, err := r.LookupMX(ctx, name)
	if err == nil {
		return len(mx) != 1 || mx[0].Host != ".", nil
	}
	if errors.Is(err, dns.ErrNotFound) {
		if _, _, err = r.LookupIP(ctx, "ip", name); err == nil {
			return true, nil
		}
	}
	if errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrInvalid) {
		return false, nil
	}
	return false, err
}
