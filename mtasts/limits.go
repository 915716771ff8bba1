package mtasts

import "time"

// Limits on what a domain can make us read and wait for.
const (
	// MaxPolicySize is how many octets a policy may have, as RFC 8461 §3.3 suggests.
	MaxPolicySize = 64 * 1024

	// FetchTimeout bounds fetching a policy, with lookups in DNS and everything else,
	// as RFC 8461 §3.3 suggests.
	FetchTimeout = time.Minute

	// MaxAge is the largest time for which a policy may be kept, RFC 8461 §3.2: a year
	// with a leap day on average.
	MaxAge = 31557600 * time.Second

	// maxRecordSize is for one TXT record, in octets. Real ones have about 40.
	maxRecordSize = 8 * 1024

	// maxResponseHeader is for the header of an HTTP response, in octets.
	maxResponseHeader = 64 * 1024

	// maxAddresses is how many addresses of a policy host are tried.
	maxAddresses = 8

	// dialTimeout is for a connection to one of the addresses.
	dialTimeout = 20 * time.Second
)
