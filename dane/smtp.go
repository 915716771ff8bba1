package dane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"

	"mox/dns"
	"mox/mlog"
)

// A Destination is where mail for a domain is to go, RFC 5321 §5.1.
type Destination struct {
	Domain dns.Domain // As asked for.

	// Expanded is Domain after following aliases. It is the same if there are none.
	Expanded dns.Domain

	// Authentic is set if aliases and MX records, or that there are none, were verified
	// with DNSSEC.
	Authentic bool

	// MX is set if there are MX records. Otherwise Expanded is itself the host.
	MX bool

	// Hosts are the hosts to try, in this order: by preference, and at random among
	// those with the same.
	Hosts []dns.Domain
}

// LookupDestination finds the hosts that receive mail for a domain. Malformed names
// in MX records are left out if there are others. Errors match ErrMX or ErrNullMX. A
// nil log discards.
func LookupDestination(ctx context.Context, log *slog.Logger, resolver dns.Resolver, domain dns.Domain) (Destination, error) {
	d, err := lookupDestination(ctx, resolver, domain)
	logger(log).DebugContext(ctx, "destination for domain", slog.Any("domain", domain), slog.Any("expanded", d.Expanded),
		slog.Bool("authentic", d.Authentic), slog.Any("hosts", d.Hosts), mlog.Err(err))
	if err != nil {
		return Destination{}, err
	}
	return d, nil
}

func lookupDestination(ctx context.Context, resolver dns.Resolver, domain dns.Domain) (Destination, error) {
	// This follows aliases too.
	records, res, err := resolver.LookupMX(ctx, domain.ASCII)
	if err != nil && (!errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrNoDomain)) {
		return Destination{}, fmt.Errorf("%w: %w", ErrMX, err)
	}
	a, aerr := followAliases(ctx, resolver, domain, MaxDestinationAliases)
	switch {
	case aerr != nil && (res.Authentic || errors.Is(aerr, ErrAliases)):
		return Destination{}, fmt.Errorf("%w: %w", ErrMX, aerr)
	case aerr != nil:
		// What a domain without DNSSEC is an alias of does not matter for verification,
		// and there are servers that answer some questions only.
		a = alias{name: domain}
	}
	d := Destination{Domain: domain, Expanded: a.name, Authentic: res.Authentic && a.authentic, MX: err == nil}
	if !d.MX {
		d.Hosts = []dns.Domain{a.name}
		return d, nil
	}
	if len(records) == 1 && records[0].Host == "." {
		return d, fmt.Errorf("%w: %s has a null mx record", ErrNullMX, a.name)
	}
	d.Hosts, err = hostsOf(records)
	if err != nil {
		return d, fmt.Errorf("%w: %w: %s: %w", ErrMX, dns.ErrInvalid, a.name, err)
	}
	return d, nil
}

