// Package tlsrptdb keeps what TLS reports are about: the reports that others have
// sent about our domains and hosts, and how TLS went with our own deliveries, from
// which we report to others.
//
// [NewIncoming] makes of a report what is kept of it, one record for each domain of
// ours that it is about, and [DB.AddReport] stores that, once, within limits:
// whoever has a domain can send reports, and what is in them is only what the
// reporter says. [DB.Reports], [DB.Summaries] and [DB.Policies] read them.
//
// [Results.Add] counts a session of a delivery. It does not wait for the disk: what is
// added within a second is written together, for each policy domain, recipient domain
// and day as one record, and a crash may lose the last of it. [Results.Summaries],
// [Results.ForRecipientDomain] and [Results.ForPolicyDomain] are for who sends reports;
// what is older than [ResultAge] is removed. Addresses that get no reports are with
// them, see [Results.Suppress]. [Results.DidTLS] knows which hosts did TLS before, so
// that they must do it again.
//
// The package does not decide which reports are genuine (package inbound), and does not
// send any. A [DB] is the file tlsrpt.db in the data directory, and a [Results]
// tlsrptresult.db. They are safe for concurrent use.
//
// RFCs: 8460.
package tlsrptdb
