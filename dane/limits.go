package dane

import "time"

// Limits on what a domain or server can make us do.
const (
	// MaxAliases is how many CNAME records are followed for a host.
	MaxAliases = 10

	// MaxDestinationAliases is how many CNAME records are followed for a domain that
	// mail is for.
	MaxDestinationAliases = 16

	// MaxRecords is how many TLSA records of a name are looked at.
	MaxRecords = 100

	// maxChain is how many certificates of a server are looked at, its own included.
	maxChain = 20

	// maxRSABits is the size of RSA keys in records, which is what package tls allows for
	// those in certificates. The time for a signature grows with the square of it.
	maxRSABits = 8192

	// maxAddresses is how many addresses Dial tries.
	maxAddresses = 8

	// dialTimeout is for a connection to one address, and for the TLS handshake.
	dialTimeout = 30 * time.Second
)
