package tlsrpt

// Limits on what a domain or a reporter can make us read.
const (
	// MaxMessageSize is for a message with a report, in bytes.
	MaxMessageSize = 15 << 20

	// MaxReportSize is for a report without compression, in bytes.
	MaxReportSize = 20 << 20

	// MaxPolicies is how many policies a report may have, each with a summary.
	MaxPolicies = 10_000

	// MaxFailureDetails is how many failure details a report may have, over all
	// policies.
	MaxFailureDetails = 100_000

	// maxStrings is how many strings there may be in arrays: lines of policies, and
	// patterns of hosts.
	maxStrings = 100_000

	// MaxRUA is how many addresses of a record are kept.
	MaxRUA = 10

	// maxRecordSize is for one TXT record, in bytes.
	maxRecordSize = 16 * 1024
)
