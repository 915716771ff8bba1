package dnsbl

import "time"

const (
	// LookupTimeout bounds all lookups of one call in time, also when the context has
	// no deadline.
	LookupTimeout = 30 * time.Second

	// MaxParallel is how many zones LookupAll asks at the same time.
	MaxParallel = 8

	// MaxCodes is how many listing codes are kept of one answer.
	MaxCodes = 32

	// MaxExplanation is the size in bytes of Result.Explanation. More is cut off.
	MaxExplanation = 400
)
