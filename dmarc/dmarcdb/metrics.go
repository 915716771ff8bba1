package dmarcdb

import "mox/internal/metrics"

// What reporters say about messages with our domains in From.
var (
	metricEvaluated = metrics.NewCounterVec("mox_dmarcdb_policy_evaluated_total",
		"Messages in received DMARC aggregate reports, by policy domain, what was done with them, and whether aligned DKIM and SPF results passed.",
		"domain", "disposition", "dkim", "spf")
	metricDKIM = metrics.NewCounterVec("mox_dmarcdb_dkim_result_total",
		"Messages in received DMARC aggregate reports, by result of a DKIM signature.", "result")
	metricSPF = metrics.NewCounterVec("mox_dmarcdb_spf_result_total",
		"Messages in received DMARC aggregate reports, by result of SPF.", "result")
	metricDropped = metrics.NewCounter("mox_dmarcdb_evaluation_dropped_total",
		"Evaluations of incoming messages that will not be in aggregate reports, because there are too many or they could not be written.")
)
