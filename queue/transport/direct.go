package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"mox/dane"
	"mox/dns"
	"mox/mlog"
	"mox/mtasts"
	"mox/queue"
	"mox/smtp"
	"mox/smtpclient"
)

// Policies knows the MTA-STS policies of domains.
type Policies interface {
	// Get returns the policy of a domain that is in force, nil if there is none. Problem
	// is what went wrong with finding the current one, for TLS reports, and keeps nobody
	// from sending: it matches errors of package mtasts. With an error, it is not known
	// whether there is a policy.
	Get(ctx context.Context, domain dns.Domain) (policy *mtasts.Policy, problem, err error)
}

// DirectOptions are for NewDirect.
type DirectOptions struct {
	Network

	Port int // Of hosts. Zero is 25; others are for tests.

	Policies   Policies   // Nil knows of no policies.
	TLSMemory  TLSMemory  // Nil is a memory of its own.
	TLSResults TLSResults // Nil forgets them.

	// PlaintextFallback, if not nil, says whether a message may be sent in the clear
	// after TLS has failed. Policies and TLSMemory have the first word.
	PlaintextFallback func(d queue.Delivery) bool
}

// Direct is a transport that delivers to the hosts of the recipients' domain, RFC
// 5321 §5.1, with as much TLS as is known to be possible: MTA-STS (RFC 8461), DANE
// (RFC 7672), what the sender asks for (RFC 8689), and otherwise opportunistic.
type Direct struct {
	opts DirectOptions
}

// NewDirect returns a transport.
func NewDirect(opts DirectOptions) *Direct {
	opts.setDefaults("direct")
	if opts.Port == 0 {
		opts.Port = 25
	}
	if opts.TLSMemory == nil {
		opts.TLSMemory = NewTLSMemory()
	}
	if opts.PlaintextFallback == nil {
		opts.PlaintextFallback = func(queue.Delivery) bool { return true }
	}
	return &Direct{opts}
}

// Name implements queue.Transport.
func (t *Direct) Name() string { return t.opts.Name }

// Deliver implements queue.Transport.
func (t *Direct) Deliver(ctx context.Context, d queue.Delivery) []queue.Result {
	a := &directAttempt{attempt: newAttempt(&t.opts.Network, d), t: t}
	if err := a.run(ctx); err != nil {
		a.rec.add("%v", err)
		a.log.InfoContext(ctx, "no destination for message", slog.String("transport", t.opts.Name), slog.Int64("content", d.Base.ID),
			slog.Any("domain", a.domain), mlog.Err(err))
		a.fail(link{}, err)
	}
	return a.finish()
}

// A directAttempt is one attempt to deliver to a domain.
type directAttempt struct {
	*attempt
	t      *Direct
	domain dns.Domain // Zero for an IP address.
	dest   dane.Destination
	sts    *mtasts.Policy
	stsErr error // About the policy, for reports.
}

// run tries the hosts in turn. Its error is for all recipients.
func (a *directAttempt) run(ctx context.Context) error {
	rcpt := a.d.Messages[0].Recipient().IPDomain
	if rcpt.IsIP() && a.needsTLS() {
		metricRequireTLS.WithLabelValues("nopolicy").Inc()
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se730RequireTLS, "sender requires verified TLS, which is not possible with an IP address")
	}
	if rcpt.IsIP() {
		ips := a.n.usable([]net.IP{rcpt.IP})
		if len(ips) == 0 {
			return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se44UnableToRoute, "addresses of this family are not used")
		}
		return a.host(ctx, target{host: rcpt, ips: ips, budget: budget(DialTimeout)})
	}
	a.domain = rcpt.Domain
	dest, err := dane.LookupDestination(ctx, a.log, a.n.Resolver, a.domain)
	if err != nil {
		return destinationError(err)
	}
	a.dest = dest
	if err := a.policy(ctx); err != nil {
		return err
	}
	for _, host := range dest.Hosts[:min(len(dest.Hosts), MaxHosts)] {
		if err := a.named(ctx, host); err != nil {
			l := link{host: dns.IPDomain{Domain: host}}
			a.rec.add("%s: %v", host, err)
			a.log.InfoContext(ctx, "host cannot be used", a.attrs(l, mlog.Err(err))...)
			a.fail(l, err)
		}
		if len(a.pending) == 0 || ctx.Err() != nil {
			break
		}
	}
	return nil
}

