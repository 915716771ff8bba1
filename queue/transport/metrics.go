package transport

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"mox/internal/metrics"
	"mox/smtpclient"
)

var (
	metricConnection = metrics.NewCounterVec("mox_queue_connection_total",
		"Connections for outgoing messages, with result: ok, reused, timeout, canceled, error.", "result")
	metricCommand = metrics.NewHistogramVec("mox_smtpclient_command_duration_seconds",
		"Time until replies of servers to our SMTP commands, with reply code and enhanced code. Code 0 is for none.",
		metrics.CommandBuckets(), "cmd", "code", "secode")
	metricDestinations = metrics.NewCounter("mox_queue_destinations_total",
		"Hosts of recipient domains that were tried.")
	metricDestinationsAuthentic = metrics.NewCounter("mox_queue_destinations_authentic_total",
		"Hosts that were tried and found with DNSSEC all the way.")
	metricDANERequired = metrics.NewCounter("mox_queue_destination_dane_required_total",
		"Hosts that were tried and must be verified with DANE.")
	metricDANEUnverified = metrics.NewCounter("mox_queue_destination_dane_starttlsunverified_total",
		"Hosts that were tried and have TLSA records of which none is usable: TLS was required without verification.")
	metricDANEErrors = metrics.NewCounter("mox_queue_destination_dane_gathertlsa_errors_total",
		"Hosts whose TLSA records could not be looked up.")
	metricTLSRequiredNo = metrics.NewCounterVec("mox_queue_tlsrequiredno_ignored_total",
		"Problems that were ignored for messages with TLS-Required: No: mtastspolicy, mtastsmx, badtls, badtlsa.", "ignored")
	metricRequireTLS = metrics.NewCounterVec("mox_queue_requiretls_unsupported_total",
		"Hosts that could not be used for messages with REQUIRETLS: nopolicy, norequiretls.", "reason")
	metricFallback = metrics.NewCounter("mox_queue_plaintext_fallback_total",
		"Second connections without TLS, after TLS had failed.")
	metricUnanswered = metrics.NewCounter("mox_queue_unanswered_total",
		"Messages that were sent and to which no reply came, so that the next attempt may deliver them twice.")
	metricPool = metrics.NewGaugeVec("mox_queue_connections",
		"Open connections for outgoing messages, with state: idle, busy.", "state")
)

// connectionLabel returns the label for an error of connecting, or nil.
func connectionLabel(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return "error"
}

// observeCommand counts a command. The enhanced code is that of a server, so it
// counts only if it is of a form of which there are few.
func observeCommand(command string, r smtpclient.Reply, took time.Duration) {
	secode := r.Enhanced
	if len(secode) > len("5.7.30") || len(secode) < len("5.0.0") {
		secode = ""
	}
	metricCommand.WithLabelValues(command, strconv.Itoa(r.Code), secode).Observe(took.Seconds())
}
