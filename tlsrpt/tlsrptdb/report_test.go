package tlsrptdb

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/reportdb"
	"mox/internal/testkit"
	"mox/tlsrpt"
)

func TestReportIsStoredForEachOfOurDomains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	r := tlsReport("one", policy("example.org"), policy("other.example"), policy("MX.Example.Org."), policy("example.org"), policy("not a domain"))
	in, err := NewIncoming(r, ours, true, parseDomain(t, "mail.reporter.example"))
	if err != nil {
		t.Fatal(err)
	}
	if got := in.Domains(); !reflect.DeepEqual(got, []string{"example.org", "mx.example.org"}) {
		t.Errorf("domains %v", got)
	}
	at := day.Add(30 * time.Hour)
	if err := d.AddReport(ctxbg, in, Reference{"ann", 7, at}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, dir)
	l, err := d.Reports(ctxbg, parseDomain(t, "example.org"), day, day.AddDate(0, 0, 1), 0)
	if err != nil || len(l) != 1 {
		t.Fatalf("%d reports, %v", len(l), err)
	}
	rep, policies, err := d.Policies(ctxbg, l[0].ID)
	if err != nil || !reflect.DeepEqual(policies, []tlsrpt.PolicyResult{policy("example.org"), policy("example.org")}) {
		t.Errorf("policies %+v, %v", policies, err)
	}
	if rep.PolicyDomain != "example.org" || !rep.HostReport || rep.FromDomain != "mail.reporter.example" || rep.Reporter != "reporter.example" || rep.OrgName != "Reporter" ||
		rep.ReportID != "one" || rep.Account != "ann" || rep.ContentID != 7 || !rep.Received.Equal(at) || rep.Successes != 80 || rep.Failures != 6 || rep.Details != 4 || rep.Kept != 4 {
		t.Errorf("report %+v", rep)
	}
	meta := reportdb.Meta{ID: l[0].ID, PolicyDomain: "example.org", Reporter: "reporter.example", Digest: rep.Digest, Received: rep.Received, Size: rep.Size, Kept: rep.Kept}
	if got := d.received.Meta(rep); got != meta || got.Size == 0 || got.Digest == "" {
		t.Errorf("meta %+v", got)
	}
	sums, err := d.Summaries(ctxbg, day, day.AddDate(0, 0, 1))
	if want := []Summary{{"example.org", 1, 80, 6}, {"mx.example.org", 1, 40, 3}}; err != nil || !reflect.DeepEqual(sums, want) {
		t.Errorf("summaries %+v, %v", sums, err)
	}
	if _, _, err := d.Policies(ctxbg, 99); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent report: %v", err)
	}
}

func TestReportAboutOthersIsRefused(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]tlsrpt.Report{
		"no policies":   tlsReport("a"),
		"other domains": tlsReport("a", policy("other.example"), policy("sub.example.org")),
	} {
		if _, err := NewIncoming(r, ours, false, parseDomain(t, "reporter.example")); !errors.Is(err, ErrOtherDomains) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewIncoming(tlsReport("a", policy("example.org")), ours, false, dns.Domain{}); err == nil {
		t.Error("no from domain, no error")
	}
}

func TestReportIsStoredOnceAndOnlyItsReporterCanPreventThat(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	for i, test := range []struct {
		id, from string
		policies []tlsrpt.PolicyResult
		want     error
	}{
		{"a", "reporter.example", []tlsrpt.PolicyResult{policy("example.org")}, nil},
		{"a", "sub.reporter.example", []tlsrpt.PolicyResult{policy("example.org")}, ErrDuplicate},
		{"a", "evil.example", []tlsrpt.PolicyResult{policy("example.org")}, nil},
		{"a", "reporter.example", []tlsrpt.PolicyResult{policy("example.org"), policy("example.net")}, nil}, // One is new.
		{"a", "reporter.example", []tlsrpt.PolicyResult{policy("example.org"), policy("example.net")}, ErrDuplicate},
		{"b", "reporter.example", []tlsrpt.PolicyResult{policy("example.org")}, nil},
	} {
		if err := d.AddReport(ctxbg, incoming(t, tlsReport(test.id, test.policies...), test.from), Reference{}); !errors.Is(err, test.want) {
			t.Errorf("%d: %v, want %v", i, err, test.want)
		}
	}
	l, err := d.Reports(ctxbg, dns.Domain{}, day, day.AddDate(0, 0, 1), 3)
	if err != nil || len(l) != 3 {
		t.Errorf("%d reports, %v, want as many as asked for", len(l), err)
	}
	if l, err := d.Reports(ctxbg, dns.Domain{}, day, day.AddDate(0, 0, 1), 0); err != nil || len(l) != 4 {
		t.Errorf("%d reports, %v", len(l), err)
	}
}

