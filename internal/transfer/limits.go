package transfer

import "time"

// Limits on what is read.
const (
	// MaxMessageSize is the size of the largest message, in octets, with CRLF line ends.
	MaxMessageSize = 256 << 20

	// maxLine is how long a line of an mbox file can be that is looked at: header fields
	// of ours, and From_ lines. Longer ones belong to the message.
	maxLine = 8 << 10
	// maxKeywordsFile is the size of a dovecot-keywords file.
	maxKeywordsFile = 64 << 10
	// maxMailboxes is how many mailboxes an import can have.
	maxMailboxes = 1000
	// maxArchiveFiles is how many files an archive can have.
	maxArchiveFiles = 4 << 20
	// maxExpansion is how many times larger than itself an archive can become, once it is
	// larger than minExpanded octets.
	maxExpansion = 200
	minExpanded  = 64 << 20
	// maxFrame is the size of what describes a message that is sent to the server.
	maxFrame = 64 << 10
)

// Batches, small enough that others do not wait for them.
const (
	batchMessages = 100
	batchSize     = 4 << 20
)

// Lifetime is how long after its last batch an import that is not complete can go on.
const Lifetime = 7 * 24 * time.Hour

// Limits on copying from another server.
const (
	pullTimeout   = 5 * time.Minute // Longest wait for the server.
	pullAttempts  = 8               // Connections without any progress, until a run gives up.
	pullBackoff   = time.Second     // Before the second attempt; doubled up to maxBackoff.
	maxBackoff    = time.Minute
	maxPullUIDs   = 2 << 20 // Messages of a mailbox.
	pullBlock     = 4096    // Messages that one note is about.
	tokenTimeout  = 2 * time.Minute
	maxGmailLabel = 1000 // Labels of a message.
)
