package tracedb

import "time"

// DefaultRetention is for how long messages are kept.
const DefaultRetention = 14 * 24 * time.Hour

// Limits of what is kept. Beyond them the oldest messages are removed.
const (
	// MaxSteps is how many steps there are at most, of all messages.
	MaxSteps = 2_000_000

	// MaxSize is how large their values are together, in octets. With keys and indexes
	// the file is about twice as large.
	MaxSize = 512 << 20
)

// Limits of a message.
const (
	// MaxMessageSteps is how many steps of a message are kept. Its later ones are only
	// counted. A message with the most recipients that SMTP allows has some thousands.
	MaxMessageSteps = 5000

	// MaxText is the length of the longest value of a step, in octets, and MaxReasons is
	// how many reasons it has. What is longer is cut.
	MaxText    = 512
	MaxReasons = 16
)

// MaxPage is how many messages are read at once.
const MaxPage = 100

const (
	// stepQueue is how many steps can wait for being taken into a batch, which is while
	// another one is being written.
	stepQueue = 16_384

	// batchTime is how long a batch waits for more steps.
	batchTime = time.Second

	// maxBatch is how many steps are written without waiting.
	maxBatch = 4096

	// maxRecent is how many messages are remembered by where they came from, for steps
	// that are not in the queue. They follow one another within seconds.
	maxRecent = 20_000

	// cleanTime is how often old messages are removed, and firstClean when for the first
	// time: not by a command that only looks at them.
	cleanTime  = time.Hour
	firstClean = time.Minute

	// cleanBatch is about how many steps are removed in one transaction.
	cleanBatch = 5000

	// stepSize is what a step counts for besides its texts, in octets.
	stepSize = 100
)
