package inbound

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"mox/arc"
	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/internal/metrics"
	"mox/internal/parallel"
	"mox/iprev"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
	"mox/spf"
)

// pkg is the name of this package in logs and the panic counter.
const pkg = "inbound"

// authTimeout is how long finding out who a message is from may take. What is not
// known then has a temporary error.
const authTimeout = time.Minute

// Arrival is what is known of how a message came.
type Arrival struct {
	RemoteIP netip.Addr
	EHLO     dns.IPDomain
	MailFrom smtp.Path // Zero for the null reverse-path.
	Hostname dns.Domain

	SPF *spf.Result // If it was checked before.
}

// Auth says who a message is from, as far as that can be told.
type Auth struct {
	Arrival

	IPRev iprev.Result
	SPF   spf.Result
	DKIM  []dkim.Result // One for each signature.
	ARC   arc.Result

	// From are the domains that a mail program could show as that of the author, see
	// shownFrom. FromErr says that they cannot be told.
	From    []dns.Domain
	FromErr error

	// DMARC is the result for the domain of From that says least for the message.
	DMARC dmarc.Result
}

// Authentic reports whether the domain in From vouches for the message, so that the
// address there can be taken for that of the author. It is false for nil.
func (a *Auth) Authentic() bool {
	if a == nil || a.FromErr != nil || len(a.From) != 1 {
		return false
	}
	if a.DMARC.Status == dmarc.StatusPass {
		return true
	}
	if a.SPF.Status == spf.StatusPass && a.SPF.Identity == spf.IdentityMailFrom && a.SPF.Domain == a.From[0] {
		return true
	}
	return slices.ContainsFunc(a.DKIM, func(r dkim.Result) bool {
		return r.Status == dkim.StatusPass && r.Signature != nil && r.Signature.Domain == a.From[0]
	})
}

// AuthenticatorOptions are for [NewAuthenticator]. Resolver is needed.
type AuthenticatorOptions struct {
	Resolver dns.Resolver
	Log      *slog.Logger // Nil logs nothing.
}

// An Authenticator finds out who messages are from. It is safe for concurrent use.
type Authenticator struct {
	resolver dns.Resolver
	log      *slog.Logger
}

// NewAuthenticator returns an authenticator.
func NewAuthenticator(opts AuthenticatorOptions) *Authenticator {
	metrics.PanicPackages(pkg)
	a := &Authenticator{opts.Resolver, opts.Log}
	if a.log == nil {
		a.log = mlog.Discard()
	}
	return a
}

// Authenticate finds out who a message of size octets is from: all that can be done
// at the same time is, under one deadline. An error is one of reading the message.
func (a *Authenticator) Authenticate(ctx context.Context, arr Arrival, r io.ReaderAt, size int64) (*Auth, error) {
	h, err := message.ReadHeader(r, size, message.Limits{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, authTimeout)
	defer cancel()
	auth := &Auth{Arrival: arr}
	auth.From, auth.FromErr = shownFrom(&h)
	var dkimErr, arcErr error
	err = together(ctx, a.log,
		func() { auth.IPRev = a.checkIPRev(ctx, arr.RemoteIP) },
		func() { auth.SPF = a.checkSPF(ctx, arr) },
		func() { auth.DKIM, dkimErr = a.checkDKIM(ctx, r, size) },
		func() { auth.ARC, arcErr = arc.Verify(ctx, a.log, a.resolver, r, size, arc.VerifyOptions{}) },
	)
	for _, err := range []error{err, dkimErr, arcErr} {
		if err != nil {
			return nil, fmt.Errorf("authenticate message: %w", err)
		}
	}
	a.checkDMARC(ctx, auth)
	return auth, nil
}

// together calls functions at the same time. A panic in one is an error.
func together(ctx context.Context, log *slog.Logger, fns ...func()) (rerr error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkg)
			log.ErrorContext(ctx, "unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
			rerr = fmt.Errorf("panic: %v", x)
		}
	}()
	parallel.Do(len(fns), len(fns), func(i int) { fns[i]() })
	return nil
}

func (a *Authenticator) checkIPRev(ctx context.Context, ip netip.Addr) iprev.Result {
	res := iprev.Check(ctx, a.log, a.resolver, net.IP(ip.AsSlice()))
	metricIPRev.WithLabelValues(string(res.Status)).Inc()
	return res
}

// spfArgs are the arguments of the check of MAIL FROM.
func (arr Arrival) spfArgs() spf.Args {
	return spf.Args{RemoteIP: net.IP(arr.RemoteIP.AsSlice()), MailFrom: arr.MailFrom, HELO: arr.EHLO, LocalHostname: arr.Hostname}
}

func (a *Authenticator) checkSPF(ctx context.Context, arr Arrival) spf.Result {
	if arr.SPF != nil {
		return *arr.SPF
	}
	return a.CheckSPF(ctx, arr)
}

// CheckSPF checks whether the client may use the reverse-path. The result can be
// given to Authenticate.
func (a *Authenticator) CheckSPF(ctx context.Context, arr Arrival) spf.Result {
	start := time.Now()
	res := spf.Check(ctx, a.log, a.resolver, arr.spfArgs())
	metricSPF.WithLabelValues(string(res.Status)).Observe(time.Since(start).Seconds())
	return res
}

func (a *Authenticator) checkDKIM(ctx context.Context, r io.ReaderAt, size int64) ([]dkim.Result, error) {
	start := time.Now()
	l, err := dkim.Verify(ctx, a.log, a.resolver, r, size, dkim.VerifyOptions{})
	d := time.Since(start).Seconds()
	for _, res := range l {
		alg := "none"
		if res.Signature != nil && dkim.CheckAlgorithms(res.Signature) == nil {
			alg = res.Signature.Algorithm.String()
		}
		metricDKIM.WithLabelValues(alg, string(res.Status)).Observe(d)
	}
	return l, err
}

func (a *Authenticator) checkDMARC(ctx context.Context, auth *Auth) {
	if auth.FromErr != nil {
		auth.DMARC = dmarc.Result{Status: dmarc.StatusPermerror, Err: auth.FromErr}
		return
	}
	args := dmarc.Args{}
	if auth.SPF.Identity == spf.IdentityMailFrom || auth.MailFrom.IsZero() {
		args.SPF = dmarc.SPFIdentifier{Domain: auth.SPF.Domain, Status: auth.SPF.Status}
	}
	for _, res := range auth.DKIM {
		if res.Signature != nil {
			args.DKIM = append(args.DKIM, dmarc.DKIMIdentifier{Domain: res.Signature.Domain, Selector: res.Signature.Selector.ASCII, Status: res.Status})
		}
	}
	start := time.Now()
	auth.DMARC, _ = dmarc.NewWalker(a.log, a.resolver).VerifyAll(ctx, auth.From, args)
	// The last label is always "true": pct, by which some messages were let off, is gone
	//, and dashboards know the label.
	reject := fmt.Sprint(auth.DMARC.Requested() == dmarc.PolicyReject)
	metricDMARC.WithLabelValues(string(auth.DMARC.Status), reject, "true").Observe(time.Since(start).Seconds())
}
