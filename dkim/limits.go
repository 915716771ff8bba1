package dkim

import "time"

// Limits on what the sender of a message, and the operator of a domain, can make us
// do.
const (
	// MaxSignatures is the number of signatures of a message that are looked at.
	MaxSignatures = 10
	// MaxSignatureLen is the length in bytes of a signature field. Tag z=, with
	// copies of header fields, is what makes them long.
	MaxSignatureLen = 32 << 10
	// MaxSignedFields is the number of names in tag h=.
	MaxSignedFields = 1000
	// MaxTags is the number of tags in a tag list.
	MaxTags = 50

	// MaxHeader is the size in bytes of a header section. Fields are read from the
	// message again each time that one is hashed, so this bounds time, not memory.
	MaxHeader = 16 << 20
	// MaxFields is the number of fields in a header section.
	MaxFields = 20_000

	// MaxRecordLen is the length in bytes of a key record. The largest RSA key that
	// is taken needs 1.5 KB.
	MaxRecordLen = 8 << 10
	// MaxRecords is the number of TXT records at one name that are looked at.
	MaxRecords = 10
	// MinRSABits and MaxRSABits are the lengths of RSA keys that are taken. RFC 8301
	// §3.2 requires the former, and no more than 4096 bits; the latter bounds the time
	// that a verification takes.
	MinRSABits = 1024
	MaxRSABits = 8192

	// LookupTimeout is how long the lookups of all keys of a message may take.
	LookupTimeout = 30 * time.Second
	// MaxLookups is the number of lookups at the same time.
	MaxLookups = 10
)

// Sizes of buffers.
const (
	headWindow = 64 << 10 // Of a header section that is kept in memory.
	readSize   = 32 << 10 // That a body is read in.
	canonSize  = 4 << 10  // Of canonicalised text that goes to a hash at a time.
)
