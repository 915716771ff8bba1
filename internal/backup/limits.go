package backup

import "time"

const (
	// DefaultParallel is how many files are copied at a time.
	DefaultParallel = 4
	// MaxParallel is how many may be.
	MaxParallel = 32

	// maxWaiting is how many files wait for others before them in the manifest.
	maxWaiting = 256
	// maxLine is the length of the longest line in a manifest, in octets. A file of 4 TiB
	// has a million chunks.
	maxLine = 256 << 20
	// maxFailures is how many failures of a run are listed. All are counted.
	maxFailures = 1000
	// checkpointFiles and checkpointTime are how often what is done becomes something that
	// the next run can use if this one is interrupted.
	checkpointFiles = 2000
	checkpointTime  = 30 * time.Second
	// progressTime is how often progress is told.
	progressTime = 5 * time.Second
	// chunkSize is how much of a file an object has at most, in octets.
	chunkSize = 4 << 20
	// maxObject is the size of the largest object, in octets: a chunk that is encrypted.
	maxObject = chunkSize + 256<<10
	// requestTimeout is how long a request to storage may take, with all that is tried again.
	requestTimeout = 5 * time.Minute
	// graceTime is how old an object must be to be removed if no snapshot needs it.
	graceTime = 24 * time.Hour
	// removeBatch is how many objects are removed between two looks at the list.
	removeBatch = 1000
	// importBatch and importSize are how many messages, and octets of them, are added in one
	// commit.
	importBatch = 100
	importSize  = 16 << 20
	// maxPrefix is how much the header fields that we added to a message may be, in octets.
	maxPrefix = 1 << 20
	// maxErrorText is how much of an error is remembered, in octets.
	maxErrorText = 4 << 10
)