// destinationError returns the error for a failed lookup of where mail goes.
func destinationError(err error) error {
	switch {
	case errors.Is(err, dane.ErrNullMX):
		return smtp.Errorf(smtp.C556DomainDoesNotAccept, smtp.Se110NullMX, "the domain does not accept mail").WithCause(err)
	case errors.Is(err, dns.ErrNoDomain):
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se12BadSystem, "the domain does not exist").WithCause(err)
	case errors.Is(err, dane.ErrAliases):
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se46RoutingLoop, "the domain is an alias that leads nowhere").WithCause(err)
	case errors.Is(err, dns.ErrInvalid):
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se44UnableToRoute, "the domain has no valid mail server").WithCause(err)
	}
	return err
}

// policy finds the MTA-STS policy, which is that of the domain in the address and not
// of what that is an alias of, RFC 8461 §3.
func (a *directAttempt) policy(ctx context.Context) error {
	if a.t.opts.Policies == nil {
		return nil
	}
	p, problem, err := a.t.opts.Policies.Get(ctx, a.domain)
	if err != nil && a.ignoresTLS() {
		metricTLSRequiredNo.WithLabelValues("mtastspolicy").Inc()
		return nil
	}
	if err != nil {
		return fmt.Errorf("mta-sts policy of %s: %w", a.domain, err)
	}
	if p != nil && p.Mode == mtasts.ModeNone {
		p = nil
	}
	a.sts, a.stsErr = p, problem
	return nil
}

// A target is a host with what is known of it.
type target struct {
	host   dns.IPDomain
	dane   *dane.Host // Nil for IP addresses.
	ips    []netip.Addr
	tlsa   error // Lookup of TLSA records has failed.
	stsErr error // It is not a host of the policy.
	did    bool  // TLS before.
	budget budget
}

// named tries a host that has a name.
func (a *directAttempt) named(ctx context.Context, name dns.Domain) error {
	metricDestinations.Inc()
	tgt := target{host: dns.IPDomain{Domain: name}, budget: budget(DialTimeout)}
	if a.sts != nil && !a.sts.Matches(name) {
		tgt.stsErr = errNotInPolicy
		switch {
		case a.ignoresTLS():
			metricTLSRequiredNo.WithLabelValues("mtastsmx").Inc()
		case a.sts.Mode == mtasts.ModeEnforce:
			a.report(ctx, tgt, sessionTLS{})
			return smtp.Errorf(smtp.C451LocalError, smtp.Se75CryptographicFailure, "the policy of the domain does not allow the host %s", name).WithCause(tgt.stsErr)
		}
	}
	start := time.Now()
	lctx, cancel := context.WithTimeout(ctx, DialTimeout)
	h, err := dane.LookupHost(lctx, a.log, a.n.Resolver, a.dest, name, a.t.opts.Port)
	cancel()
	tgt.budget.spend(time.Since(start))
	tgt.dane = &h
	if errors.Is(err, dane.ErrTLSA) {
		metricDANEErrors.Inc()
		tgt.tlsa = err
		if !a.ignoresTLS() {
			a.report(ctx, tgt, sessionTLS{})
			return err
		}
		metricTLSRequiredNo.WithLabelValues("badtlsa").Inc()
	} else if err != nil {
		return a.addressError(err)
	}
	a.count(h)
	if tgt.ips = a.n.usable(h.IPs); len(tgt.ips) == 0 {
		return fmt.Errorf("%s has no address of a family that is used", name)
	}
	tgt.did = a.t.opts.TLSMemory.DidTLS(ctx, name)
	if a.needsTLS() && !a.isKnown(tgt) {
		metricRequireTLS.WithLabelValues("nopolicy").Inc()
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se730RequireTLS, "sender requires verified TLS, for which the domain has neither DNSSEC nor an MTA-STS policy")
	}
	return a.host(ctx, tgt)
}

