// Package metrics has constructors for Prometheus metrics, which are registered
// in one registry and listed for the generated documentation.
//
// A metric is a variable of the package that counts it, the one kind of mutable
// package state in this project:
//
//	var metricDelivery = metrics.NewCounterVec("mox_smtpserver_delivery_total",
//		"Incoming messages, by outcome.", "result", "reason")
//
// Mail libraries have none: they are given hooks. Registering a name twice or with
// invalid labels is a programming error and panics when the program starts.
// Everything is safe for concurrent use.
package metrics
