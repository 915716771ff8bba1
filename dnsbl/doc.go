// Package dnsbl asks DNS blocklists about addresses.
//
// [Lookup] asks one zone, [LookupAll] several at the same time. Only answers in
// 127.0.0.0/8 count as listings, RFC 5782 §2.3, and those in 127.255.255.0/24 are how
// operators of lists say that they refuse to answer: a client that asks through a
// public resolver, or too much, must not find the whole world listed. A list that
// does not answer properly is an error, never a listing.
//
// [CheckHealth] looks at the test entries that each list must have, RFC 5782 §5. The
// caller decides how often; the package keeps nothing, and all its functions are
// safe for concurrent use.
//
// RFCs: 5782.
package dnsbl
