// Package reports tells other domains how their mail looks from here, and us how we
// look from elsewhere.
//
// A [Sender] sends DMARC aggregate reports, about mail that came in with a domain in
// From, and TLS reports, about connections for mail that went out to a domain. Both
// are about whole days of UTC, to who asks for them in DNS when the report is due. What is
// left of an earlier day is tried again each hour, while the databases keep it.
//
// A report is made from what a database has about a day, put in the queue, on stable
// storage, and only then is that removed from the database. If the server is killed in
// between, the report is sent once more, with the same id, for its receiver to ignore.
// After a temporary error, of DNS or of the queue, nothing is removed. One report at a
// time is in memory for each of a few goroutines, and evaluations are read one by
// one.
//
// Reports are messages from the postmaster, signed with DKIM. Nobody is told when they
// cannot be delivered. TLS reports are delivered whatever is wrong with TLS. [KindOf]
// tells them from other messages in the queue, so that deliveries of reports are not in
// turn a reason to send reports.
//
// A [Monitor] looks up the addresses of this server on DNS blocklists.
//
// The package does not decide what is counted: packages deliver, dmarcdb, queue/transport
// and tlsrptdb do. All of it is safe for concurrent use.
//
// RFCs: 9990 (DMARC aggregate reports), 8460 (TLS reports), 8689 (TLS-Required),
// 3834 (Auto-Submitted), 5782 (blocklists).
package reports
