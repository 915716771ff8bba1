package dane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"

	"mox/dns"
	"mox/mlog"
)

// DialOptions are for Dial.
type DialOptions struct {
	// Usages are the usages of records that are allowed. Empty means AllUsages.
	Usages []Usage

	// Config is what to start from, e.g. with RootCAs and NextProtos. It is not changed.
	// Nil means an empty one.
	Config *tls.Config

	// Dial is how to connect to an IP address with port. Nil means with a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial connects with TLS to "host:port", for any protocol that starts with TLS, and
// verifies the server by its TLSA records, of which there must be usable ones.
// Network is "tcp", "tcp4" or "tcp6". Addresses are tried in their order until one can
// be connected to. It returns the record by which the server is verified.
//
// Records are looked for at the name that aliases of the host lead to if those are
// authentic, and else at the host, RFC 7671 §7; it is the name that the server must
// have, except with usage DANE-EE. Errors match ErrAddresses, ErrTLSA, ErrNoRecords,
// ErrUnusable or ErrVerify, or are those of connecting. A nil log discards.
func Dial(ctx context.Context, log *slog.Logger, resolver dns.Resolver, network, address string, opts DialOptions) (*tls.Conn, Record, error) {
	conn, record, err := dial(ctx, resolver, network, address, opts)
	logger(log).DebugContext(ctx, "dial with dane", slog.String("address", address), slog.String("record", clip(record.Record())), mlog.Err(err))
	return conn, record, err
}

func dial(ctx context.Context, resolver dns.Resolver, network, address string, opts DialOptions) (*tls.Conn, Record, error) {
	name, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, Record{}, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, Record{}, fmt.Errorf("%q is not a port number", portText)
	}
	host, err := dns.ParseDomainLax(name)
	if err != nil {
		return nil, Record{}, err
	}
	service, err := LookupService(ctx, resolver, host, int(port))
	if err != nil {
		return nil, Record{}, err
	}
	usages := opts.Usages
	if len(usages) == 0 {
		usages = AllUsages()
	}
	if usable, problems := Usable(service.Records, usages...); len(usable) == 0 {
		return nil, Record{}, errors.Join(problems...)
	}
	var record Record
	config := TLSConfig(opts.Config, service.Records, Options{Usages: usages, Names: []dns.Domain{service.Base}},
		func(r Record) { record = r })
	conn, err := connect(ctx, network, service.IPs, portText, opts.Dial)
	if err != nil {
		return nil, Record{}, err
	}
	tconn := tls.Client(conn, config)
	hctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := tconn.HandshakeContext(hctx); err != nil {
		return nil, Record{}, errors.Join(err, closed(conn.Close()))
	}
	return tconn, record, nil
}

// closed leaves out that a connection was closed already.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// connect connects to the first address that can be connected to.
func connect(ctx context.Context, network string, ips []net.IP, port string, dial func(context.Context, string, string) (net.Conn, error)) (net.Conn, error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	errs := []error{}
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		if is4 := ip.To4() != nil; network == "tcp4" && !is4 || network == "tcp6" && is4 {
			continue
		}
		dctx, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := dial(dctx, network, net.JoinHostPort(ip.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("%w: none for %s", ErrAddresses, network)
	}
	return nil, errors.Join(errs...)
}

// A Service is what is to be known of a host and port before connecting.
type Service struct {
	IPs          []net.IP
	IPsAuthentic bool       // With aliases on the way.
	Base         dns.Domain // The TLSA base domain.
	Records      []Record   // TLSA records, authentic.
}

// LookupService looks up addresses and TLSA records for connections to a port of a
// host over TCP. Errors match ErrAddresses, ErrTLSA or ErrNoRecords.
func LookupService(ctx context.Context, resolver dns.Resolver, host dns.Domain, port int) (Service, error) {
	b, err := lookupBase(ctx, resolver, host)
	if err != nil {
		return Service{}, err
	}
	s := Service{IPs: b.ips, IPsAuthentic: b.authentic}
	s.Base, s.Records, err = lookupTLSA(ctx, resolver, port, "tcp", b.bases)
	if err != nil {
		return Service{}, err
	}
	if len(s.Records) == 0 {
		reason := ""
		if len(b.bases) == 0 {
			reason = ": its addresses are not signed with dnssec"
		}
		return Service{}, fmt.Errorf("%w for port %d of %s%s", ErrNoRecords, port, host, reason)
	}
	return s, nil
}
