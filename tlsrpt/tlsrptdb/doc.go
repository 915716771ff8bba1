// Package tlsrptdb keeps the TLS reports that others have sent about our domains
// and hosts.
//
// [NewIncoming] makes of a report what is kept of it, one record for each domain of
// ours that it is about, and [DB.AddReport] stores that, once, within limits:
// whoever has a domain can send reports, and what is in them is only what the
// reporter says. [DB.Reports], [DB.Summaries] and [DB.Policies] read them.
//
// The package does not decide which reports are genuine (package inbound). Results
// of our own deliveries, for reports to others, are not part of this database.
//
// A [DB] is the file tlsrpt.db in the data directory. It is safe for concurrent use.
//
// RFCs: 8460.
package tlsrptdb
