package imap

// A ThreadAlgorithm is how THREAD puts messages into threads. RFC 5256 §3
type ThreadAlgorithm string

// Threading algorithms.
const (
	ThreadOrderedSubject ThreadAlgorithm = "ORDEREDSUBJECT"
	ThreadReferences     ThreadAlgorithm = "REFERENCES"
)
