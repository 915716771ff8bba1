// Package admin makes the changes to domains, accounts, addresses, aliases and keys that
// an operator asks for, whether by a command or a page: it edits domains.conf, and does
// what belongs to a change on disk.
//
// Each change is one edit by [config.Holder.Edit], so that it is made as a whole or not
// at all, keeps the rest of the file as it was written, and counts at once. What would
// break something that is in use, such as removing an address that a client certificate
// logs in with, is refused.
//
// [DNSRecords] says what must be in DNS for a domain, from the configuration alone, and a
// [DNSChecker] compares that with what is there.
//
// Who may ask for changes is not decided here. Texts of errors are for the operator: an
// [*Error], or [config.Errors] where the configuration would be wrong.
//
// An [Admin] is safe for concurrent use.
//
// RFCs: 6186 and 8314 (SRV records for users), 7208 (SPF), 6376 (DKIM), 7489 (DMARC), 8460
// (TLSRPT), 1035 (zone files).
package admin
