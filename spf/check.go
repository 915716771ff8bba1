package spf

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"mox/dns"
	"mox/smtp"
)

// Args say what to check.
type Args struct {
	RemoteIP      net.IP       // Of the SMTP client. IPv4 also in its form mapped to IPv6.
	MailFrom      smtp.Path    // Zero for the null reverse-path.
	HELO          dns.IPDomain // Argument of EHLO or HELO. Zero if it was malformed.
	LocalHostname dns.Domain   // Of this host, for macro "r" and Received-SPF. May be zero.
}

// An Identity says which name was checked, RFC 7208 §2.2.
type Identity string

// Identities, as in Received-SPF, RFC 7208 §9.1.
const (
	IdentityMailFrom Identity = "mailfrom"
	IdentityHELO     Identity = "helo"
)

// A Result is what came of a check.
type Result struct {
	Status   Status
	Identity Identity   // IdentityHELO also if Check was given a null reverse-path.
	Domain   dns.Domain // That was checked. Zero for an address literal or none.

	// Mechanism is the one of the domain's record that matched, such as
	// "include:example.com". If none did it is "default", and for errors it is empty.
	Mechanism string

	// Explanation is the text of the domain's operator for a fail, if there is one: one
	// line of printable ASCII of at most MaxExplanation bytes. It comes from a third
	// party, which those who see it must be told (RFC 7208 §6.2).
	Explanation string

	// Problem says in ASCII why there is no verdict, for none, temperror and permerror.
	// It is Err, at most MaxProblem bytes of it.
	Problem string

	// Authentic is set if all answers that Status follows from were verified with
	// DNSSEC. Those for the explanation do not count.
	Authentic bool

	// Err is an [*Error] for none, temperror and permerror, and otherwise nil.
	Err error
}

// Check checks whether a client may send for the domain in MAIL FROM, or for the one
// in EHLO if the reverse-path is null, RFC 7208 §2.4. The result is complete: errors
// are in it.
func Check(ctx context.Context, log *slog.Logger, resolver dns.Resolver, args Args) Result {
	if args.MailFrom.IsZero() {
		return CheckHELO(ctx, log, resolver, args)
	}
	id := identity{string(args.MailFrom.Localpart), args.MailFrom.IPDomain.Domain.ASCII}
	r := check(ctx, log, resolver, args, id)
	r.Identity = IdentityMailFrom
	r.Domain = args.MailFrom.IPDomain.Domain
	return r
}

// CheckHELO checks whether a client may use the name in EHLO, RFC 7208 §2.3.
// Args.MailFrom is not used.
func CheckHELO(ctx context.Context, log *slog.Logger, resolver dns.Resolver, args Args) Result {
	r := check(ctx, log, resolver, args, identity{"", args.HELO.Domain.ASCII})
	r.Identity = IdentityHELO
	r.Domain = args.HELO.Domain
	return r
}

func check(ctx context.Context, log *slog.Logger, resolver dns.Resolver, args Args, id identity) Result {
	helo := ""
	if !args.HELO.IsZero() {
		helo = smtp.FormatDomain(args.HELO, false)
	}
	ip, ok := netip.AddrFromSlice(args.RemoteIP)
	if !ok {
		err := &Error{StatusNone, id.domain, "", errors.New("address of client is missing")}
		return Result{Status: err.Status, Err: err, Problem: problem(err)}
	}
	return checkHost(ctx, log, resolver, ip, id, helo, args.LocalHostname.ASCII)
}

// An identity is <sender>, RFC 7208 §4.1.
type identity struct {
	local  string // Decoded.
	domain string
}

// checkHost is check_host, RFC 7208 §4. The names in its arguments may be malformed.
func checkHost(ctx context.Context, log *slog.Logger, resolver dns.Resolver, ip netip.Addr, id identity, helo, receiver string) Result {
	ctx, cancel := context.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	if id.local == "" {
		id.local = "postmaster" // RFC 7208 §4.3.
	}
	if receiver == "" {
		receiver = "unknown" // RFC 7208 §7.3.
	}
	e := &evaluation{
		ctx:       ctx,
		resolver:  resolver,
		ip:        ip.Unmap(),
		sender:    id,
		helo:      helo,
		receiver:  receiver,
		now:       time.Now(),
		authentic: true,
	}
	r := e.run(id.domain)
	r.Authentic = e.authentic && e.lookups > 0
	if r.Err != nil {
		r.Problem = problem(r.Err)
	}
	logger(log).LogAttrs(ctx, slog.LevelDebug, "spf check",
		slog.Any("status", r.Status), slog.Any("ip", e.ip), slog.String("domain", clip(id.domain)), slog.String("mechanism", clip(r.Mechanism)),
		slog.Bool("authentic", r.Authentic), slog.Int("lookups", e.lookups), slog.Any("err", r.Err))
	return r
}

// problem returns the text of an error as one line of ASCII.
func problem(err error) string {
	s := toASCII(err.Error())
	if len(s) > MaxProblem {
		return s[:MaxProblem-3] + "..."
	}
	return s
}
