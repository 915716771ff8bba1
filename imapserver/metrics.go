package imapserver

import "mox/internal/metrics"

var (
	metricConnections = metrics.NewCounterVec("mox_imap_connection_total",
		"IMAP connections, by service: imap for plain text, imaps for TLS from the start.", "service")
	metricRefused = metrics.NewCounterVec("mox_imap_refused_total",
		"IMAP connections that were closed at once, by reason: full for too many of all together, proxy without a header that tells the client.", "reason")
	metricCommands = metrics.NewHistogramVec("mox_imap_command_duration_seconds",
		"Duration of IMAP commands, by command and result: ok, badsyntax, usererror, servererror, ioerror, panic.",
		[]float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20}, "cmd", "result")
)

// Results of a command in metricCommands.
const (
	resultOK     = "ok"
	resultBad    = "badsyntax"
	resultNo     = "usererror"
	resultServer = "servererror"
	resultIO     = "ioerror"
	resultPanic  = "panic"
)
