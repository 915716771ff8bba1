// Package arc verifies and makes Authenticated Received Chains: what servers that a
// message has passed say about how it was authenticated when they received it,
// signed so that a later one can tell who says so.
//
// [Verify] validates the chain of a message and returns a [Result] for the decision
// about delivery: whether the chain holds, who has sealed it, and what each of them
// has found. A chain that holds says that the statements in it were made by those
// domains. Whether to believe these is for the caller. [Seal] adds a set to a chain.
//
// Hashing, canonicalisation, keys and tag lists are those of package dkim; earlier
// Authentication-Results are read with message/trace. Work does not grow with the
// square of the number of sets: the header fields of earlier sets are hashed once for
// all seals. The body is read once.
//
// The package does no I/O but through the io.ReaderAt and the resolver it is given,
// has no state, and logs only through the logger it is given.
//
// RFCs: 8617.
package arc
