package metrics

import "sync/atomic"

var (
	metricPanic = NewCounterVec("mox_panic_total", "Unhandled panics, by package.", "pkg")
	panicCount  atomic.Int64
)

// PanicPackages makes the panic counter exist, as zero, for packages that can
// count one: rate() in alert rules does not see the first increment of a series
// that starts with it.
func PanicPackages(pkgs ...string) {
	for _, pkg := range pkgs {
		metricPanic.WithLabelValues(pkg)
	}
}

// Panic counts a panic that was recovered at the top of a connection, request or
// background worker of a package.
func Panic(pkg string) {
	metricPanic.WithLabelValues(pkg).Inc()
	panicCount.Add(1)
}

// PanicCount returns the number of panics counted so far in all packages. Tests
// fail if it is not zero at their end.
func PanicCount() int64 {
	return panicCount.Load()
}
