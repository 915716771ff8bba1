// Package ratelimit limits how much one network or account can do in a time, and
// how many connections one network can have open.
//
// A [Limiter] counts per IP network of three sizes, so that neither one address
// nor a rented block of them gets much: IPv4 /32, /26 and /21, IPv6 /64, /48 and
// /32. Limits of the wider networks are three and nine times those of the
// narrowest, see [Factors]. An [Accounts] limiter counts per name. A [Concurrent]
// limiter counts what is open now.
//
// Windows slide: the count in a window is that of the current period plus the
// part of the previous one that the window still covers, assuming that it was
// spread evenly. So at the edge between two periods there is no moment at which
// twice the limit is allowed at once.
//
// Memory is bounded by a number of keys; those not used for longest are forgotten
// first. Counts are lost on restart. Everything is safe for concurrent use.
package ratelimit
