// Package reportdb has what the databases with reports about DMARC and about TLS have in
// common: [Reports] are those that were received, within limits, and [SuppressList] are
// addresses that get none of ours. What a report says, and where it comes from, is up to
// its users, and so are the types of the records.
//
// It is safe for concurrent use.
package reportdb
