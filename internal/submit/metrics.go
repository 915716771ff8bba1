package submit

import "mox/internal/metrics"

// pkgName is the name of this package in metrics.
const pkgName = "submit"

var (
	metricSign = metrics.NewCounterVec("mox_dkim_sign_total",
		"DKIM signatures made for outgoing messages, by kind of key: rsa, ed25519.", "key")
	metricSignErrors = metrics.NewCounter("mox_dkim_sign_errors_total",
		"Outgoing messages that could not be signed with DKIM and were queued without signatures.")
)
