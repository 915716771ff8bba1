package dmarcdb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/reportdb"
	"mox/internal/testkit"
)

func TestReportIsStoredAndFoundAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	f := feedback("one", 3)
	at := day.Add(30 * time.Hour)
	id, err := d.AddReport(ctxbg, incoming(t, f, "example.org", "mail.reporter.example"), Reference{"ann", 7, at})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, dir)
	rep, got, err := d.Feedback(ctxbg, id)
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("feedback %+v, %v", got, err)
	}
	if rep.PolicyDomain != "example.org" || rep.FromDomain != "mail.reporter.example" || rep.Reporter != "reporter.example" || rep.OrgName != "Reporter" ||
		rep.ReportID != "one" || rep.Account != "ann" || rep.ContentID != 7 || !rep.Received.Equal(at) || rep.Records != 3 || rep.Kept != 3 {
		t.Errorf("report %+v", rep)
	}
	meta := reportdb.Meta{ID: id, PolicyDomain: "example.org", Reporter: "reporter.example", Digest: rep.Digest, Received: rep.Received, Size: rep.Size, Kept: rep.Kept}
	if got := d.received.Meta(rep); got != meta || got.Size == 0 || got.Digest == "" {
		t.Errorf("meta %+v", got)
	}
	if want := (Tally{Messages: 3, Reject: 3, DKIMFail: 2, SPFFail: 3, BothFail: 2}); rep.Tally != want {
		t.Errorf("tally %+v", rep.Tally)
	}
	if _, _, err := d.Feedback(ctxbg, id+1); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent report: %v", err)
	}
}

