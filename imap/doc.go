// Package imap has the vocabulary of IMAP that a server and a client share:
// flags, number sets, mailbox names, list patterns, dates, sections, fetch items,
// search keys, status items, envelopes and body structures, response codes,
// capabilities, and the protocol error. One file has one concept.
//
// There is no I/O here. Reading and writing the protocol is in mox/imap/wire, a
// client in mox/imapclient.
//
// IMAP4rev2 (RFC 9051) is the base, with what IMAP4rev1 (RFC 3501) had besides,
// and the extensions named at each identifier.
//
// All types are plain values without locks: they may be read by many goroutines,
// and written by one.
package imap
