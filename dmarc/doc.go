// Package dmarc decides whether a message is from the domain in its From header
// field, with Domain-based Message Authentication, Reporting, and Conformance.
//
// [ParseRecord] reads the policy record of a domain. A [Walker] finds records in
// DNS with the tree walk that replaced the Public Suffix List, and remembers what
// it found while one message is looked at. [Verify] gives a [Result]: whether SPF
// or DKIM authenticated a domain that is aligned with the From domain, and if not,
// what the owner of the domain asks for. What becomes of the message is for the
// caller to decide; nobody has to reject for a policy (RFC 9989 §7.2).
// [Walker.CheckDestination] tells whether a domain wants reports about another.
//
// The package does not verify SPF or DKIM itself, and sends no reports. Package
// dmarc/report reads and writes them. Functions are safe for concurrent use; a
// Walker is not.
//
// RFCs: 9989, 9990 (external destinations), 9991 (failure reports for public
// suffixes). RFC 7489, which they replace, differs: it has the Public Suffix List
// and the tags pct, ri and rf.
package dmarc