func TestLargeReportIsKeptInPart(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	big := policy("example.org")
	big.Policy.Text = strings.Split(strings.Repeat("x ", 5000), " ")
	big.FailureDetails = nil
	for i := range 50_000 {
		big.FailureDetails = append(big.FailureDetails, tlsrpt.FailureDetail{ResultType: "x", Count: 1, ReceivingIP: fmt.Sprint(i), AdditionalInformation: strings.Repeat("<", 10_000)})
	}
	in := incoming(t, tlsReport("large", big, policy("example.net")), "reporter.example")
	total := 0
	for _, p := range in.parts {
		total += len(p.data)
	}
	if total > MaxContent+64<<10 {
		t.Errorf("%d bytes are kept", total)
	}
	if err := d.AddReport(ctxbg, in, Reference{}); err != nil {
		t.Fatal(err)
	}
	l, err := d.Reports(ctxbg, parseDomain(t, "example.org"), day, day.AddDate(0, 0, 1), 0)
	if err != nil || len(l) != 1 {
		t.Fatalf("%d reports, %v", len(l), err)
	}
	rep, policies, err := d.Policies(ctxbg, l[0].ID)
	if err != nil || rep.Details != 50_000 || rep.Kept == 0 || rep.Kept > MaxContentText/maxString || len(policies) != 1 {
		t.Fatalf("report %+v with %d policies, %v", rep, len(policies), err)
	}
	if p := policies[0]; len(p.Policy.Text) != maxLines || len(p.FailureDetails) != int(rep.Kept) || len(p.FailureDetails[0].AdditionalInformation) != maxString {
		t.Errorf("%d lines, %d details", len(p.Policy.Text), len(p.FailureDetails))
	}
	if n := len(big.FailureDetails[0].AdditionalInformation); n != 10_000 {
		t.Errorf("the caller's value was changed")
	}
}

func TestManyDomainsAreLimited(t *testing.T) {
	t.Parallel()
	var policies []tlsrpt.PolicyResult
	for i := range MaxDomains + 10 {
		policies = append(policies, policy(fmt.Sprintf("d%d.example.org", i)))
	}
	in, err := NewIncoming(tlsReport("a", policies...), func(dns.Domain) bool { return true }, false, parseDomain(t, "reporter.example"))
	if err != nil || len(in.parts) != MaxDomains {
		t.Errorf("%d domains, %v", len(in.parts), err)
	}
}

func TestNumbersOfSessionsDoNotOverflow(t *testing.T) {
	t.Parallel()
	p := policy("example.org")
	p.Successes, p.Failures, p.FailureDetails[0].Count = math.MaxInt64, -5, math.MaxInt64
	in := incoming(t, tlsReport("a", p, p, p), "reporter.example")
	rep := in.parts[0].rep
	if rep.Successes != 3*maxCount || rep.Failures != 0 {
		t.Errorf("%d successes, %d failures", rep.Successes, rep.Failures)
	}
}

func TestSessionsAreCountedByType(t *testing.T) {
	t.Parallel()
	short := policy("example.org")
	short.FailureDetails = nil
	got := sessions([]tlsrpt.PolicyResult{policy("example.org"), short})
	want := map[string]float64{"success": 80, "certificate-expired": 2, "other": 1 + 3}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sessions %v, want %v", got, want)
	}
	d := openDB(t)
	if err := d.AddReport(ctxbg, incoming(t, tlsReport("m", policy("example.org")), "reporter.example"), Reference{}); err != nil {
		t.Fatal(err)
	}
	if testkit.Metric(t, `mox_tlsrptdb_session_total{type="certificate-expired"}`) == 0 {
		t.Error("no metric")
	}
}

func TestSharedReportsSurviveStorage(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/reports/smtp_tls")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := openDB(t)
	all := func(dns.Domain) bool { return true }
	stored := 0
	for i, e := range entries {
		data := testkit.ReadFile(t, filepath.Join(dir, e.Name()))
		var r tlsrpt.Report
		if strings.HasSuffix(e.Name(), ".eml") {
			r, err = tlsrpt.ParseMessage(bytes.NewReader(data), int64(len(data)))
		} else {
			r, err = tlsrpt.ParseReport(bytes.NewReader(data))
		}
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		in, err := NewIncoming(r, all, false, parseDomain(t, fmt.Sprintf("reporter%d.example", i)))
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		if err := d.AddReport(ctxbg, in, Reference{}); err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		stored++
		for _, domain := range in.Domains() {
			l, err := d.Reports(ctxbg, parseDomain(t, domain), r.Start, r.End.Add(time.Second), 0)
			if err != nil || len(l) == 0 {
				t.Errorf("%s: %s: %d reports, %v", e.Name(), domain, len(l), err)
			}
		}
	}
	if stored < 4 {
		t.Errorf("only %d samples could be stored", stored)
	}
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if l, err := Verify(ctxbg, dir); err != nil || len(l) > 0 {
		t.Errorf("no database: %v, %v", l, err)
	}
	d, err := Open(ctxbg, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddReport(ctxbg, incoming(t, tlsReport("a", policy("example.org"), policy("example.net")), "reporter.example"), Reference{}); err != nil {
		t.Fatal(err)
	}
	l, err := d.Reports(ctxbg, dns.Domain{}, day, day.AddDate(0, 0, 1), 0)
	if err != nil || len(l) != 2 {
		t.Fatalf("%d reports, %v", len(l), err)
	}
	for _, err := range []error{
		d.received.DB.Delete(ctxbg, &content{ReportID: l[0].ID}),
		d.received.DB.Update(ctxbg, &content{l[1].ID, []byte("x")}),
		d.received.DB.Insert(ctxbg, &content{ReportID: 99}),
		d.received.DB.Update(ctxbg, &usage{"example.org", 5, 5}),
		d.received.DB.Delete(ctxbg, &usage{PolicyDomain: "example.net"}),
		d.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	problems, err := Verify(ctxbg, dir)
	all := strings.Join(problems, "\n")
	if err != nil || len(problems) != 5 {
		t.Errorf("%d problems, %v:\n%s", len(problems), err, all)
	}
	for _, want := range []string{"has no content", "decode report", "content of report 99", "example.org has 1 reports", "example.net are not counted"} {
		if !strings.Contains(all, want) {
			t.Errorf("no problem %q in:\n%s", want, all)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("x", 4*4096)), 0600); err != nil {
		t.Fatal(err)
	}
	if l, err := Verify(ctxbg, dir); err != nil || len(l) != 1 {
		t.Errorf("damaged: %v, %v", l, err)
	}
}
