package smtpserver

import "mox/internal/metrics"

// pkg is the name of this package in logs and the panic counter.
const pkg = "smtpserver"

var (
	metricConnection = metrics.NewCounterVec("mox_smtpserver_connection_total",
		"Incoming SMTP connections that were served, by kind of listener.", "kind")
	metricRefused = metrics.NewCounterVec("mox_smtpserver_refused_total",
		"Incoming SMTP connections that were closed at once, by kind of listener and limit: rate, auth, open, full; proxy without a header that tells the client.", "kind", "reason")
	metricCommands = metrics.NewHistogramVec("mox_smtpserver_command_duration_seconds",
		"Duration and result codes of SMTP commands.", metrics.CommandBuckets(), "kind", "cmd", "code", "ecode")
	metricDelivery = metrics.NewCounterVec("mox_smtpserver_delivery_total",
		"Incoming messages, per recipient, by result: delivered, reject, unknownuser, accounterror, delivererror. An alias counts once for each member that got a message, and once if it was refused.", "result", "reason")
	metricSubmission = metrics.NewCounterVec("mox_smtpserver_submission_total",
		"Submitted messages, by result.", "result")
	metricErrors = metrics.NewCounterVec("mox_smtpserver_errors_total",
		"Errors that do not show in a reply.", "error")
	metricSTARTTLS = metrics.NewCounter("mox_smtpserver_delivery_starttls_total",
		"STARTTLS handshakes of incoming deliveries.")
	metricSTARTTLSErrors = metrics.NewCounterVec("mox_smtpserver_delivery_starttls_errors_total",
		"Failed STARTTLS handshakes of incoming deliveries, by reason.", "reason")
)
