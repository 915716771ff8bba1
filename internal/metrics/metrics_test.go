package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Declared as packages do it.
var (
	testCounter   = NewCounter("test_plain_total", "A counter.")
	testVec       = NewCounterVec("test_labelled_total", "A counter with labels.", "result", "reason")
	testGauge     = NewGauge("test_gauge", "A gauge.")
	testGauges    = NewGaugeVec("test_gauges", "Gauges.", "kind")
	testHist      = NewHistogram("test_seconds", "A histogram.", []float64{1, 2})
	testHistogram = NewHistogramVec("test_command_seconds", "Histograms.", CommandBuckets(), "cmd")

	testFunc = prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "test_func_total", Help: "From a function."}, func() float64 { return 9 })
)

func TestMain(m *testing.M) {
	Register(testFunc)
	os.Exit(m.Run())
}

// scrape returns the lines of the handler.
func scrape(t *testing.T) []string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return strings.Split(string(b), "\n")
}

func TestHandlerWritesWhatWasCounted(t *testing.T) {
	testVec.Reset() // The test may run more than once.
	testHistogram.Reset()
	testCounter.Inc()
	testVec.WithLabelValues("ok", "none").Add(2)
	testGauge.Set(5)
	testGauges.WithLabelValues("a").Set(6)
	testHist.Observe(1.5)
	testHistogram.WithLabelValues("NOOP").Observe(0.002)
	lines := scrape(t)
	for _, want := range []string{
		"# HELP test_plain_total A counter.",
		"# TYPE test_plain_total counter",
		`test_labelled_total{reason="none",result="ok"} 2`,
		"test_gauge 5",
		`test_gauges{kind="a"} 6`,
		`test_seconds_bucket{le="1"} 0`,
		`test_command_seconds_bucket{cmd="NOOP",le="0.001"} 0`,
		`test_command_seconds_bucket{cmd="NOOP",le="0.005"} 1`,
		`test_command_seconds_bucket{cmd="NOOP",le="120"} 1`,
		"test_func_total 9",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q", want)
		}
	}
	for _, prefix := range []string{"test_plain_total ", `test_seconds_bucket{le="2"} `, "go_goroutines ", "go_build_info{"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) }) {
			t.Errorf("no line with %q", prefix)
		}
	}
}

func TestListDescribesWhatWasDeclared(t *testing.T) {
	t.Parallel()
	l := List()
	if !slices.IsSortedFunc(l, func(a, b Info) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted")
	}
	for _, want := range []Info{
		{"mox_panic_total", "counter", "Unhandled panics, by package.", []string{"pkg"}},
		{"test_plain_total", "counter", "A counter.", nil},
		{"test_labelled_total", "counter", "A counter with labels.", []string{"result", "reason"}},
		{"test_gauge", "gauge", "A gauge.", nil},
		{"test_gauges", "gauge", "Gauges.", []string{"kind"}},
		{"test_seconds", "histogram", "A histogram.", nil},
		{"test_command_seconds", "histogram", "Histograms.", []string{"cmd"}},
	} {
		if !slices.ContainsFunc(l, func(i Info) bool { return reflect.DeepEqual(i, want) }) {
			t.Errorf("no %+v", want)
		}
	}
	l[0].Name = "changed"
	if List()[0].Name == "changed" {
		t.Error("list is not a copy")
	}
}

func TestPanicsAreCountedByPackage(t *testing.T) {
	metricPanic.Reset() // The test may run more than once.
	PanicPackages("testquiet", "testloud")
	before := PanicCount()
	Panic("testloud")
	Panic("testnew")
	if n := PanicCount() - before; n != 2 {
		t.Errorf("counted %d", n)
	}
	lines := scrape(t)
	for _, want := range []string{
		`mox_panic_total{pkg="testquiet"} 0`,
		`mox_panic_total{pkg="testloud"} 1`,
		`mox_panic_total{pkg="testnew"} 1`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q", want)
		}
	}
}

func TestNameThatIsTakenIsAProgrammingError(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewGauge("test_plain_total", "Again.")
}

// value returns the value of a series.
func value(t *testing.T, series string) string {
	t.Helper()
	for _, line := range scrape(t) {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			return v
		}
	}
	return ""
}

func TestConnectionsAreCountedWhileTheyAreOpen(t *testing.T) {
	const series = `mox_connections_count{listener="public",protocol="smtp"}`
	ConnectionOpened("smtp", "public")
	ConnectionOpened("smtp", "public")
	ConnectionClosed("smtp", "public")
	if got := value(t, series); got != "1" {
		t.Errorf("got %q", got)
	}
	ConnectionClosed("smtp", "public")
	if got := value(t, series); got != "0" {
		t.Errorf("got %q", got)
	}
}

func TestClockIsThatOfTheReading(t *testing.T) {
	got, err := strconv.ParseFloat(value(t, "mox_time_seconds"), 64)
	if now := float64(time.Now().UnixMilli()) / 1000; err != nil || got > now || got < now-60 {
		t.Errorf("got %v, %v, want about %v", got, err, now)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRequestsToOthersAreCounted(t *testing.T) {
	metricHTTPClient.Reset()
	for _, tt := range []struct {
		code   int
		err    error
		labels string
	}{
		{200, nil, `code="200",method="GET",pkg="x",result="ok"`},
		{302, nil, `code="302",method="GET",pkg="x",result="ok"`},
		{404, nil, `code="404",method="GET",pkg="x",result="error"`},
		{999, nil, `code="600",method="GET",pkg="x",result="error"`},
		{0, fmt.Errorf("dial: %w", context.DeadlineExceeded), `code="0",method="GET",pkg="x",result="timeout"`},
		{0, context.Canceled, `code="0",method="GET",pkg="x",result="canceled"`},
		{0, io.ErrUnexpectedEOF, `code="0",method="GET",pkg="x",result="error"`},
	} {
		rt := ClientTransport("x", roundTripper(func(*http.Request) (*http.Response, error) {
			if tt.err != nil {
				return nil, tt.err
			}
			return &http.Response{StatusCode: tt.code, Body: http.NoBody}, nil
		}))
		resp, err := rt.RoundTrip(httptest.NewRequest("GET", "https://mox.example/", nil))
		if !errors.Is(err, tt.err) || err == nil && resp.StatusCode != tt.code {
			t.Errorf("%d: got %v, %v", tt.code, resp, err)
		}
		if got := value(t, "mox_httpclient_request_duration_seconds_count{"+tt.labels+"}"); got != "1" {
			t.Errorf("%s: got count %q", tt.labels, got)
		}
	}
}