func TestReportsOfOthersAreFoundByDomainAndPeriod(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	for i, domain := range []string{"example.org", "example.net", "example.org"} {
		f := feedback(fmt.Sprint(i), 2)
		f.Metadata.Begin = day.AddDate(0, 0, i)
		f.Metadata.End = f.Metadata.Begin.Add(24*time.Hour - time.Second)
		if _, err := d.AddReport(ctxbg, incoming(t, f, domain, "reporter.example"), Reference{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		domain      string
		from, until int // Days.
		max         int
		want        string
	}{
		{"", 0, 9, 0, "210"},
		{"", 0, 9, 2, "21"},
		{"example.org", 0, 9, 0, "20"},
		{"example.net", 0, 9, 0, "1"},
		{"", 1, 2, 0, "1"},
		{"example.org", 1, 2, 0, ""},
		{"", 0, 1, 0, "0"},
		{"example.com", 0, 9, 0, ""},
	} {
		var domain dns.Domain
		if test.domain != "" {
			domain = parseDomain(t, test.domain)
		}
		l, err := d.Reports(ctxbg, domain, day.AddDate(0, 0, test.from), day.AddDate(0, 0, test.until), test.max)
		got := ""
		for _, r := range l {
			got += r.ReportID
		}
		if err != nil || got != test.want {
			t.Errorf("%q from day %d until %d: reports %q, %v, want %q", test.domain, test.from, test.until, got, err, test.want)
		}
	}
	sums, err := d.Summaries(ctxbg, day, day.AddDate(0, 0, 9))
	want := []Summary{
		{"example.net", 1, Tally{Messages: 2, Reject: 2, DKIMFail: 1, SPFFail: 2, BothFail: 1}},
		{"example.org", 2, Tally{Messages: 4, Reject: 4, DKIMFail: 2, SPFFail: 4, BothFail: 2}},
	}
	if err != nil || !reflect.DeepEqual(sums, want) {
		t.Errorf("summaries %+v, %v", sums, err)
	}
}

func TestReportIsStoredOnceAndOnlyItsReporterCanPreventThat(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	for i, test := range []struct {
		id, domain, from string
		want             error
	}{
		{"a", "example.org", "reporter.example", nil},
		{"a", "example.org", "reporter.example", ErrDuplicate},
		{"a", "example.org", "other.reporter.example", ErrDuplicate},
		{"a", "example.org", "evil.example", nil},
		{"a", "example.net", "reporter.example", nil},
		{"b", "example.org", "reporter.example", nil},
	} {
		if _, err := d.AddReport(ctxbg, incoming(t, feedback(test.id, 1), test.domain, test.from), Reference{}); !errors.Is(err, test.want) {
			t.Errorf("%d: %v, want %v", i, err, test.want)
		}
	}
}

func TestLargeReportIsKeptInPart(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	f := feedback("large", 20_000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range f.Records {
		b := make([]byte, 200) // That cannot be compressed.
		for i := range b {
			b[i] = byte('0' + rnd.IntN(64))
		}
		f.Records[i].DKIM[0].HumanResult = string(b)
	}
	in := incoming(t, f, "example.org", "reporter.example")
	if n := len(in.data); n > MaxContent+256<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	id, err := d.AddReport(ctxbg, in, Reference{})
	if err != nil {
		t.Fatal(err)
	}
	rep, got, err := d.Feedback(ctxbg, id)
	if err != nil || rep.Tally.Messages != 20_000 || rep.Records != 20_000 || rep.Kept == 0 || rep.Kept >= 20_000 || len(got.Records) != int(rep.Kept) {
		t.Errorf("report %+v with %d records, %v", rep, len(got.Records), err)
	}
	if !reflect.DeepEqual(got.Records, f.Records[:len(got.Records)]) {
		t.Error("records differ")
	}
}

func TestTextThatCompressesWellIsBounded(t *testing.T) {
	t.Parallel()
	f := feedback("bomb", 6000)
	for i := range f.Records {
		f.Records[i].DKIM[0].HumanResult = strings.Repeat("<", report.MaxText)
	}
	in := incoming(t, f, "example.org", "reporter.example")
	if in.rep.Kept == 0 || int(in.rep.Kept) > MaxContentText/report.MaxText || len(in.data) > MaxContent {
		t.Errorf("%d records in %d bytes", in.rep.Kept, len(in.data))
	}
	if f, err := decode(in.data); err != nil || len(f.Records) != int(in.rep.Kept) {
		t.Errorf("decode: %v", err)
	}
}

func TestReportWithoutDomainIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := NewIncoming(feedback("x", 1), dns.Domain{}, parseDomain(t, "a.example")); err == nil {
		t.Error("no policy domain, no error")
	}
	if _, err := NewIncoming(feedback("x", 1), parseDomain(t, "a.example"), dns.Domain{}); err == nil {
		t.Error("no from domain, no error")
	}
}

func TestMetricsCountMessagesOfStoredReports(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	f := feedback("m", 2)
	f.Records[0].Count = 40
	domain := fmt.Sprintf("metrics%d.example", time.Now().UnixNano()) // Metrics stay when tests are run again.
	for range 2 {                                                     // The second time it is a duplicate.
		_, err := d.AddReport(ctxbg, incoming(t, f, domain, "reporter.example"), Reference{})
		if err != nil && !errors.Is(err, ErrDuplicate) {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]float64{
		`mox_dmarcdb_policy_evaluated_total{disposition="reject",dkim="fail",domain="` + domain + `",spf="fail"}`: 40,
		`mox_dmarcdb_policy_evaluated_total{disposition="reject",dkim="pass",domain="` + domain + `",spf="fail"}`: 1,
	} {
		if got := testkit.Metric(t, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{`mox_dmarcdb_dkim_result_total{result="fail"}`, `mox_dmarcdb_spf_result_total{result="softfail"}`} {
		if testkit.Metric(t, name) == 0 {
			t.Errorf("no metric %s", name)
		}
	}
}

func TestSharedReportsSurviveStorage(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/reports/aggregate")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := openDB(t)
	stored := 0
	for i, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		f, err := report.Parse(data)
		if err != nil {
			continue // A message, or the one that is not XML.
		}
		id, err := d.AddReport(ctxbg, incoming(t, f, "example.com", fmt.Sprintf("reporter%d.example", i)), Reference{})
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		rep, got, err := d.Feedback(ctxbg, id)
		if err != nil || !reflect.DeepEqual(got, f) || rep.Tally.Messages != f.Messages() {
			t.Errorf("%s is not the same from the database: %v\n%+v\n%+v", e.Name(), err, got, f)
		}
		stored++
	}
	if stored < 15 {
		t.Errorf("only %d samples could be stored", stored)
	}
}
