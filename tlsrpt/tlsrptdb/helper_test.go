package tlsrptdb

import (
	"context"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/testkit"
	"mox/tlsrpt"
)

var ctxbg = context.Background()

func parseDomain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// openDB opens a database in a new directory, which is closed and verified when the
// test ends.
func openDB(t testing.TB) *DB {
	t.Helper()
	return openDir(t, t.TempDir())
}

func openDir(t testing.TB, dir string) *DB {
	t.Helper()
	d, err := Open(ctxbg, dir)
	if err != nil {
		t.Fatal(err)
	}
	testkit.CloseVerified(t, d, func() ([]string, error) { return Verify(ctxbg, dir) })
	return d
}

// day is a day in reports.
var day = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)

// ours are the domains and hosts here.
func ours(d dns.Domain) bool {
	return d.ASCII == "example.org" || d.ASCII == "mx.example.org" || d.ASCII == "example.net"
}

// policy is one of ours with a failure.
func policy(domain string) tlsrpt.PolicyResult {
	return tlsrpt.PolicyResult{
		Policy:    tlsrpt.Policy{Type: tlsrpt.PolicySTS, Text: []string{"version: STSv1", "mode: enforce"}, Domain: domain, MXHost: []string{"*.example.org"}},
		Successes: 40,
		Failures:  3,
		FailureDetails: []tlsrpt.FailureDetail{
			{ResultType: tlsrpt.ResultCertificateExpired, SendingMTAIP: "192.0.2.1", ReceivingMXHostname: "mx.example.org", Count: 2},
			{ResultType: "made-up", Count: 1, FailureReasonCode: "why <not>"},
		},
	}
}

func tlsReport(id string, policies ...tlsrpt.PolicyResult) tlsrpt.Report {
	return tlsrpt.Report{OrganizationName: "Reporter", ContactInfo: "tls@reporter.example", ReportID: id, Start: day, End: day.Add(24*time.Hour - time.Second), Policies: policies}
}

func incoming(t testing.TB, r tlsrpt.Report, from string) *Incoming {
	t.Helper()
	in, err := NewIncoming(r, ours, false, parseDomain(t, from))
	if err != nil {
		t.Fatal(err)
	}
	return in
}
