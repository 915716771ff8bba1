package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/mjl-/adns"
)

// Errors of lookups. Each error that a [Resolver] returns matches exactly one of
// these with errors.Is, or is the error of the context; [ErrNoDomain] is a kind of
// ErrNotFound.
var (
	// ErrNotFound means that the name does not exist, or has no records of the type
	// (NXDOMAIN and NODATA).
	ErrNotFound = errors.New("dns: no such record")

	// ErrNoDomain matches ErrNotFound too. It means that all answers said NXDOMAIN:
	// there is nothing at or below the name (RFC 8020 §2), or its alias leads to such a
	// name. A resolver that cannot tell returns ErrNotFound.
	ErrNoDomain = fmt.Errorf("%w: no such domain", ErrNotFound)

	// ErrTemporary means that the lookup failed in a way that may pass: a time-out, a
	// server failure, an unreachable resolver.
	ErrTemporary = errors.New("dns: temporary lookup failure")

	// ErrBogus means that the records exist and fail DNSSEC verification. They must
	// not be used, and must not be taken as absent. It may pass when the domain's
	// operator repairs it.
	ErrBogus = errors.New("dns: dnssec verification failed")

	// ErrInvalid means that the question cannot be asked or the answer is malformed,
	// and that trying again will not help.
	ErrInvalid = errors.New("dns: invalid name or answer")
)

// A Result tells about an answer, also a negative one.
type Result struct {
	// Authentic is set if the answer and all aliases on the way to it were verified
	// with DNSSEC by a resolver we trust (RFC 4035 §3.2.3).
	Authentic bool

	// TTL is for how long the answer may be used: the least of its records, or what the
	// zone says of answers without records (RFC 2308 §5). Zero if that is not known.
	TTL time.Duration
}

// A TLSA is a DANE record, RFC 6698 §2.1.
type TLSA = adns.TLSA

// A Resolver looks up records in DNS. Names are absolute, with or without a
// trailing dot; no search list is used. Names in answers have no trailing dot,
// except that the root is ".", as in a null MX (RFC 7505 §3). The case of names
// in answers is kept. No records is an error that matches [ErrNotFound].
type Resolver interface {
	// LookupTXT returns the TXT records of name. The strings of one record are joined
	// without anything between them.
	LookupTXT(ctx context.Context, name string) ([]string, Result, error)

	// LookupMX returns the MX records of name, sorted by preference.
	LookupMX(ctx context.Context, name string) ([]*net.MX, Result, error)

	// LookupIP returns the addresses of host. Network is "ip", "ip4" or "ip6".
	LookupIP(ctx context.Context, network, host string) ([]net.IP, Result, error)

	// LookupAddr returns the names of an address (PTR).
	LookupAddr(ctx context.Context, ip net.IP) ([]string, Result, error)

	// LookupCNAME returns the target of the CNAME record at host. Result is about that
	// record alone; a chain of aliases takes as many lookups. If host has addresses and
	// no alias, the target is host itself, and Result is about there being no alias.
	LookupCNAME(ctx context.Context, host string) (string, Result, error)

	// LookupNS returns the name servers of name.
	LookupNS(ctx context.Context, name string) ([]*net.NS, Result, error)

	// LookupSRV returns the SRV records of _service._proto.name, sorted by priority
	// and randomised by weight, or those of name if service and proto are empty.
	LookupSRV(ctx context.Context, service, proto, name string) ([]*net.SRV, Result, error)

	// LookupTLSA returns the TLSA records of _port._proto.host, or those of host if
	// port is 0 and proto empty. They are only of use if Result is Authentic.
	LookupTLSA(ctx context.Context, port int, proto, host string) ([]TLSA, Result, error)
}
