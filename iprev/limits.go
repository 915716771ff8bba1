package iprev

import "time"

const (
	// MaxNames is how many names of an address are looked at. Others are ignored, as
	// RFC 8601 §3 asks for.
	MaxNames = 10

	// CheckTimeout bounds a check in time, also when the context has no deadline.
	CheckTimeout = time.Minute
)
