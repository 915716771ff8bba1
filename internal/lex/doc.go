// Package lex has the two things every hand-written parser in this project is
// made of: byte classes built from the ABNF of the RFCs, and a scanner with one
// sticky error that names the production and the column.
//
// A [Class] is a set of bytes. The named classes are the character rules of
// RFC 5234 §B.1, RFC 5321 §4.1.2, RFC 5322 §3.2, RFC 9051 §9 and a few others;
// each is tested byte by byte against the ranges of its RFC. Packages make
// further ones with [Range], [Bytes], [Class.Union] and [Class.Without].
//
// A [Scanner] walks over one string. Its methods come in pairs: Try… reports
// whether the input matched and has no other effect when it did not; Need…
// records an error. The first error sticks: after it nothing matches, nothing is
// consumed and every Need… returns a zero value, so a parser is written as
// straight code that asks for the error once, at the end.
//
// The package knows no protocol and does no I/O. Streaming input, such as IMAP
// literals, is for the packages that own the connection. Classes are values and
// safe to share; a Scanner belongs to one goroutine.
package lex
