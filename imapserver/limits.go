package imapserver

import (
	"time"

	"mox/imap/wire"
)

// Time limits.
const (
	loginTimeout     = 30 * time.Second // For a command before authentication, from the moment we wait for it.
	idleTimeout      = 30 * time.Minute // Until a command begins, and in IDLE. RFC 9051 §5.4
	commandTimeout   = time.Minute      // For the rest of a command line that has begun.
	literalTimeout   = 30 * time.Second // For a literal, or for each piece of a message.
	writeTimeout     = 30 * time.Second // For each piece written.
	handshakeTimeout = time.Minute      // For TLS.
	byeTimeout       = 5 * time.Second  // For the last words on a connection that is given up.
	proxyTimeout     = 5 * time.Second  // For the header of the PROXY protocol.
	lingerTimeout    = time.Second      // For a client with compression to close the connection after us.
	refuseTimeout    = time.Second      // To tell a client that it is not served.
	searchTimeout    = 10 * time.Minute // For one SEARCH, SORT or THREAD in one mailbox.
	hangupInterval   = time.Second      // Between looks whether a client that searches has gone.
	progressInterval = 10 * time.Second // Between responses that tell that a command is worked on. RFC 9585 §4
	keepAlive        = 5 * time.Minute  // Between TCP keep-alive probes.
)

// Limits on what a client can ask for. Those on lines, literals and lists are the ones of
// package wire; those on search programs, names and keywords the ones of package imap.
const (
	// messageLimit is how many messages one command can be about. It is more than mailboxes
	// have, because clients that do not know of it take a part for the whole. RFC 9738 §4.1
	messageLimit = 10_000_000

	maxAppendMessages = 500     // Messages in one APPEND: what store.Append takes.
	maxURLs           = 100     // URLs in one GENURLAUTH or URLFETCH.
	maxCatenateParts  = 1000    // Parts in one CATENATE.
	maxAppendFiles    = 100     // Of these, those too large to wait in memory.
	appendMemory      = 8 << 20 // Bytes that the messages of one APPEND wait in memory.

	maxBadCommands = 50 // Commands that break the protocol, one after another.
	maxIDFields    = 30 // RFC 2971 §3.3
	maxIDName      = 30
	maxIDValue     = 1024
	maxUnseenBatch = 10000 // Messages marked \Seen in one transaction.
	fetchBatch     = 10000 // Messages that one list of those to be read has.
	columnShare    = 8     // Of how much of a mailbox data is kept together: an eighth of it is asked for.
	copyBuffer     = 32 << 10

	maxContexts       = 20      // Searches of a session whose results are updated.
	maxContextResults = 1 << 20 // Results of all of these, but there can always be one.
	maxContextFiles   = 1000    // Messages that are read at once to update a result.

	sortMemory = 64 << 20 // Bytes that are kept of what messages are sorted and threaded by.
)

// slowDelay is how long each line and each byte of a client with failed logins waits.
const slowDelay = time.Second

// searchLine is how many numbers an old SEARCH response has at most: clients of that
// time have line buffers. RFC 3501 §7.2.5
const searchLine = 100

// loginLimits returns the limits for parsing commands of clients that have not logged in:
// a user name and a password, and SASL in lines.
func loginLimits() wire.Limits {
	l := wire.ServerLimits()
	l.Literal, l.LiteralTotal, l.Literals, l.Drain = 4<<10, 16<<10, 10, 64<<10
	return l
}
