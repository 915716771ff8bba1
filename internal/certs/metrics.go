package certs

import (
	"crypto/x509"

	"mox/internal/metrics"
)

var (
	metricMissingName = metrics.NewCounter("mox_autotls_missing_servername_total",
		"TLS connections whose client named no host, where certificates come from ACME.")
	metricUnknownName = metrics.NewCounter("mox_autotls_unknown_servername_total",
		"TLS connections whose client named a host that no certificate is requested for.")
	metricRequestErrors = metrics.NewCounterVec("mox_autotls_cert_request_errors_total",
		"Requests for a certificate that failed, by authority as in the configuration. They are tried again.", "acme")
	metricObtained = metrics.NewCounterVec("mox_autotls_certput_total",
		"Certificates from ACME that were stored, by authority as in the configuration and whether one was replaced.", "acme", "renewal")
	metricExpiry = metrics.NewGaugeVec("mox_certificate_expiry_timestamp_seconds",
		"Until when the certificate in use is valid, as seconds since 1970, by host and kind of key (or \"file\").", "host", "key")
)

// observe sets the time until which a certificate is valid.
func observe(leaf *x509.Certificate, key string) {
	if leaf == nil {
		return
	}
	host := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		host = leaf.DNSNames[0]
	}
	metricExpiry.WithLabelValues(host, key).Set(float64(leaf.NotAfter.Unix()))
}
