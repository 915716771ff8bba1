// Package mpt runs the conversation files of Apache James' test suite "mpt"
// against a server, as tests that were not written by those who wrote the server.
//
// A file has lines "C: " with what a client sends and "S: " with regular
// expressions for the lines that the server answers with; "SUB {" and "}" around
// answers in any order; "SESSION: 2" before what goes over another connection,
// "REINIT" for a new connection; "WAIT", "AWAIT", "TIMER" and "LOG", which have no
// meaning for a server that does its work before it answers; and comments with #.
//
// The files pin the wording and the order of that server. They are judged here by
// what the protocol says:
//
//   - IMAP, see [IMAP]. A tagged response by tag and status, and by the response
//     codes that clients act on. An untagged response by kind and data: the order
//     of responses, of flags, of mailbox attributes and of FETCH items is free, a
//     string may be quoted or a literal, and text for humans is not compared. RECENT
//     is not compared, as RFC 9051 has removed it. Each response that is expected
//     must come, and nothing else may come that has not been asked for, except what
//     a server may always tell.
//   - SMTP, see [SMTP]. A reply by its code, the reply to EHLO by its keywords.
//
// What remains different because the other server contradicts an RFC, or has
// another set of extensions, is changed by an [Edit] that says why.
//
// A runner is for one goroutine. Only tests import this package.
package mpt
