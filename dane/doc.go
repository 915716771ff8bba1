// Package dane verifies TLS servers with DANE: with TLSA records in DNS, which
// DNSSEC protects, instead of or besides public authorities.
//
// For SMTP between servers, [LookupDestination] finds the hosts for a domain and
// [LookupHost] what is to be known of each before it is connected to: its addresses,
// its TLSA records, and whether TLS and authentication are required. [Host.Verify]
// then checks the connection:
//
//	dest, err := dane.LookupDestination(ctx, log, resolver, domain)
//	host, err := dane.LookupHost(ctx, log, resolver, dest, dest.Hosts[0], 25)
//	if host.Status == dane.StatusUsable {
//		config := host.TLSConfig(nil, nil)
//
// For other protocols, [Dial] does all of it. [Verify] checks certificates against
// records from anywhere.
//
// Whether answers were verified with DNSSEC is told by the resolver: it must be
// trusted, as must the way to it. The package keeps nothing, and has no metrics. Its
// functions are safe for concurrent use, and values are not changed once returned.
//
// RFCs: 6698, 7671, 7672, 7505 (null MX), 8996 (TLS versions).
package dane
