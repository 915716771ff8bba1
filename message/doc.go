// Package message reads and writes Internet messages: header fields, MIME
// trees, what IMAP, search and threading ask of a message, and the messages we
// create ourselves.
//
// A message is given as an io.ReaderAt and a size. Parse walks its bytes once
// with a small window and gives a tree of Parts, in which each Part knows its
// byte range. NewDigest does the same and keeps, in one compact value that can
// be stored, all that a server answers most often: ENVELOPE, BODYSTRUCTURE, the
// usual header fields, search text, threading identifiers, sent date and
// preview, so that listing, sorting and searching need no message file.
//
// Mail is written by strangers. Nothing in a message makes Parse fail: an error
// is an error of the reader. What cannot be understood in one place (a long
// line, a missing closing boundary, an unknown charset) costs that place alone.
// Time is linear in the size of the message, memory is bounded by Limits, and
// recursion by Limits.Depth.
//
// The package does no I/O but through the io.ReaderAt, io.Reader and io.Writer
// it is given, has no mutable state, and does not log. Values are not safe for
// use by several goroutines while one of them changes them; a Part tree, a
// Header and a Digest are never changed after they were made.
//
// It is not for SMTP or IMAP grammar, DKIM, DSN contents or delivery decisions.
//
// RFCs: 2045, 2046, 2047, 2049, 2183, 2231, 5256 (base subject, sent date),
// 5322, 6532, 8970 (preview) and the message data of 9051.
package message
