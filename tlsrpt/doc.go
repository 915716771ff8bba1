// Package tlsrpt has SMTP TLS reports: the record in which a domain says where it
// wants them, and the reports themselves, read and written.
//
// [Lookup] gives the record of a domain. [ParseReport] reads a report,
// [ParseMessage] finds and reads the one in a message. [Report.WriteGzip] writes
// one, after results were collected with [Report.Add]. [Classify] gives the result
// type for an error of TLS or MTA-STS.
//
// Reports come from anyone. Reading them is tolerant in how values are written,
// takes memory and time in proportion to the limits of the package only, and keeps
// texts as they were sent: they must be escaped where they are shown, and say
// nothing that has been verified.
//
// The package does not send or keep reports, and has no metrics. Functions are
// safe for concurrent use; a Report is not while it is changed.
//
// RFCs: 8460.
package tlsrpt
