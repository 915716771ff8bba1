package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The clock of the server, to be compared with that of the monitoring: login tokens,
// signatures and certificates depend on it.
var _ = register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: clockName, Help: clockHelp}, func() float64 {
	return float64(time.Now().UnixMilli()) / 1000
}), "gauge", clockName, clockHelp, nil)

const (
	clockName = "mox_time_seconds"
	clockHelp = "Clock of the server when the metrics are read, as seconds since 1970."
)
