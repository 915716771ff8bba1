package reports

import "time"

// Limits on what domains that ask for reports can make us do.
const (
	// maxAddresses is how many addresses of a record get a report, in its order.
	maxAddresses = 10

	// maxPolicies is how many different policies of a domain in one day are reported, each
	// in reports of its own (RFC 9990 §3.1.2).
	maxPolicies = 10

	// maxRows is how many records a DMARC report has. Further ones are in another report.
	// Records have up to 10 KB as XML, and receivers take reports of 10 to 20 MB.
	maxRows = 2000

	// maxReports is how many DMARC reports a domain gets for one day.
	maxReports = 20

	// maxDetails is how many details of failures a TLS report has. Further failures are
	// only counted.
	maxDetails = 10_000

	// maxMessage is the size in bytes of a message with a report.
	maxMessage = 10 << 20

	// maxParallel is how many reports of a kind are made at the same time.
	maxParallel = 4

	// maxSent is how many reports are remembered as sent, see [Sender.once].
	maxSent = 10_000

	// domainTimeout is for all DNS lookups and database work for one domain.
	domainTimeout = 3 * time.Minute

	// maxAttempts is how often delivery of a report is tried.
	maxAttempts = 5
)

// Times at which reports are sent. Servers all over the world send reports when a day
// of UTC is over.
const (
	// A round of DMARC reports starts at a random time after a whole hour.
	dmarcDelayMin, dmarcDelayMax = 30 * time.Second, 90 * time.Second

	// A round of TLS reports comes later, as is usual.
	tlsDelayMin, tlsDelayMax = 240 * time.Second, 360 * time.Second

	// dmarcSpread is over which time the reports of a round are spread. For TLS reports
	// it could be more, but what is left must be tried again in the next hour.
	dmarcSpread, tlsSpread = 45 * time.Minute, 45 * time.Minute

	// maxPause is the longest time between two reports.
	maxPause = 5 * time.Minute

	// hostsWait is for how long reports about hosts wait for those to recipient domains,
	// so that who is responsible for both is told once.
	hostsWait = 24 * time.Hour
)

// Times and limits of [Monitor].
const (
	monitorStep        = 5 * time.Minute // Between looks at whether it is time.
	monitorAge         = 3 * time.Hour   // After which it is time.
	monitorConnections = 100             // After which it is time earlier.
	monitorPause       = time.Second     // Between two lookups.

	// maxMonitored is how many pairs of address and zone are looked up.
	maxMonitored = 500
)
