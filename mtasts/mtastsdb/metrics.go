package mtastsdb

import (
	"errors"
	"time"

	"mox/internal/metrics"
	"mox/mtasts"
)

// pkgName is the name of this package in metrics.
const pkgName = "mtastsdb"

// Results of DB.Get, as in metrics.
const (
	resultOK       = "ok"
	resultBackoff  = "backoff"
	resultNotFound = "notfound"
	resultError    = "error"
)

var (
	metricGet = metrics.NewCounterVec("mox_mtastsdb_get_total",
		"Lookups of MTA-STS policies for deliveries, with result: ok, notfound, backoff if there is one that could not be fetched, error if that is not known.", "result")
	metricFetch = metrics.NewHistogramVec("mox_mtasts_get_duration_seconds",
		"Time to fetch MTA-STS policies, with result: ok, fetch, certificate, syntax.",
		[]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 60}, "result")
)

// observeFetch counts a fetch.
func observeFetch(start time.Time, err error) {
	result := "fetch"
	switch {
	case err == nil:
		result = "ok"
	case errors.Is(err, mtasts.ErrCertificate):
		result = "certificate"
	case errors.Is(err, mtasts.ErrPolicySyntax):
		result = "syntax"
	}
	metricFetch.WithLabelValues(result).Observe(time.Since(start).Seconds())
}
