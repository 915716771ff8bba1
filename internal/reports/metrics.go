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
	metricDNSBL = metrics.NewGaugeVec("mox_dnsbl_ips_success",
		"Whether an IP address of this server is not on a DNS blocklist: 1 for not listed, 0 for listed, -1 for an error.", "zone", "ip")
)
