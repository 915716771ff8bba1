package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mjl-/adns"
	"golang.org/x/net/dns/dnsmessage"
)

// LookupTimeout bounds one lookup with all its retries, also when the context has
// no deadline.
const LookupTimeout = 30 * time.Second

// An Observation describes a finished lookup, for metrics.
type Observation struct {
	Pkg      string // As set by StrictResolver.ForPackage.
	Type     string // "txt", "mx", "ip", "addr", "cname", "ns", "srv" or "tlsa".
	Result   string // "ok", "notfound", "temporary", "timeout", "canceled", "bogus" or "invalid".
	Duration time.Duration
}

// ResolverOptions are for [NewStrictResolver].
type ResolverOptions struct {
	// Servers are the recursive resolvers to ask, as "host:port" with the host an IP
	// address. A next one is asked when one fails. If empty, those of the system are
	// used, and trusted as github.com/mjl-/adns says: if all have loopback addresses,
	// or resolv.conf has the option trust-ad.
	Servers []string

	// TrustAD says that the way to Servers is safe, so that their word on DNSSEC can
	// be taken. It is, also without this, if all of Servers have loopback addresses.
	TrustAD bool

	Log     *slog.Logger      // Nil logs nothing. Lookups are logged at debug.
	Observe func(Observation) // Called after each lookup, if not nil.
}

// A StrictResolver is the [Resolver] that asks DNS servers. It does not use the
// search list of the system.
type StrictResolver struct {
	opts  ResolverOptions
	trust bool // Of opts.Servers.
	pkg   string
	slots chan struct{} // Of datagrams.
}

var _ Resolver = (*StrictResolver)(nil)

// NewStrictResolver returns a resolver. The error is about Servers.
func NewStrictResolver(opts ResolverOptions) (*StrictResolver, error) {
	trust := true
	for _, s := range opts.Servers {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, fmt.Errorf("address of dns server: %w", err)
		}
		trust = trust && ap.Addr().Unmap().IsLoopback()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &StrictResolver{opts: opts, trust: trust || opts.TrustAD, slots: make(chan struct{}, maxDatagrams)}, nil
}

// ForPackage returns a resolver that is the same except for the name of the
// package that does the lookups, in log lines and observations.
func (r *StrictResolver) ForPackage(pkg string) *StrictResolver {
	n := *r
	n.pkg = pkg
	return &n
}

// LookupTXT implements [Resolver].
func (r *StrictResolver) LookupTXT(ctx context.Context, name string) ([]string, Result, error) {
	return lookup(ctx, r, "txt", name, func(ctx context.Context, e *exchanges, name string) ([]string, adns.Result, error) {
		return e.resolver().LookupTXT(ctx, name)
	})
}

// LookupMX implements [Resolver]. Records with a malformed host are left out.
func (r *StrictResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, Result, error) {
	l, res, err := lookup(ctx, r, "mx", name, func(ctx context.Context, e *exchanges, name string) ([]*net.MX, adns.Result, error) {
		return e.resolver().LookupMX(ctx, name)
	})
	for _, mx := range l {
		mx.Host = trimDot(mx.Host)
	}
	return l, res, err
}

// LookupIP implements [Resolver].
func (r *StrictResolver) LookupIP(ctx context.Context, network, host string) ([]net.IP, Result, error) {
	return lookup(ctx, r, "ip", host, func(ctx context.Context, e *exchanges, name string) ([]net.IP, adns.Result, error) {
		return e.resolver().LookupIP(ctx, network, name)
	})
}

// LookupAddr implements [Resolver]. Malformed names are left out.
func (r *StrictResolver) LookupAddr(ctx context.Context, ip net.IP) ([]string, Result, error) {
	l, res, err := lookup(ctx, r, "addr", ip.String(), func(ctx context.Context, e *exchanges, name string) ([]string, adns.Result, error) {
		return e.resolver().LookupAddr(ctx, name)
	})
	for i := range l {
		l[i] = trimDot(l[i])
	}
	return l, res, err
}

// LookupCNAME implements [Resolver].
func (r *StrictResolver) LookupCNAME(ctx context.Context, host string) (string, Result, error) {
	l, res, err := lookup(ctx, r, "cname", host, func(ctx context.Context, e *exchanges, name string) ([]string, adns.Result, error) {
		_, res, err := e.resolver().LookupCNAME(ctx, name)
		// What adns returns may be further down the chain.
		target := e.target()
		if target == "" {
			target = name
		}
		return []string{target}, res, err
	})
	if err != nil {
		return "", res, err
	}
	return trimDot(l[0]), res, nil
}

// LookupNS implements [Resolver]. Records with a malformed host are left out.
func (r *StrictResolver) LookupNS(ctx context.Context, name string) ([]*net.NS, Result, error) {
	l, res, err := lookup(ctx, r, "ns", name, func(ctx context.Context, e *exchanges, name string) ([]*net.NS, adns.Result, error) {
		return e.resolver().LookupNS(ctx, name)
	})
	for _, ns := range l {
		ns.Host = trimDot(ns.Host)
	}
	return l, res, err
}

// LookupSRV implements [Resolver]. Records with a malformed target are left out.
func (r *StrictResolver) LookupSRV(ctx context.Context, service, proto, name string) ([]*net.SRV, Result, error) {
	l, res, err := lookup(ctx, r, "srv", name, func(ctx context.Context, e *exchanges, name string) ([]*net.SRV, adns.Result, error) {
		_, l, res, err := e.resolver().LookupSRV(ctx, service, proto, name)
		return l, res, err
	})
	for _, srv := range l {
		srv.Target = trimDot(srv.Target)
	}
	return l, res, err
}

