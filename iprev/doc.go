// Package iprev checks whether an address has a name in DNS that has that address:
// the "iprev" method of Authentication-Results.
//
// It is a sign of a host that is run on purpose, and no authentication. Nothing is
// kept between checks, and all functions are safe for concurrent use.
//
// RFCs: 8601 (§2.7.3 and §3).
package iprev
