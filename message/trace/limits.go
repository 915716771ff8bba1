package trace

// Limits on what strangers can make us do and write.
const (
	// MaxLen is the length in bytes of a field value that [Parse] reads.
	MaxLen = 64 << 10
	// MaxResults is the number of results in one field.
	MaxResults = 200
	// MaxProps is the number of properties of one result.
	MaxProps = 100
	// MaxCommentDepth is how deep comments nest.
	MaxCommentDepth = 20
	// MaxText is the number of bytes of a value, reason or comment that is written;
	// the rest is cut off, so that no line comes near the 998 characters of RFC 5322
	// §2.1.1, also when each byte needs quoting.
	MaxText = 400
	// MaxKeyword is the number of bytes of a method, result or property name that is
	// written.
	MaxKeyword = 64
)
