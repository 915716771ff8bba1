// Package inbound decides what to do with a message for one recipient: [Facts]
// go in, a [Verdict] comes out. It reads what it needs and changes nothing: a
// verdict is carried out by package deliver.
//
// The decision is a chain of named checks, in the order in which [New] lists them. Each
// looks at the facts, and either decides or passes, and may add to the reasons, which the
// user can read in the message. What speaks for the author comes before what speaks for
// servers, networks and content, and what costs lookups comes last: how much was accepted
// from the network; rulesets, with mailing lists and forwarders; what the author's domain
// asks for (DMARC), unless a forwarder that the user trusts has authenticated the
// message (ARC); reports; what the user has said of the sender, and what the account knows
// of it from mail that the user has judged and from whom it has sent to; SPF and the name
// of the host; the junk filter; blocklists. What nothing speaks against is accepted.
//
// Who a message is from is found out before, once for all recipients, by an
// [Authenticator]. Facts without an [Auth] are about messages of our own users, or of a
// server without a resolver: only rates and rulesets count for them.
//
// Strangers are told the same of all that is judged, with a temporary error. The one
// thing that is written is the key for tokens in subjects, when it is first needed.
//
// A [ReportReader] reads reports that others send about our domains. [Decider.Explain]
// tells operators and users what is known of an address.
//
// A [Decider] and an Authenticator are safe for concurrent use.
//
// RFCs: 5782 (blocklists), 7208 §8 (SPF results), 8460 §3 (who may send TLS reports), 8601
// (Authentication-Results), 8617 §7.2.1 (ARC results), 9989 §7 and §11.5 (DMARC
// policies, several authors), 9990 §3.5.2 (who may send DMARC reports).
package inbound
