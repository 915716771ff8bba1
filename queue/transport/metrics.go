package transport

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mox/internal/metrics"
	"mox/smtpclient"
)

var (
	metricConnection = metrics.NewCounterVec("mox_queue_connection_total",
		"Connections for outgoing messages, with result: ok, reused, timeout, canceled, error.", "result")
	metricCommand = metrics.NewHistogramVec("mox_smtpclient_command_duration_seconds",
		"Time until replies of servers to our SMTP commands, with reply code, and class and subject of the enhanced code. Code 0 is for no reply.",
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
	metricClientTLSRequiredNo = metrics.NewCounterVec("mox_smtpclient_tlsrequiredno_ignored_total",
		"Certificates that were wrong and were ignored for messages with TLS-Required: No, by what they did not match: daneverification, badcertificate. They count as badtls for the queue, too.", "ignored")
	metricDANEVerify = metrics.NewCounter("mox_dane_verify_total",
		"Hosts that were verified with DANE, with or without success.")
	metricDANEVerifyErrors = metrics.NewCounter("mox_dane_verify_errors_total",
		"Hosts whose certificates did not match the records for DANE.")
	metricRequireTLS = metrics.NewCounterVec("mox_queue_requiretls_unsupported_total",
		"Hosts that could not be used for messages with REQUIRETLS: nopolicy, norequiretls.", "reason")
	metricFallback = metrics.NewCounter("mox_queue_plaintext_fallback_total",
		"Second connections without TLS, after TLS had failed.")
	metricUnanswered = metrics.NewCounter("mox_queue_unanswered_total",
		"Messages that were sent and to which no reply came, so that the next attempt may deliver them twice.")
	metricPool = metrics.NewGaugeVec("mox_queue_connections",
		"Open connections for outgoing messages, with state: idle, busy.", "state")
)

// connectionLabel returns the label for an error of connecting, which may be nil.
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

// knownCodes are the reply codes of RFC 5321 §4.2.3, RFC 4954 §6, RFC 3207 §4, RFC 7504
// and RFC 5248.
var knownCodes = []int{
	211, 214, 220, 221, 235, 250, 251, 252, 334, 354, 421, 432, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504, 521, 523, 530, 534, 535, 538,
	550, 551, 552, 553, 554, 555, 556,
}

// observeCommand counts a command. What servers say must not make many series, so
// other codes count by their class, and enhanced ones by class and subject.
func observeCommand(command string, r smtpclient.Reply, took time.Duration) {
	metricCommand.WithLabelValues(command, codeLabel(r.Code), subjectLabel(r.Enhanced)).Observe(took.Seconds())
}

func codeLabel(code int) string {
	if code == 0 || slices.Contains(knownCodes, code) {
		return strconv.Itoa(code)
	}
	return strconv.Itoa(code/100) + "xx"
}

// subjectLabel returns class and subject of an enhanced code, RFC 3463 §3.
func subjectLabel(enhanced string) string {
	f := strings.Split(enhanced, ".")
	if len(f) != 3 || len(f[0]) != 1 || len(f[1]) != 1 {
		return ""
	}
	return f[0] + "." + f[1]
}
