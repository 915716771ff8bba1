package smtpserver

import (
	"time"

	"mox/config"
)

// Limits of lines, in octets with CRLF.
const (
	// maxCommandLine is for commands. RFC 5321 §4.5.3.1.4 has 512, to which
	// extensions add several hundred for parameters of MAIL.
	maxCommandLine = 2048

	// maxAuthLine is for a response of a SASL exchange, RFC 4954 §4.
	maxAuthLine = 12288 + len("\r\n")
)

// Limits of a connection.
const (
	// maxJunkCommands is how many commands that get a client nowhere (NOOP, RSET,
	// VRFY, unknown ones) are taken until a message is accepted or a login succeeds.
	maxJunkCommands = 100

	// maxErrors is how many commands may fail, RCPT for unknown recipients apart,
	// until a message is accepted or a login succeeds.
	maxErrors = 30

	// maxBadTransactions is how many transactions may fail without any that succeeds.
	maxBadTransactions = 10

	// maxUnknownRecipients is how many unknown recipients a connection may try
	// without any known one.
	maxUnknownRecipients = 20
)

// Limits of a transaction.
const (
	// maxRecipients is how many RCPT commands a transaction can have, announced as
	// RCPTMAX (RFC 9422 §4.2). At least 100 must be possible, RFC 5321 §4.5.3.1.8.
	maxRecipients = 1000

	// maxMembers is how many members the aliases in a transaction can have together. One
	// alias always fits.
	maxMembers = 2 * config.MaxAliasMembers

	// maxChunks is how many chunks a message can have, RFC 3030.
	maxChunks = 100_000

	// maxParallelDeliveries is how many recipients of one message are delivered to at
	// the same time.
	maxParallelDeliveries = 8

	// maxFutureRelease is for how long a message can be held, RFC 4865 §3.
	maxFutureRelease = 60 * 24 * time.Hour

	// maxReverseNames is how many names of a client's address are looked up.
	maxReverseNames = 10

	// maxListedFailures is how many recipients that failed are listed in one reply.
	maxListedFailures = 10

	// maxTracedRecipients is how many recipients of one message that were refused are
	// recorded, and maxTracedRefusals how many that a network is refused in an hour:
	// who harvests addresses is not to push out the records of mail.
	maxTracedRecipients = 10
	maxTracedRefusals   = 100

	// maxDelivered is how many recipients are remembered that have a message whose
	// other recipients failed, and deliveredFor is for how long.
	maxDelivered = 20_000
	deliveredFor = 5 * 24 * time.Hour

	// maxBouncesHour and maxBouncesDay are how many bounces of forwarded messages are
	// passed on to one sender, whose server must not suffer if others learn an address
	// that was made for it.
	maxBouncesHour = 100
	maxBouncesDay  = 500
)

// maxSkipped is how many octets of chunks that are not taken are read, for clients
// that have sent them already, until a message is accepted or a login succeeds.
func maxSkipped(maxMessageSize int64) int64 {
	return 2*maxMessageSize + 1<<20
}

// What is kept in memory of messages that are being received. The first ones have
// as much as a spool takes, and a large buffer for reading; when many come at the same
// time, the others have less, so that as many clients as there may be connections, with
// half a message each, are no problem.
const (
	fullSpools       = 128
	smallSpoolMemory = 16 << 10
)

// Time-outs.
const (
	// commandTimeout is for the next command, RFC 5321 §4.5.3.2.7.
	commandTimeout = 5 * time.Minute

	// busyCommandTimeout is used instead when the server has most of the connections
	// it can have.
	busyCommandTimeout = 10 * time.Second

	// writeTimeout is for the client to take a reply.
	writeTimeout = 30 * time.Second

	// dataTimeout is for the next part of a message. A client may wait three minutes
	// for its own writes (RFC 5321 §4.5.3.2.5).
	dataTimeout = 3 * time.Minute

	// transferTimeout is for all of a message.
	transferTimeout = 30 * time.Minute

	// acceptTimeout is for analysing and storing a message, about as long as clients
	// wait for the reply (RFC 5321 §4.5.3.2.6).
	acceptTimeout = 9 * time.Minute

	// proxyTimeout is for the header of the PROXY protocol.
	proxyTimeout = 5 * time.Second

	// handshakeTimeout is for a TLS handshake.
	handshakeTimeout = time.Minute

	// lookupTimeout is for DNS lookups that decide whether mail is taken, and
	// reverseTimeout for those that only tell more about a client.
	lookupTimeout  = time.Minute
	reverseTimeout = 10 * time.Second

	// closeTimeout is for the end of a connection, and maxLinger is how many octets
	// that the client still sends are read for it.
	closeTimeout = time.Second
	maxLinger    = 1 << 20
)

// Delays for clients that behave badly. Exempt networks have none.
const (
	// slowDelay is the delay before each command is read from a client in slow mode,
	// and before each octet that is written to it.
	slowDelay = time.Second

	// slowReserve is what a reply to a client in slow mode keeps of writeTimeout for
	// writing the rest at once.
	slowReserve = 5 * time.Second

	// unknownDelay is the delay before the first reply about an unknown recipient. It
	// grows by as much each time, to maxUnknownDelay. After maxDelayedRecipients there
	// is no delay, for those who send to old lists and have known recipients too.
	unknownDelay         = time.Second
	maxUnknownDelay      = 5 * time.Second
	maxDelayedRecipients = 30

	// hangTime is for how long localserve hangs for an address that asks for it.
	hangTime = time.Hour
)

// Sizes of buffers in octets. A connection has a small one, and a large one while
// it sends a message.
const (
	commandBuffer = 4 << 10
	dataBuffer    = 64 << 10
	copyBuffer    = 32 << 10
	replyBuffer   = 4 << 10 // Replies to pipelined commands are written at this size.
)
