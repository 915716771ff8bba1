package dmarcdb

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/testkit"
	"mox/spf"
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

// openDB opens databases in a new directory, which are closed and verified when the
// test ends.
func openDB(t testing.TB) *DB {
	t.Helper()
	return openDir(t, t.TempDir())
}

func openDir(t testing.TB, dir string) *DB {
	t.Helper()
	d, err := Open(ctxbg, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	testkit.CloseVerified(t, d, func() ([]string, error) { return Verify(ctxbg, dir) })
	return d
}

// day is a day in reports.
var day = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)

// feedback returns a report with n records of one message each.
func feedback(id string, n int) *report.Feedback {
	f := &report.Feedback{
		Metadata: report.Metadata{OrgName: "Reporter", Email: "dmarc@reporter.example", ReportID: id, Begin: day, End: day.Add(24*time.Hour - time.Second)},
		Policy:   report.Policy{Domain: "example.org", Policy: dmarc.PolicyReject},
	}
	for i := range n {
		f.Records = append(f.Records, report.Record{
			SourceIP:    netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			Count:       1,
			Disposition: report.DispositionReject,
			AlignedDKIM: i%2 == 1,
			HeaderFrom:  "example.org",
			DKIM:        []report.DKIMResult{{Domain: "example.org", Selector: "s", Result: dkim.StatusFail, HumanResult: fmt.Sprint("no ", i)}},
			SPF:         []report.SPFResult{{Domain: "example.org", Scope: report.ScopeMailFrom, Result: spf.StatusSoftfail}},
		})
	}
	return f
}

func incoming(t testing.TB, f *report.Feedback, policy, from string) *Incoming {
	t.Helper()
	in, err := NewIncoming(f, parseDomain(t, policy), parseDomain(t, from))
	if err != nil {
		t.Fatal(err)
	}
	return in
}
