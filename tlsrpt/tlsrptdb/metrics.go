package tlsrptdb

import (
	"slices"

	"mox/internal/metrics"
	"mox/tlsrpt"
)

// What reporters say about sessions with our servers.
var metricSession = metrics.NewCounterVec("mox_tlsrptdb_session_total",
	"Sessions in received TLS reports: success, or the kind of failure, which is other for unknown ones.", "type")

// pkgName is the name of this package in metrics.
const pkgName = "tlsrptdb"

var metricDropped = metrics.NewCounter("mox_tlsrptdb_result_dropped_total",
	"Results of outgoing TLS sessions that will not be in TLS reports, because there are too many or they could not be written.")

// sessionTypes are the result types with a label of their own.
var sessionTypes = []tlsrpt.ResultType{
	tlsrpt.ResultStartTLSNotSupported, tlsrpt.ResultCertificateHostMismatch, tlsrpt.ResultCertificateExpired, tlsrpt.ResultCertificateNotTrusted,
	tlsrpt.ResultValidationFailure, tlsrpt.ResultTLSAInvalid, tlsrpt.ResultDNSSECInvalid, tlsrpt.ResultDANERequired,
	tlsrpt.ResultSTSPolicyFetchError, tlsrpt.ResultSTSPolicyInvalid, tlsrpt.ResultSTSWebPKIInvalid,
}

// sessionType returns the label for a result type, which reporters choose.
func sessionType(t tlsrpt.ResultType) string {
	if slices.Contains(sessionTypes, t) {
		return string(t)
	}
	return "other"
}

// sessions counts sessions by label.
func sessions(policies []tlsrpt.PolicyResult) map[string]float64 {
	m := map[string]float64{}
	for _, p := range policies {
		m["success"] += float64(bound(p.Successes))
		detailed := 0.0
		for _, f := range p.FailureDetails {
			m[sessionType(f.ResultType)] += float64(bound(f.Count))
			detailed += float64(bound(f.Count))
		}
		// Details may be left out, RFC 8460 §4.4.
		if rest := float64(bound(p.Failures)) - detailed; rest > 0 {
			m["other"] += rest
		}
	}
	return m
}
