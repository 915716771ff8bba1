// Package srs rewrites sender addresses of forwarded messages, with the Sender
// Rewriting Scheme, so that the forwarding host may send for them by SPF and so that
// bounces find their way back.
//
// There is no RFC. The form is the one commonly in use, where "here" is the domain of
// the forwarding host:
//
//	ann@a.example            SRS0=HHHHHH=TT=a.example=ann@here
//	SRS0=x=y=z@b.example     SRS1=HHHHHH=b.example==x=y=z@here
//	SRS1=x=b.example==y@c    SRS1=HHHHHH=b.example==y@here
//	SRS1=x=here==y@c         SRS0=y@here
//
// HHHHHH is 30 bits of an HMAC-SHA256 with a key of the forwarding host, in base32
// (RFC 4648 §6): over "SRS0=" or "SRS1=" and all after the hash, in lower case. TT is the
// day in which it was made, counted from 1970 modulo 1024, in base32. Bounces to an SRS1 address go to the first forwarding host, without passing
// all others on the way: what follows its domain is opaque, beginning with the
// character after "SRS0", which is "=", "-" or "+". For the same reason an SRS1 address
// has no day, and is good as long as the key is.
//
// Hosts on the way may change the case of a local-part, so hash and day are compared
// without case; the case of the original local-part is then lost. A local-part has at
// most 64 octets (RFC 5321 §4.5.3.1.1): addresses for which there is not enough room are
// not rewritten but an error, [ErrTooLong], and the caller forwards with another
// sender, such as an address of the account that forwards, or not at all.
//
// A key must be kept as long as addresses made with it are to be taken, and be
// replaced before the days begin anew, after 1024 days. A [Rewriter] has no state
// besides its keys and is safe for concurrent use.
package srs
