// Package wire reads and writes the syntax of IMAP: the productions of RFC 9051 §9
// and of the extensions, on a connection.
//
// A [Reader] has the lines and raw bytes of a connection and gives its buffer back
// while the peer is silent. A [Decoder] parses one command after another from it, or,
// for a client, one response after another. It reads a line, parses it, and where the
// line ends in a literal reads that, and the next line, so a command is never held as
// a whole. An [Encoder] buffers and writes.
//
// Decoder and Encoder have one sticky error each: after it, reading returns zero
// values and writing does nothing, so that code is straight and asks once. Methods of
// the decoder come in pairs: Try… reports whether something was there and changes
// nothing if not; Need… records an error that names production and column. What a
// command is made of, and what it does, is for the package that has the command: here
// are the productions that several commands, or both sides, share.
//
// Everything a peer can make long has a limit; see [Limits] and the constants here and
// in mox/imap. None of the types may be used by several goroutines at a time, but
// reading and writing are independent of each other.
package wire
