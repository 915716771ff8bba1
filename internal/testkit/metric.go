package testkit

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"mox/internal/metrics"
)

// Metric returns the value of a series, such as x_total{result="ok"}, as it is shown, and
// zero if it is not there. Metrics are of the process: tests in parallel count too.
func Metric(t testing.TB, series string) (v float64) {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if s, ok := strings.CutPrefix(line, series+" "); ok {
			if _, err := fmt.Sscan(s, &v); err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}
