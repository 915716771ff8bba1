package metrics

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"
)

var metricHTTPClient = NewHistogramVec("mox_httpclient_request_duration_seconds",
	"HTTP requests of the server to others, until the header of the answer, by package that asks, method, status code (0 without an answer) and result: ok, error for a status from 400 on and without an answer, timeout, canceled.",
	[]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 60}, "pkg", "method", "code", "result")

// ClientTransport returns a transport that counts the requests of a package. Others must
// not be able to choose the method of requests, which is a label.
func ClientTransport(pkg string, rt http.RoundTripper) http.RoundTripper {
	return clientTransport{pkg, rt}
}

type clientTransport struct {
	pkg string
	rt  http.RoundTripper
}

func (t clientTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := t.rt.RoundTrip(req)
	code, result := 0, "ok"
	switch {
	case errors.Is(err, context.Canceled):
		result = "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		result = "timeout"
	case err != nil:
		result = "error"
	default:
		if code = resp.StatusCode; code >= 600 {
			code = 600 // What others can make up must not make many series.
		}
		if code >= 400 {
			result = "error"
		}
	}
	metricHTTPClient.WithLabelValues(t.pkg, req.Method, strconv.Itoa(code), result).Observe(time.Since(start).Seconds())
	return resp, err
}
