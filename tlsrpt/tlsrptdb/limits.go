package tlsrptdb

import "time"

// Limits on received reports. They come from anyone with a domain that can sign.
const (
	// MaxReporterDay is how many reports about a domain are stored in 24 hours that an
	// organizational domain has sent. Further ones are refused, so that one reporter
	// cannot displace the others.
	MaxReporterDay = 100

	// MaxDomainDay is the same for all reporters together.
	MaxDomainDay = 2000

	// MaxDomainReports and MaxDomainSize, in bytes, are what is kept about a domain. The
	// reports that came first are removed for new ones.
	MaxDomainReports = 50_000
	MaxDomainSize    = 256 << 20

	// MaxDomains is how many domains of ours of one report are looked at.
	MaxDomains = 100

	// MaxContent is the size in bytes, when compressed, of what is kept of the policies
	// of a report, and MaxContentText that before. Of larger reports the first details
	// are kept, and numbers about all of them.
	MaxContent     = 1 << 20
	MaxContentText = 16 << 20

	// maxText is the length in bytes that is kept of names in reports.
	maxText = 256
)

// Limits on results of our own deliveries. What is beyond them is counted in metrics
// and dropped: reports then say too little, and nothing else is harmed.
const (
	// ResultAge is for how long results are kept for reports after their day.
	ResultAge = 48 * time.Hour

	// MaxResults is how many records there may be. MaxPolicyDay is how many of them for a
	// policy domain and day, each for another recipient domain, and MaxRecipientDay for
	// a recipient domain and day, each for another host.
	MaxResults      = 200_000
	MaxPolicyDay    = 1000
	MaxRecipientDay = 100

	// maxResultPolicies is how many policies a record has, which change during the day,
	// and maxResultDetails how many details of failures each of them. Further failures
	// are only counted.
	maxResultPolicies = 10
	maxResultDetails  = 100

	// maxPending is how many records may wait to be written.
	maxPending = 10_000
)

// Limits on what is known of hosts that did TLS.
const (
	// HostAge is for how long a host must do TLS again that did it. Each time counts.
	HostAge = 30 * 24 * time.Hour

	// MaxHosts is how many hosts are known. Those that did TLS the longest time ago make
	// room for others.
	MaxHosts = 100_000

	// hostStep is how exactly the time is known: each change is a write to disk.
	hostStep = 24 * time.Hour
)

// writeDelay is how long results are collected before they are written.
const writeDelay = time.Second

// removeBatch is how many records are removed in one transaction.
const removeBatch = 1000
