package daemon

import (
	"log/slog"
	"net/http"

	"mox/dns"
	"mox/internal/metrics"
	"mox/mlog"
)

var (
	metricLookup = metrics.NewHistogramVec("mox_dns_lookup_duration_seconds",
		"DNS lookups, by package that asked, type of record and result.",
		[]float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30},
		"pkg", "type", "result")

	metricLogInfo = metrics.NewCounterVec("mox_logging_level_info_total",
		"Log lines of level info, by package.", "pkg")
	metricLogWarn = metrics.NewCounterVec("mox_logging_level_warn_total",
		"Log lines of level warn, by package.", "pkg")
	metricLogError = metrics.NewCounterVec("mox_logging_level_error_total",
		"Log lines of level error, by package.", "pkg")
)

// CountLogLine counts a log line, for [mlog.Options].Hook.
func CountLogLine(level slog.Level, pkg string) {
	switch level {
	case mlog.LevelInfo:
		metricLogInfo.WithLabelValues(pkg).Inc()
	case mlog.LevelWarn:
		metricLogWarn.WithLabelValues(pkg).Inc()
	case mlog.LevelError:
		metricLogError.WithLabelValues(pkg).Inc()
	}
}

// countPolicies counts requests for MTA-STS policies.
func countPolicies(rt http.RoundTripper) http.RoundTripper {
	return metrics.ClientTransport("mtasts", rt)
}

func observeLookup(o dns.Observation) {
	metricLookup.WithLabelValues(o.Pkg, o.Type, o.Result).Observe(o.Duration.Seconds())
}
