// Package dkim signs messages and verifies signatures with DomainKeys Identified
// Mail.
//
// [Verify] gives a [Result] for each signature of a message. At most
// [MaxSignatures] are looked at. Their keys are looked up at the same time, the
// header part of each is verified, and only if one holds the body is read: once,
// for all of them. [Sign] makes a signature for each of a number of selectors, such
// as one with an RSA and one with an Ed25519 key, and reads the body once too.
//
// A message is given as an io.ReaderAt and a size. It is never in memory as a
// whole: an [Index] knows where the header fields are, and fields and body go
// through canonicalisations that are streams. Line ends may be CRLF or bare LF; the
// latter count as CRLF, as RFC 6376 §5.3 wants a signer to have sent them. The
// same index, canonicalisations, key records and tag lists serve package arc.
//
// Signatures with rsa-sha256 and ed25519-sha256 are made and verified; rsa-sha1
// never passes (RFC 8301 §3.1). What we want beyond the RFCs, such as that the
// subject is signed and that the whole body is, is in [VerifyOptions], and has
// the result [StatusPolicy].
//
// The package does no I/O but through the io.ReaderAt and the resolver it is
// given, has no state, and logs only through the logger it is given. Values are
// not safe for use by several goroutines while one of them changes them.
//
// RFCs: 6376, 8301, 8463, 8616.
package dkim
