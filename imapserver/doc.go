// Package imapserver serves mail over IMAP4rev2 (RFC 9051) and IMAP4rev1 (RFC 3501).
//
// A [Server] takes connections from listeners and serves each in one goroutine. A
// connection has one command at a time: the dispatcher (dispatch.go) reads it, looks it
// up in the table (commands.go), checks state and TLS, parses it to its end, runs it,
// tells the client what has changed in the meantime, writes the tagged reply, counts and
// logs. Commands of one family are in one file, cmd_*.go: request type, parser, runner.
//
// State is by construction. A conn is a connection; it has a *session after
// authentication, which has the account; that has a *selected while a mailbox is
// selected. A runner is given the one that its command needs.
//
// What the client knows of the selected mailbox is a version of its index, an immutable
// *store.Index: message sequence numbers are positions in it. Telling changes is to
// compare that version with the latest and to replace it (sync.go). FETCH, STORE and
// SEARCH work on it, so that a sequence number never changes under a command.
//
// Responses about a message are begun with selected.openFetch, and expunged messages told
// by selected.tellDiff or session.tellVanished, so that clients with UIDONLY and QRESYNC
// get what they have asked for. A client that has used NOTIFY waits in conn.listen, as one
// in IDLE does, and is told what notifier says (notify.go). Changes are made with
// session.update, which tells a client that waits long that its command is worked on.
//
// No database transaction and no lock is held while a client is written to or waited
// for: what is sent is read in bounded batches. A connection that waits holds no buffers.
// All limits are in limits.go.
//
// Errors are values: an *imap.Error is answered as it says, sentinels of lower packages
// are mapped in errors.go, everything else is a NO with SERVERBUG and a log line.
// Mailboxes, messages, files and quota belong to mox/store, search to
// mox/internal/search, passwords to mox/internal/identity.
//
// RFCs, besides the two above: 5256 SORT and THREAD, 5957 SORT=DISPLAY, 5267 ESORT and CONTEXT, 7377 MULTISEARCH, 7162 CONDSTORE and QRESYNC, 5465 NOTIFY, 5464 METADATA, 9590 LIST-METADATA, 8457, 9394 PARTIAL, 9585 INPROGRESS, 9586 UIDONLY, 2177 IDLE, 2342 NAMESPACE, 2971 ID, 3348 CHILDREN, 3502
// MULTIAPPEND, 3516 BINARY, 3691 UNSELECT, 4315 UIDPLUS, 4731 ESEARCH, 4959 SASL-IR, 5032
// WITHIN, 5161 ENABLE, 5182 SEARCHRES, 5258 LIST-EXTENDED, 5530 response codes, 5819
// LIST-STATUS, 6154 SPECIAL-USE, 6851 MOVE, 6855 and 9755 UTF8=ACCEPT, 7888 LITERAL+, 7889
// APPENDLIMIT, 8438 STATUS=SIZE, 8474 OBJECTID, 8514 SAVEDATE,
// 4978 COMPRESS, 8437 UNAUTHENTICATE, 8970 PREVIEW, 8508 REPLACE, 4469 CATENATE, 4467 URLAUTH, 5092 URLs, 9208 QUOTA,
// 9738 MESSAGELIMIT.
package imapserver
