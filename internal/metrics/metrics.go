package metrics

import (
	"cmp"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// registry has the metrics of this program, the Go runtime and the process.
var registry = newRegistry()

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return r
}

// Info describes a metric for the documentation.
type Info struct {
	Name   string
	Type   string // "counter", "gauge" or "histogram".
	Help   string
	Labels []string
}

var declared struct {
	mu    sync.Mutex // Guards infos.
	infos []Info
}

func register[C prometheus.Collector](c C, typ, name, help string, labels []string) C {
	registry.MustRegister(c)
	declared.mu.Lock()
	defer declared.mu.Unlock()
	declared.infos = append(declared.infos, Info{name, typ, help, slices.Clone(labels)})
	return c
}

// List returns what has been declared with the constructors of this package,
// sorted by name.
func List() []Info {
	declared.mu.Lock()
	defer declared.mu.Unlock()
	l := slices.Clone(declared.infos)
	slices.SortFunc(l, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return l
}

// NewCounter declares a counter. Names of counters end in "_total".
func NewCounter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	return register(c, "counter", name, help, nil)
}

// NewCounterVec declares counters with labels.
func NewCounterVec(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	return register(c, "counter", name, help, labels)
}

// NewGauge declares a gauge.
func NewGauge(name, help string) prometheus.Gauge {
	c := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	return register(c, "gauge", name, help, nil)
}

// NewGaugeVec declares gauges with labels.
func NewGaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	return register(c, "gauge", name, help, labels)
}

// NewHistogram declares a histogram. Buckets are upper bounds, increasing; those
// of durations are in seconds.
func NewHistogram(name, help string, buckets []float64) prometheus.Histogram {
	c := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	return register(c, "histogram", name, help, nil)
}

// NewHistogramVec declares histograms with labels.
func NewHistogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	c := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	return register(c, "histogram", name, help, labels)
}

// CommandBuckets returns buckets in seconds for the time that commands of mail
// protocols take, which a slow peer can make long.
func CommandBuckets() []float64 {
	return []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 60, 120}
}

// Register adds a collector that has no constructor here, such as of a library. It
// is not in [List].
func Register(c prometheus.Collector) {
	registry.MustRegister(c)
}

// Handler returns the handler that writes all metrics in the format that the
// client asks for.
func Handler() http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
