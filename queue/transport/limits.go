package transport

import "time"

// Limits on what a domain or server can make us do in one attempt.
const (
	// DialTimeout is for looking up a host and connecting to one of its addresses. Each
	// address gets a part of it.
	DialTimeout = 30 * time.Second

	// minDial is what each address gets at least.
	minDial = 2 * time.Second

	// MaxHosts is how many hosts of a domain are tried. RFC 5321 §5.1 wants at least two.
	MaxHosts = 10

	// MaxAddresses is how many addresses of a host are tried.
	MaxAddresses = 6

	// maxTranscript is how many lines a transcript has, and maxTranscriptLine how many
	// octets one has at most.
	maxTranscript     = 100
	maxTranscriptLine = 512

	// maxReplyText is how many octets of a reply are kept.
	maxReplyText = 4096
)

// Defaults of PoolOptions.
const (
	// DefaultIdle is how long a connection waits for another message. Servers have
	// better uses for their connections, RFC 5321 §4.5.3.2.7 notwithstanding.
	DefaultIdle = 10 * time.Second

	DefaultPerDestination = 10
	DefaultTotal          = 250
	DefaultMaxMessages    = 100
	DefaultMaxAge         = 5 * time.Minute
)

// Limits of what is remembered.
const (
	// maxRemembered is for how many hosts, or messages, something is remembered.
	maxRemembered = 10000

	// maxDialed is how many addresses are remembered for a message and host.
	maxDialed = 8

	// rememberTLS is for how long a host that did TLS must do so again. Each time it
	// does counts.
	rememberTLS = 30 * 24 * time.Hour
)
