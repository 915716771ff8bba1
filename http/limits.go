package http

import "time"

// Limits of connections. Requests have limits of their own, see the constants below.
const (
	headerTimeout = 30 * time.Second // For a TLS handshake, and for the header of a request.
	idleTimeout   = 65 * time.Second // Between two requests of a connection.
	proxyTimeout  = 10 * time.Second // For the header of the PROXY protocol.
	// monitorTimeout is for a response of a port for monitoring. Profiles take as long as
	// they are asked to.
	monitorTimeout = 5 * time.Minute
	healthTimeout  = 10 * time.Second // For finding out whether the server works.
	maxHeader      = 64 << 10         // Of a request, in octets.
	maxStreams     = 100              // Requests of a connection with HTTP/2 at a time.

	// stallTimeout is how long a client may take until it has read, or sent, the next
	// chunk of a body, and chunkSize how large one is at most.
	stallTimeout = time.Minute
	chunkSize    = 64 << 10
	// restTimeout is for the rest of a body that a handler has not read.
	restTimeout = 5 * time.Second
	// deadlineStep is how often a deadline is moved at most.
	deadlineStep = time.Second
)

// Limits of requests of a client; networks around it may make more, see package
// ratelimit.
const (
	requestsPerMinute = 1000
	requestsPerHour   = 5000
)

// Limits of connections to other servers.
const (
	dialTimeout        = 30 * time.Second
	backendIdle        = 90 * time.Second
	maxBackendIdle     = 100 // Connections, all servers together.
	maxBackendIdleHost = 20
	maxBackendHeader   = 256 << 10
	continueTimeout    = time.Second
)

// Sizes of responses that are compressed, in bytes, where they are known: the smaller
// ones fit into a packet as they are.
const (
	minCompress = 1 << 10
	maxCompress = 10 << 20
)

// Limits of compressed copies of static files that are kept.
const (
	maxCopiesSize = 512 << 20 // Of all, in bytes.
	maxCopies     = 10_000
	maxMaking     = 4 // At a time; each is in memory.

	// copySettle is how long a file must not have changed to be copied, and copyUse how often
	// it is noted that a copy was used, at most.
	copySettle = 2 * time.Second
	copyUse    = time.Hour
)

// maxListing is how many files of a directory are listed.
const maxListing = 10000
