package smtpclient

import "time"

// Time-outs. Those for replies are the minimums of RFC 5321 §4.5.3.2.
const (
	GreetingTimeout   = 5 * time.Minute
	CommandTimeout    = 5 * time.Minute // MAIL, RCPT and all that have no own one.
	DataTimeout       = 2 * time.Minute // For the reply to DATA.
	DataBlockTimeout  = 3 * time.Minute // For each write of content.
	DataFinishTimeout = 10 * time.Minute

	TLSTimeout  = time.Minute
	QuitTimeout = 5 * time.Second
)

// Limits on what a server can make us read, in octets and lines.
const (
	// MaxReplyLine is more than the 512 octets of RFC 5321 §4.5.3.1.5, which some
	// servers exceed.
	MaxReplyLine = 4096

	// MaxReplyLines is the number of lines of one reply. An EHLO reply has about 20.
	MaxReplyLines = 200
)

const (
	// MaxRecipients is the number of recipients of one transaction with a server that
	// does not announce a limit. Each server must take that many, RFC 5321 §4.5.3.1.8.
	MaxRecipients = 100

	// maxCommandLine is the limit of RFC 5321 §4.5.3.1.4, to which we keep with the
	// initial response of AUTH, RFC 4954 §4.
	maxCommandLine = 512

	// maxAuthSteps is more than any mechanism has.
	maxAuthSteps = 10

	// bufferSize is for writing: a TLS record is at most that large.
	bufferSize = 16 * 1024

	// blockSize is for reading content.
	blockSize = 32 * 1024

	// chunkedMin is the size in octets from which on a message goes with BDAT to servers
	// that take it. Below that it saves nothing.
	chunkedMin = 1 << 20

	// chunkSize is the size in octets of what one BDAT has, and maxChunksAhead is how
	// many of them are sent before the reply to the first has come. RFC 3030 §4.2 has
	// them pipelined.
	chunkSize      = 256 * 1024
	maxChunksAhead = 8
)
