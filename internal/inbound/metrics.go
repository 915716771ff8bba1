package inbound

import "mox/internal/metrics"

// lookupBuckets are for what takes lookups in DNS, in seconds.
var lookupBuckets = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 60}

var (
	metricIPRev = metrics.NewCounterVec("mox_iprev_lookup_total",
		"Checks whether the name of a client's address has that address, by result.", "status")
	metricSPF = metrics.NewHistogramVec("mox_spf_verify_duration_seconds",
		"Duration of SPF checks of incoming messages, by result.", lookupBuckets, "status")
	metricDKIM = metrics.NewHistogramVec("mox_dkim_verify_duration_seconds",
		"Duration of verifying the signatures of an incoming message, once for each signature, by its algorithm and result.", lookupBuckets, "algorithm", "status")
	metricDMARC = metrics.NewHistogramVec("mox_dmarc_verify_duration_seconds",
		"Duration of DMARC evaluations of incoming messages, by result, whether the policy is to reject, and whether it is used.", lookupBuckets, "status", "reject", "use")
	metricDNSBL = metrics.NewHistogramVec("mox_dnsbl_lookup_duration_seconds",
		"Duration of asking a DNS blocklist about the address of a client, by result.", lookupBuckets, "zone", "status")
	metricSubjectPassGenerate = metrics.NewCounter("mox_subjectpass_generate_total",
		"Tokens that authors of refused messages were given, to put in the subject.")
	metricSubjectPassVerify = metrics.NewCounterVec("mox_subjectpass_verify_total",
		"Tokens that were found in subjects, by result: ok, expired, invalid, malformed.", "result")
)
