package queuedb

import "time"

// Limits. Those an operator may want to change are defaults of [Options].
const (
	// MaxRecipients is how many recipients one Enqueue takes.
	MaxRecipients = 1000

	// MaxResults is how many results a message keeps; the oldest go first.
	MaxResults = 100

	// MaxErrorText is how many octets of a text that may come from a remote are kept.
	MaxErrorText = 4096

	// MaxTranscript is how many octets of the transcript of an attempt are kept, and
	// MaxTranscripts how many results of a message have one.
	MaxTranscript  = 4096
	MaxTranscripts = 3

	// MaxHoldRules is how many hold rules there can be: each submission looks at all.
	MaxHoldRules = 1000

	// maxKey is how many octets are kept of a text that messages are found by.
	maxKey = 1000

	// MaxPrefix is the largest header prefix, in octets.
	MaxPrefix = 64 << 10

	// MaxExtra is the largest sum of keys and values of Base.Extra, in octets.
	MaxExtra = 64 << 10

	// MaxList is how many messages or retired messages one List returns.
	MaxList = 10000

	// MaxClaim is how many messages with one content are claimed for one attempt.
	MaxClaim = MaxRecipients

	// DefaultAccountMessages is how many messages an account can have in the queue. It
	// is there so that a stolen password with FUTURERELEASE cannot fill the disk.
	DefaultAccountMessages = 20000

	// DefaultAccountSize is how many octets of contents an account can have in the
	// queue.
	DefaultAccountSize = 10 << 30

	// idWindow is how many content ids are reserved at a time. Only files with an id
	// in this range are looked at when the database is opened.
	idWindow = 1024

	// maxBatch is how many changes share one commit.
	maxBatch = 500

	// sweepDelay is for how long removals of files are collected, so that a directory
	// is synced for many at once.
	sweepDelay = time.Second

	// sweepBatch is how many files are removed for one sync of their directories.
	sweepBatch = 1000

	// openTimeout is how long to wait for another process that has the database.
	openTimeout = 5 * time.Second
)
