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

// openTimeout is how long to wait for another process that has the database.
const openTimeout = 5 * time.Second
