package metrics

var metricConnections = NewGaugeVec("mox_connections_count",
	"Open connections of clients, by protocol and listener.", "protocol", "listener")

// ConnectionOpened counts a connection of a client, until [ConnectionClosed] is called
// with the same arguments. The name of the listener is that in the configuration.
func ConnectionOpened(protocol, listener string) {
	metricConnections.WithLabelValues(protocol, listener).Inc()
}

// ConnectionClosed counts a connection no more.
func ConnectionClosed(protocol, listener string) {
	metricConnections.WithLabelValues(protocol, listener).Dec()
}
