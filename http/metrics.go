package http

import "mox/internal/metrics"

// pkgName is the name of this package in logs and metrics.
const pkgName = "http"

var (
	metricRequest = metrics.NewHistogramVec("mox_httpserver_request_duration_seconds",
		"Time until the status line of a response, by handler, protocol (http, https, ws, wss), method and status code.", metrics.CommandBuckets(), "handler", "proto", "method", "code")
	metricResponse = metrics.NewHistogramVec("mox_httpserver_response_duration_seconds",
		"Time until the end of a response, by handler, protocol (http, https, ws, wss), method and status code.", metrics.CommandBuckets(), "handler", "proto", "method", "code")
	metricCopies = metrics.NewCounterVec("mox_httpserver_static_copies_total",
		"Static files that clients take compressed, by where that came from: kept, a copy on disk; made, one that was made for it. Without a copy: unsettled, the file has just changed; busy, the copy or too many others are being made; error.", "result")
	metricRefused = metrics.NewCounterVec("mox_httpserver_refused_total",
		"Connections and requests that were refused, by limit: connrate, open, full; requests; proxy without a header that tells the client.", "reason")
)
