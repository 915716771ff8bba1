//go:build linux

package internet

import (
	"context"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/reports"
	"mox/queue/queuedb"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

// wantsReports is a resolver for which all sites want TLS reports.
type wantsReports struct{ dns.Resolver }

// LookupTXT implements dns.Resolver.
func (wantsReports) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	domain, ok := strings.CutPrefix(strings.TrimSuffix(name, "."), "_smtp._tls.")
	if !ok || strings.HasPrefix(domain, "mx.") {
		return nil, dns.Result{}, dns.ErrNotFound
	}
	return []string{"v=TLSRPTv1; rua=mailto:tls@" + domain}, dns.Result{}, nil
}

// sentReports keeps reports instead of sending them.
type sentReports struct {
	mu      sync.Mutex
	results map[string][]tlsrpt.PolicyResult // By domain that the report is for.
	err     error
}

// Enqueue implements reports.Queue.
func (r *sentReports) Enqueue(_ context.Context, s queuedb.Submission) ([]queuedb.Message, error) {
	rep, err := tlsrpt.ParseMessage(s.Spool, s.Spool.Size())
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err = err
		return nil, err
	}
	domain := s.Recipients[0].To.IPDomain.Domain.ASCII
	r.results[domain] = append(r.results[domain], rep.Policies...)
	return make([]queuedb.Message, len(s.Recipients)), nil
}

// SignSystem implements reports.Signer.
func (*sentReports) SignSystem(context.Context, dns.Domain, io.ReaderAt, int64, ...string) []byte {
	return []byte("DKIM-Signature: v=1\r\n")
}

// makeReports makes the TLS reports of a server that has stopped, as it would when the
// day is over.
func makeReports(t *testing.T, m *mox, now time.Time) *sentReports {
	t.Helper()
	r := &sentReports{results: map[string][]tlsrpt.PolicyResult{}}
	conf, err := config.Load(filepath.Join(m.dir, "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now.UTC().Truncate(24 * time.Hour).Add(24*time.Hour + time.Minute)))
		db, err := tlsrptdb.OpenResults(t.Context(), tlsrptdb.ResultsOptions{Dir: conf.DataDir})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- reports.New(reports.Options{Config: config.NewHolder(conf), Resolver: wantsReports{}, TLS: db, Queue: r, Sign: r, TempDir: t.TempDir()}).Run(ctx)
		}()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// testReports checks the reports about sites for which something failed.
func (w *world) testReports(t *testing.T) {
	now := time.Now()
	r := makeReports(t, w.alpha, now)
	if r.err != nil {
		t.Error(r.err)
	}
	failed := regexp.MustCompile(`/[1-9]`)
	n := 0
	for _, want := range w.wanted {
		lines := strings.Join(want.lines, "\n")
		if want.from != w.alpha || !failed.MatchString(lines) {
			continue
		}
		n++
		t.Run(strings.TrimPrefix(want.test, "TestInternet/mail/"), func(t *testing.T) {
			var got []string
			for _, p := range r.results[want.domain] {
				got = append(got, resultLine(p, p.Policy.Domain, p.Successes > 0 && strings.Contains(lines, "*/")))
			}
			slices.Sort(got)
			if !slices.Equal(got, want.lines) {
				t.Errorf("report to %s has\n%s\nexpected\n%s", want.domain, strings.Join(got, "\n"), lines)
			}
		})
	}
	if n == 0 || len(r.results) != n {
		t.Errorf("%d domains get reports, expected %d", len(r.results), n)
	}
}
