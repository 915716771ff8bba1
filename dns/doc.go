// Package dns has domain names as e-mail uses them, with their Unicode and ASCII
// forms, and a resolver that tells which answers were verified with DNSSEC.
//
// [Domain] values come from [ParseDomain] and compare with ==. A [Resolver] does
// lookups; [StrictResolver] is the real one, on top of github.com/mjl-/adns, a
// stub resolver: DNSSEC is verified by the recursive resolver it asks, and its
// word is taken only if that resolver is on a loopback address or is marked as
// trusted. Errors of lookups match [ErrNotFound], [ErrTemporary] or [ErrBogus]
// with errors.Is.
//
// The package does not cache and has no metrics; see [ResolverOptions].Observe.
// All types are safe for concurrent use.
//
// RFCs: 1034, 1035, 1123 (names), 5890, 5891 (IDNA), 4035 (the AD bit), 6698
// (TLSA), 7505 (null MX), 8020 (NXDOMAIN), 8914 (extended errors).
package dns
