package spf

import "time"

// Limits of an evaluation, RFC 7208 §4.6.4.
const (
	// MaxTerms is how many terms that take DNS lookups are evaluated: include, a, mx,
	// ptr, exists, redirect and the macro %{p}, in all records together.
	MaxTerms = 10

	// MaxVoidTerms is how many of those may have a lookup that finds nothing.
	MaxVoidTerms = 2

	// MaxMX is how many hosts an mx may have. With more, it is a permerror.
	MaxMX = 10

	// MaxPTR is how many names of the client's address are looked at. Others are
	// ignored.
	MaxPTR = 10

	// CheckTimeout bounds a check in time, also when the context has no deadline.
	CheckTimeout = time.Minute
)

// Limits of sizes, in bytes.
const (
	// MaxRecord is the size of a record: what fits in a TXT record, RFC 1035 §3.2.1.
	MaxRecord = 1<<16 - 1

	// MaxExplanation is the size of an explanation. More is cut off.
	MaxExplanation = 800

	// MaxProblem is the size of Result.Problem. More is cut off.
	MaxProblem = 200

	// maxValue is the size of a value in a Received-SPF field before quoting, so that
	// with escapes it fits in a line, RFC 5322 §2.1.1.
	maxValue = 320
)