// isKnown reports whether it is certain that a host is one of the domain, as far as
// REQUIRETLS wants it: by DNSSEC or an MTA-STS policy, RFC 8689 §4.2.1. A host that is
// the domain itself needs neither.
func (a *directAttempt) isKnown(tgt target) bool {
	return a.dest.Authentic || !a.dest.MX || a.sts != nil && tgt.stsErr == nil
}

// addressError returns the error for a host whose addresses were not found.
func (a *directAttempt) addressError(err error) error {
	if !a.dest.MX && errors.Is(err, dns.ErrNotFound) {
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se44UnableToRoute, "the domain has no mail server").WithCause(err)
	}
	return err
}

func (a *directAttempt) count(h dane.Host) {
	if a.dest.Authentic && h.IPsAuthentic {
		metricDestinationsAuthentic.Inc()
	}
	switch h.Status {
	case dane.StatusUsable:
		metricDANERequired.Inc()
	case dane.StatusUnusable:
		metricDANEUnverified.Inc()
	}
}

// host tries the addresses of a host until one can be used.
func (a *directAttempt) host(ctx context.Context, tgt target) error {
	req := a.requirement(tgt)
	linkTo := func(ip netip.Addr) link {
		return link{host: tgt.host, addr: netip.AddrPortFrom(ip, uint16(a.t.opts.Port)), req: req}
	}
	ips := a.order(ctx, tgt.ips, linkTo)
	// A policy about our address may be different for the other family.
	soften := a.d.Messages[0].Attempts <= 1 && isDualStack(tgt.ips)
	for i, ip := range ips {
		l := linkTo(ip)
		err := a.address(ctx, &tgt, l, tgt.budget.share(len(ips)-i), soften)
		if err == nil {
			return nil
		}
		a.logFailed(ctx, l, err)
		a.fail(l, err)
		if ctx.Err() != nil || errors.Is(err, ErrPoolClosed) {
			break
		}
	}
	return nil
}

// address tries an address, and where that is allowed a second time without TLS
// after TLS has failed.
func (a *directAttempt) address(ctx context.Context, tgt *target, l link, timeout time.Duration, soften bool) error {
	first := true
	open := func(l link) func(c *conn) error {
		return func(c *conn) error {
			return a.n.open(ctx, c, l, timeout, func(c *conn, info smtpclient.TLSInfo, err error) {
				tgt.budget.spend(c.dialed)
				a.dialed(ctx, l, err)
				if first {
					a.opened(ctx, *tgt, l, c, info, err)
				}
			})
		}
	}
	err := a.send(ctx, l, soften, open(l))
	if !a.mayFallBack(ctx, *tgt, l, err) {
		if tgt.did && errors.Is(err, smtpclient.ErrTLS) && l.req.label == modeLabel(smtpclient.TLSRequired) {
			err = smtp.Errorf(smtp.C451LocalError, smtp.Se75CryptographicFailure, "TLS failed, and the server did TLS before").WithCause(err)
		}
		return err
	}
	metricFallback.Inc()
	a.logFailed(ctx, l, err)
	a.rec.add("trying again without tls: %v", err)
	first = false
	l.req.mode, l.req.label = smtpclient.TLSSkip, modeLabel(smtpclient.TLSSkip)
	return a.send(ctx, l, soften, open(l))
}

// mayFallBack reports whether an error of TLS is no reason to give up.
func (a *directAttempt) mayFallBack(ctx context.Context, tgt target, l link, err error) bool {
	switch {
	case err == nil || !errors.Is(err, smtpclient.ErrTLS) || ctx.Err() != nil:
		return false
	case a.ignoresTLS():
		return true
	}
	return l.req.mode == smtpclient.TLSOpportunistic && !tgt.did && a.t.opts.PlaintextFallback(a.d)
}