// LookupTLSA implements [Resolver].
func (r *StrictResolver) LookupTLSA(ctx context.Context, port int, proto, host string) ([]TLSA, Result, error) {
	return lookup(ctx, r, "tlsa", host, func(ctx context.Context, e *exchanges, name string) ([]adns.TLSA, adns.Result, error) {
		return e.resolver().LookupTLSA(ctx, port, proto, name)
	})
}

// trimDot returns the form of names in answers, see [Resolver].
func trimDot(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// lookup does one lookup: checks the name, makes it absolute, and sorts errors
// into the kinds of this package.
func lookup[T any](ctx context.Context, r *StrictResolver, typ, name string, fn func(context.Context, *exchanges, string) ([]T, adns.Result, error)) (l []T, res Result, rerr error) {
	start := time.Now()
	defer func() {
		r.observe(ctx, typ, name, res, rerr, time.Since(start))
	}()

	abs := name
	if typ != "addr" {
		if err := checkQuery(name); err != nil {
			return nil, Result{}, fmt.Errorf("looking up %s for %q: %w", typ, clip(name), err)
		}
		abs = strings.TrimSuffix(name, ".") + "."
	}
	lctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	e := &exchanges{servers: r.opts.Servers, trust: r.trust, slots: r.slots}
	if typ == "cname" {
		e.only = dnsmessage.TypeCNAME
	}
	l, _, err := fn(lctx, e, abs)
	res = Result{Authentic: e.authentic(), TTL: e.lifetime()}
	err = r.sortError(ctx, lctx, err, len(l), e.noDomain())
	ferr := e.failure()
	switch {
	case err != nil && ferr != nil && e.only != 0 && lctx.Err() == nil:
		err = ferr // The error may be that of a question that does not count.
	case err == nil || errors.Is(err, ErrNotFound):
		// Only if all questions were answered is something known to be absent.
		if ferr != nil {
			err = ferr
		} else if err == nil && !e.answered() {
			err = &kindError{ErrTemporary, errors.New("no usable answer")}
		}
	}
	if err != nil {
		return nil, res, fmt.Errorf("looking up %s for %q: %w", typ, clip(name), err)
	}
	return l, res, nil
}

// checkQuery refuses names that cannot be in a question, RFC 1035 §2.3.4, and
// addresses.
func checkQuery(name string) error {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > MaxNameLen {
		return ErrInvalid
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > MaxLabelLen {
			return ErrInvalid
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return ErrInvalid
	}
	return nil
}

// A kindError is an error of a lookup with its kind. Its text is that of the
// cause.
type kindError struct {
	kind, cause error
}

func (e *kindError) Error() string   { return e.kind.Error() + ": " + e.cause.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.cause} }

// sortError gives an error its kind. n is the number of usable records that came
// with it, noDomain whether the name does not exist.
func (r *StrictResolver) sortError(ctx, lctx context.Context, err error, n int, noDomain bool) error {
	if err == nil {
		return nil
	}
	if cerr := ctx.Err(); cerr != nil {
		return &kindError{ErrTemporary, cerr}
	}
	if lctx.Err() != nil {
		return &kindError{ErrTemporary, context.DeadlineExceeded}
	}
	var de *adns.DNSError
	if errors.As(err, &de) && len(r.opts.Servers) > 0 && de.Server != "" {
		// It names the server of the system that our connection was made instead of.
		named := *de
		named.Server = strings.Join(r.opts.Servers, " or ")
		err, de = &named, &named
	}
	var ec adns.ErrorCode
	if errors.As(err, &ec) && ec.IsAuthentication() {
		return &kindError{ErrBogus, err}
	}
	if de == nil {
		return &kindError{ErrTemporary, err}
	}
	switch {
	case de.IsNotFound && noDomain:
		return &kindError{ErrNoDomain, err}
	case de.IsNotFound:
		return &kindError{ErrNotFound, err}
	case de.IsTimeout || de.IsTemporary:
		return &kindError{ErrTemporary, err}
	case de.Err == errMalformedNames && n > 0:
		return nil // What is malformed has been left out.
	case de.Err == errMalformedNames:
		return &kindError{ErrInvalid, err}
	}
	// What remains is servers that refuse, or answer with nonsense. Others may do
	// better, and mail must not be returned for what an operator of a resolver did.
	return &kindError{ErrTemporary, err}
}

// errMalformedNames is how adns says that it left out records.
const errMalformedNames = "DNS response contained records which contain invalid names"

// resultName returns the word for an outcome in observations and logs.
func resultName(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrNotFound):
		return "notfound"
	case errors.Is(err, ErrBogus):
		return "bogus"
	case errors.Is(err, ErrInvalid):
		return "invalid"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return "timeout"
	}
	return "temporary"
}

func isTimeout(err error) bool {
	var te interface{ Timeout() bool }
	return errors.As(err, &te) && te.Timeout()
}

func (r *StrictResolver) observe(ctx context.Context, typ, name string, res Result, err error, d time.Duration) {
	result := resultName(err)
	if r.opts.Observe != nil {
		r.opts.Observe(Observation{r.pkg, typ, result, d})
	}
	attrs := []slog.Attr{
		slog.String("type", typ),
		slog.String("name", clip(name)),
		slog.String("result", result),
		slog.Bool("authentic", res.Authentic),
		slog.Duration("duration", d),
	}
	if r.pkg != "" {
		attrs = append(attrs, slog.String("pkg", r.pkg))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	r.opts.Log.LogAttrs(ctx, slog.LevelDebug, "dns lookup", attrs...)
}
