// Package report reads and writes DMARC aggregate reports: what a receiver saw of
// mail from a domain, for the owner of that domain.
//
// [ParseMessage] finds the report in a mail message, [Parse] reads a file: XML,
// plain or compressed with gzip or zip, in the schema of RFC 9990 or in the one
// before it, with and without namespace. Reports come from anyone, so all is
// bounded: sizes, records, depth and text. Declarations of document types, and with
// them entities, are refused. What real reporters get wrong without consequence is
// tolerated and has a note; else the error is an [Error] that names the element.
//
// A [Builder] merges what happened to messages into records, and [Write] and
// [WriteGzip] write reports, always in the schema of RFC 9990. [Filename] and
// [Subject] are the names that go with them.
//
// The package does not send or store reports, and has nothing for failure reports
// (RFC 9991). Functions are safe for concurrent use; a Builder is not.
//
// RFCs: 9990, 7489 (the schema before), 1952 (gzip).
package report
