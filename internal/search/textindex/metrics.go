package textindex

import "mox/internal/metrics"

const pkgName = "textindex"

var (
	metricMessages = metrics.NewCounterVec("mox_search_index_messages_total",
		"Messages for text indexes: added, skipped because they are too long or cannot be read, or removed.",
		"result")
	metricErrors = metrics.NewCounter("mox_search_index_errors_total",
		"Batches for text indexes that failed and are tried again later.")
	metricRebuilds = metrics.NewCounterVec("mox_search_index_rebuilds_total",
		"Text indexes that were made anew, by why.",
		"reason")
	metricOpen = metrics.NewGauge("mox_search_indexes_open",
		"Text indexes that are open.")
	metricSize = metrics.NewGauge("mox_search_index_size_bytes",
		"Size of the files of text indexes that are open.")
	metricText = metrics.NewGauge("mox_search_index_text_bytes",
		"Size of the texts in text indexes that are open, before compression.")
)
