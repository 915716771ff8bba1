package mtastsdb

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mox/dns"
	"mox/mtasts"
)

func parseDomain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openDB opens a database that is closed and verified when the test ends.
func openDB(t testing.TB, opts Options) *DB {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	d, err := Open(context.Background(), opts)
	tcheck(t, err)
	t.Cleanup(func() { closeDB(t, d) })
	return d
}

func closeDB(t testing.TB, d *DB) {
	t.Helper()
	if err := d.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
	if l, err := Verify(context.Background(), d.opts.Dir); err != nil || len(l) > 0 {
		t.Errorf("verify: %v, %v", l, err)
	}
}

// world is DNS and the web in memory, for tests in which time is not real.
type world struct {
	dns.Resolver // Nil: no other lookups.

	mu      sync.Mutex
	ids     map[string]string // By domain. "fail" is for a failing lookup.
	texts   map[string]string // Policies by domain. "status 500" is for that status.
	lookups int
	fetches int
	now     int           // Fetches at this moment.
	most    int           // The most of them.
	gate    chan struct{} // If not nil, fetches wait for it.
}

func newWorld() *world {
	return &world{ids: map[string]string{}, texts: map[string]string{}}
}

func (w *world) set(domain, id, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids[domain], w.texts[domain] = id, text
}

// counts returns the numbers of lookups and fetches since the last call.
func (w *world) counts() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fmt.Sprintf("%d lookups, %d fetches", w.lookups, w.fetches)
	w.lookups, w.fetches = 0, 0
	return s
}

func (w *world) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	switch id := w.ids[strings.TrimPrefix(strings.TrimSuffix(name, "."), "_mta-sts.")]; id {
	case "":
		return nil, dns.Result{}, dns.ErrNotFound
	case "fail":
		return nil, dns.Result{}, dns.ErrTemporary
	default:
		return []string{"v=STSv1; id=" + id}, dns.Result{}, nil
	}
}

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.fetches++
	w.now++
	w.most = max(w.most, w.now)
	text := w.texts[strings.TrimPrefix(req.URL.Host, "mta-sts.")]
	gate := w.gate
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.now--
		w.mu.Unlock()
	}()
	if gate != nil {
		select {
		case <-gate:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: -1, Request: req}
	if text == "status 500" {
		resp.StatusCode = 500
	}
	return resp, nil
}

func (w *world) options() Options {
	return Options{Resolver: w, Fetch: mtasts.FetchOptions{Client: &http.Client{Transport: w}}}
}

// policyText is a policy for one host.
func policyText(mode, mx string, maxAge int) string {
	return fmt.Sprintf("version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: %d\r\n", mode, mx, maxAge)
}
