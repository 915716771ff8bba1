package training

import "mox/internal/metrics"

// pkgName is the name of this package in logs and metrics.
const pkgName = "training"

var (
	metricLessons = metrics.NewCounterVec("mox_junk_lessons_total",
		"Lessons for junk filters: learned, or skipped because the message is gone or cannot be read.",
		"result")
	metricErrors = metrics.NewCounter("mox_junk_training_errors_total",
		"Batches of lessons that failed and are tried again later.")
	metricRebuilds = metrics.NewCounterVec("mox_junk_rebuilds_total",
		"Junk filters that were made anew, by why.",
		"reason")
	metricOpen = metrics.NewGauge("mox_junk_filters_open",
		"Junk filters that are open.")
)
