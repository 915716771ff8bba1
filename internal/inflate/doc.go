// Package inflate decompresses DEFLATE (RFC 1951) as it comes over a connection: all that
// the octets so far stand for is returned before more of them are waited for.
//
// compress/flate returns data when its window is full, or after the empty stored block of
// a sync flush. Clients of IMAP with COMPRESS=DEFLATE (RFC 4978) also use the partial flush
// of zlib, which ends a block and keeps up to 7 bits of the next one: a reader that looks
// further ahead than the symbol it decodes waits for a client that has sent all it wants.
//
// A [Reader] is not safe for concurrent use. It needs some 35 KB.
package inflate
