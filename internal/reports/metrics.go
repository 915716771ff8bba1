package reports

import "mox/internal/metrics"

// pkgName is the name of this package in metrics.
const pkgName = "reports"

var (
	metricDMARCQueued = metrics.NewCounter("mox_dmarcdb_report_queued_total",
		"Messages with DMARC aggregate reports that were queued.")
	metricDMARCError = metrics.NewCounter("mox_dmarcdb_report_error_total",
		"Errors while making or queueing DMARC aggregate reports, also temporary ones.")
	metricTLSQueued = metrics.NewCounter("mox_tlsrptsend_report_queued_total",
		"Messages with TLS reports that were queued.")
	metricTLSError = metrics.NewCounter("mox_tlsrptsend_report_error_total",
		"Errors while making or queueing TLS reports, also temporary ones.")
	metricTLSLookup = metrics.NewHistogramVec("mox_tlsrpt_lookup_duration_seconds",
		"Lookups of who wants TLS reports, with result: ok, notfound, temperror, error for a record that cannot be used.",
		[]float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30}, "result")
	metricDMARCFailure = metrics.NewCounter("mox_queue_dmarcreport_failure_total",
		"Recipients of DMARC reports of ours that could not be delivered.")
	metricTLSFailure = metrics.NewCounter("mox_queue_tlsreport_failure_total",
		"Recipients of TLS reports of ours that could not be delivered.")
	metricDNSBL = metrics.NewGaugeVec("mox_dnsbl_ips_success",
		"Whether an IP address of this server is not on a DNS blocklist: 1 for not listed, 0 for listed, -1 for an error.", "zone", "ip")
)
