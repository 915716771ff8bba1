package dmarcdb

import "time"

// Limits on received reports. Reports come from anyone with a domain that passes
// DMARC.
const (
	// MaxReporterDay is how many reports about a domain are stored in 24 hours that an
	// organizational domain has sent. Further ones are refused, so that one reporter
	// cannot displace the others. Large providers send one for each of their
	// clusters or customers.
	MaxReporterDay = 200

	// MaxDomainDay is the same for all reporters together.
	MaxDomainDay = 2000

	// MaxDomainReports and MaxDomainSize, in bytes, are what is kept about a domain. The
	// reports that came first are removed for new ones.
	MaxDomainReports = 50_000
	MaxDomainSize    = 256 << 20

	// MaxContent is the size in bytes, when compressed, of the records that are kept of
	// a report, and MaxContentText that before. Of larger reports the first records
	// are kept, and numbers about all of them.
	MaxContent     = 1 << 20
	MaxContentText = 16 << 20

	// maxText is the length in bytes that is kept of names in reports.
	maxText = 256
)

// Limits on evaluations. What is beyond them is counted in metrics and dropped:
// reports then say too little, and nothing else is harmed.
const (
	// EvaluationAge is how long evaluations are kept for reports.
	EvaluationAge = 48 * time.Hour

	// MaxDomainEvaluations is how many records there may be for a policy domain, and
	// MaxEvaluations for all together. A record takes about half a kilobyte.
	MaxDomainEvaluations = 20_000
	MaxEvaluations       = 200_000

	// maxPending is how many records may wait to be written.
	maxPending = 10_000

	// maxRUA is how many addresses for reports are kept, in the order of the record.
	maxRUA = 10

	// maxSignatures is how many DKIM results are kept, those that count most.
	maxSignatures = 10

	// maxReasons is how many reasons for not following a policy are kept.
	maxReasons = 5
)

// writeDelay is how long evaluations are collected before they are written.
const writeDelay = time.Second

// removeBatch is how many records are removed in one transaction.
const removeBatch = 1000
