package daemon

import (
	"testing"
	"time"

	"mox/dns"
	"mox/internal/reports"
	"mox/mlog"
	"mox/queue"
	"mox/queue/transport"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

func TestResultsOfDeliveriesAreStored(t *testing.T) {
	t.Parallel()
	db, err := tlsrptdb.OpenResults(t.Context(), tlsrptdb.ResultsOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	domain, host := dns.Domain{ASCII: "example.org"}, dns.Domain{ASCII: "mx.example.org"}
	s := tlsResults{db, func() {}, mlog.Discard()}
	s.AddTLSResults(t.Context(), queue.Delivery{}, []transport.TLSResult{
		{RecipientDomain: domain, PolicyDomain: domain, Result: tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: "example.org"}, Failures: 1}},
		{RecipientDomain: domain, PolicyDomain: host, IsHost: true, Result: tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyTLSA, Domain: "mx.example.org"}, Successes: 1}},
	})
	l, err := db.Summaries(t.Context(), time.Now().Add(24*time.Hour))
	if err != nil || len(l) != 2 || l[0].PolicyDomain != "example.org" || l[0].Failures != 1 || !l[1].IsHost || l[1].Successes != 1 || !l[1].SendReport {
		t.Errorf("got %+v, %v", l, err)
	}
	s.AddTLSResults(t.Context(), queue.Delivery{}, []transport.TLSResult{{RecipientDomain: domain}}) // Only logged.
}

func TestSessionsWithReportsAreHardlyAReasonForAReport(t *testing.T) {
	t.Parallel()
	good, bad := tlsrpt.PolicyResult{Successes: 1}, tlsrpt.PolicyResult{Failures: 1}
	for _, tc := range []struct {
		kind      reports.Kind
		good, bad bool
	}{
		{"", true, true},
		{reports.KindDMARC, false, true},
		{reports.KindTLS, false, false},
	} {
		if g, b := isReason(tc.kind, good), isReason(tc.kind, bad); g != tc.good || b != tc.bad {
			t.Errorf("%q: got %v, %v", tc.kind, g, b)
		}
	}
}
