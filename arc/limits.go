package arc

// Limits on what the sender of a message can make us do.
const (
	// MaxSets is the number of sets in a chain, RFC 8617 §4.2.1.
	MaxSets = 50
	// MaxHeaderWork is how many bytes of header are hashed for message signatures
	// other than the latest one. They are only for Result.OldestPass, which is a
	// higher instance if this is reached.
	MaxHeaderWork = 64 << 20
)
