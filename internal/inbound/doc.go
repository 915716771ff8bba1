// Package inbound decides what to do with a message for one recipient: [Facts]
// go in, a [Verdict] comes out. It reads what it needs and changes nothing: a
// verdict is carried out by package deliver.
//
// The decision is a chain of named checks. Each looks at the facts, and either
// decides or passes: whether the address is known, whether it can be told who the
// author is, what the author's domain asks for (DMARC), and whether the host may
// use the reverse-path (SPF). What nothing speaks against is accepted.
//
// Who a message is from is found out before, once for all recipients, by an
// [Authenticator], which does all lookups in DNS. Facts without an [Auth] are about
// messages of our own users, or of a server without a resolver.
//
// A [Decider] and an Authenticator are safe for concurrent use.
//
// RFCs: 7208 §8 (SPF results), 8601 (Authentication-Results), 9989 §7 and §11.5
// (DMARC policies, several authors).
package inbound