// hostsOf returns the hosts in the order in which they are to be tried. The error is
// for none being usable.
func hostsOf(records []*net.MX) ([]dns.Domain, error) {
	records = slices.Clone(records)
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	slices.SortStableFunc(records, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	var hosts []dns.Domain
	var lastErr error
	for _, mx := range records {
		h, err := dns.ParseDomainLax(mx.Host)
		if err != nil {
			lastErr = err
		} else if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("no usable mx record: %w", lastErr)
	}
	return hosts, nil
}

// A Status says what TLSA records require of connections to a host, RFC 7672 §2.2.
type Status string

// Statuses.
const (
	// StatusNone means that DANE does not apply: there are no authentic records. TLS is
	// opportunistic.
	StatusNone Status = "none"

	// StatusUnusable means that there are authentic records, of which none is usable:
	// TLS is required, and the host need not be verified.
	StatusUnusable Status = "unusable"

	// StatusUsable means that TLS is required and that the host must be verified with
	// [Host.Verify].
	StatusUsable Status = "usable"
)

// A Host is what is to be known of an SMTP host before it is connected to.
type Host struct {
	Name dns.Domain // As in the MX record.

	// Expanded is Name after following aliases, if those and the destination are
	// authentic.
	Expanded dns.Domain

	IPs          []net.IP // At least one.
	IPsAuthentic bool     // With aliases on the way.

	Status Status

	// Base is the TLSA base domain, at which the records are. It is zero without
	// records. It is the name for SNI.
	Base dns.Domain

	// Records are all TLSA records. Problems are errors of type *RecordError about those
	// that are not usable.
	Records  []Record
	Problems []error

	// Names are those that a certificate may have if its authority is in a TLSA record
	// (usage DANE-TA), RFC 7672 §3.2.2.
	Names []dns.Domain
}

// LookupHost looks up addresses and TLSA records of a host of a destination, for
// connections to a port. DANE applies only if the destination is authentic too: the
// records of the right host mean nothing on one that was slipped in. For a relay that
// is configured, the destination has just the relay as its Domain, Expanded and Hosts,
// and is Authentic.
//
// Errors match ErrAddresses, or ErrTLSA if addresses were found, which are returned
// then; either way the host must not be used now, except with ErrTLSA for messages
// that need no TLS ("TLS-Required: No", RFC 8689). A nil log discards.
func LookupHost(ctx context.Context, log *slog.Logger, resolver dns.Resolver, d Destination, name dns.Domain, port int) (Host, error) {
	h, err := lookupHost(ctx, resolver, d, name, port)
	logger(log).DebugContext(ctx, "tlsa records for host", slog.Any("host", name), slog.String("status", string(h.Status)),
		slog.Any("base", h.Base), slog.Int("records", len(h.Records)), slog.Int("unusable", len(h.Problems)), mlog.Err(err))
	return h, err
}

func lookupHost(ctx context.Context, resolver dns.Resolver, d Destination, name dns.Domain, port int) (Host, error) {
	if !d.Authentic {
		ips, res, err := lookupAddresses(ctx, resolver, name)
		if err != nil {
			return Host{}, err
		}
		return Host{Name: name, Expanded: name, IPs: ips, IPsAuthentic: res.Authentic, Status: StatusNone}, nil
	}
	b, err := lookupBase(ctx, resolver, name)
	if err != nil {
		return Host{}, err
	}
	h := Host{Name: name, Expanded: b.expanded, IPs: b.ips, IPsAuthentic: b.authentic, Status: StatusNone}
	h.Base, h.Records, err = lookupTLSA(ctx, resolver, port, "tcp", b.bases)
	if err != nil {
		return h, err
	}
	if len(h.Records) == 0 {
		return h, nil
	}
	h.Names = append(h.Names, h.Base)
	for _, n := range []dns.Domain{d.Domain, d.Expanded} {
		if !n.IsZero() && !slices.Contains(h.Names, n) {
			h.Names = append(h.Names, n)
		}
	}
	var usable []Record
	usable, h.Problems = Usable(h.Records, SMTPUsages()...)
	h.Status = StatusUnusable
	if len(usable) > 0 {
		h.Status = StatusUsable
	}
	return h, nil
}

// Verify checks that a connection is to the host, by its TLSA records. It must be
// called if Status is StatusUsable. It returns the record by which the host is
// verified. Errors are those of the function Verify.
func (h Host) Verify(cs tls.ConnectionState) (Record, error) {
	return Verify(h.Records, cs.PeerCertificates, h.options())
}

func (h Host) options() Options {
	return Options{Usages: SMTPUsages(), Names: h.Names}
}

// TLSConfig returns a configuration for connecting to the host, made from base, which
// may be nil. It is that of the function TLSConfig if Status is StatusUsable, and one
// that accepts each server otherwise.
func (h Host) TLSConfig(base *tls.Config, verified func(Record)) *tls.Config {
	if h.Status == StatusUsable {
		return TLSConfig(base, h.Records, h.options(), verified)
	}
	opts := Options{Names: []dns.Domain{h.Base}}
	if h.Base.IsZero() {
		opts.Names[0] = h.Name
	}
	config := TLSConfig(base, nil, opts, nil)
	config.VerifyConnection = nil
	return config
}

func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return mlog.Discard()
	}
	return log
}
