package updates

import "mox/internal/metrics"

var (
	metricLookup = metrics.NewHistogramVec("mox_updates_lookup_duration_seconds",
		"Lookups of the latest version, with result: ok, notfound, syntax, error.",
		[]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30}, "result")
	metricFetch = metrics.NewHistogramVec("mox_updates_fetchchangelog_duration_seconds",
		"Requests for what has changed since a version, with result: ok, error.",
		[]float64{0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 60}, "result")
)
