// Package transfer brings mail into accounts and out of them: it imports and exports
// mbox files (RFC 4155), maildirs and archives of them, and copies accounts from other
// servers over IMAP until everybody has moved (RFC 9051, RFC 7162).
//
// A [Source] reads messages one by one, from what an operator has. [Import] stores them in
// batches. What it has done is noted in the account, in the commit that stores a batch, so
// that an import that was interrupted goes on where it was, or is undone ([Abort]). New
// mailboxes are hidden until the import is complete. An [Exporter] writes mailboxes. A
// [Pull] is one run that copies an account, and what has changed there since the run before.
//
// Sources read files of strangers: what they keep in memory has limits, see limits.go.
// A Source, an Exporter and a Pull are for one goroutine. Import, Abort and List are safe for
// concurrent use, but an import can run only once at a time.
package transfer
