package dmarcdb

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mjl-/bstore"

	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/report"
)

// evaluation returns one about a message from an address.
func evaluation(domain, ip string, at time.Time) Evaluation {
	return Evaluation{
		Last:          at,
		IntervalHours: 24,
		RUA:           []string{"mailto:dmarc@" + domain},
		Published:     report.Policy{Domain: domain, Policy: dmarc.PolicyNone},
		Record: report.Record{
			SourceIP: netip.MustParseAddr(ip), Count: 1, Disposition: report.DispositionNone, AlignedDKIM: true,
			HeaderFrom: domain, EnvelopeFrom: "b." + domain, EnvelopeTo: "example.org",
			Reasons: []dmarc.Override{{Type: dmarc.OverrideMailingList, Comment: "list"}},
			DKIM:    []report.DKIMResult{{Domain: domain, Selector: "s", Result: dkim.StatusPass}},
			SPF:     []report.SPFResult{{Domain: "b." + domain, Scope: report.ScopeMailFrom, Result: "fail"}},
		},
	}
}

func addAll(t testing.TB, d *DB, l ...Evaluation) {
	t.Helper()
	for _, e := range l {
		if err := d.AddEvaluation(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEvaluationKeepsWhatAReportNeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	e := evaluation("example.com", "192.0.2.1", day.Add(90*time.Minute))
	e.Optional = true
	addAll(t, d, e)
	if err := d.Close(); err != nil { // Which writes.
		t.Fatal(err)
	}
	if err := d.AddEvaluation(e); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	d = openDir(t, dir)
	l, err := d.Evaluations(ctxbg, "example.com", day, day.AddDate(0, 0, 1))
	if err != nil || len(l) != 1 {
		t.Fatalf("%d evaluations, %v", len(l), err)
	}
	got := l[0]
	if !reflect.DeepEqual(got.Record, e.Record) || !reflect.DeepEqual(got.Published, e.Published) || !reflect.DeepEqual(got.RUA, e.RUA) ||
		got.PolicyDomain != "example.com" || !got.Optional || got.IntervalHours != 24 || !got.First.Equal(e.Last) || !got.Last.Equal(e.Last) {
		t.Errorf("got %+v\nwant %+v", got, e)
	}
	var b = report.NewBuilder(0)
	if err := b.Add(got.Record); err != nil {
		t.Errorf("for a report: %v", err)
	}
}

func TestEvaluationsThatAreTheSameAreOneRecordAnHour(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	at := day.Add(10*time.Hour + time.Minute)
	optional := evaluation("example.com", "192.0.2.1", at)
	optional.Optional = true
	addAll(t, d,
		evaluation("example.com", "192.0.2.1", at), evaluation("example.com", "192.0.2.1", at.Add(time.Minute)),
		evaluation("example.com", "192.0.2.2", at), evaluation("example.com", "192.0.2.1", at.Add(time.Hour)), optional)
	if err := d.Flush(ctxbg); err != nil {
		t.Fatal(err)
	}
	addAll(t, d, evaluation("example.com", "192.0.2.1", at.Add(-time.Second)))
	l, err := d.Evaluations(ctxbg, "example.com", day, day.AddDate(0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, e := range l {
		counts[e.Record.SourceIP.String()+" "+strconv.FormatInt(e.Hour-hour(day), 10)+" "+strconv.FormatBool(e.Optional)] += e.Record.Count
		if e.Record.Count == 3 && (!e.First.Equal(at.Add(-time.Second)) || !e.Last.Equal(at.Add(time.Minute))) {
			t.Errorf("messages from %s to %s", e.First, e.Last)
		}
	}
	want := map[string]int64{"192.0.2.1 10 false": 3, "192.0.2.2 10 false": 1, "192.0.2.1 11 false": 1, "192.0.2.1 10 true": 1}
	if len(l) != 4 || !reflect.DeepEqual(counts, want) {
		t.Errorf("%d records, %v", len(l), counts)
	}
}

// Reports have them in this order.
func TestEvaluationsOfAnHourAreInTheOrderInWhichTheyCame(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	var want, got []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("192.0.2.%d", i))
		addAll(t, d, evaluation("example.com", want[i], day))
	}
	l, err := d.Evaluations(ctxbg, "example.com", day, day.AddDate(0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l {
		got = append(got, e.Record.SourceIP.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestEvaluationsAreFoundAndRemovedByDomainAndHour(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	optional := evaluation("optional.example", "192.0.2.9", day)
	optional.Optional = true
	addAll(t, d, optional)
	for h := range 4 {
		addAll(t, d, evaluation("a.example", "192.0.2.1", day.Add(time.Duration(h)*time.Hour)), evaluation("b.example", "192.0.2.1", day.Add(time.Duration(h)*time.Hour)))
	}
	hours := func(domain string, from, until int) (got []int64) {
		t.Helper()
		l, err := d.Evaluations(ctxbg, domain, day.Add(time.Duration(from)*time.Hour), day.Add(time.Duration(until)*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l {
			got = append(got, e.Hour-hour(day))
		}
		return got
	}
	if got := hours("a.example", 1, 3); !reflect.DeepEqual(got, []int64{1, 2}) {
		t.Errorf("hours %v", got)
	}
	stats, err := d.EvaluationStats(ctxbg, day.Add(3*time.Hour))
	want := []EvaluationStats{
		{"a.example", 3, 3, day.Add(2 * time.Hour), true},
		{"b.example", 3, 3, day.Add(2 * time.Hour), true},
		{"optional.example", 1, 1, day, false},
	}
	for i := range stats {
		stats[i].Last = stats[i].Last.UTC()
	}
	if err != nil || !reflect.DeepEqual(stats, want) {
		t.Errorf("stats %+v, %v", stats, err)
	}
	if n, err := d.RemoveEvaluations(ctxbg, "a.example", day.Add(2*time.Hour)); n != 2 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if got := hours("a.example", 0, 9); !reflect.DeepEqual(got, []int64{2, 3}) {
		t.Errorf("hours %v", got)
	}
	if got := hours("b.example", 0, 9); len(got) != 4 {
		t.Errorf("hours of other domain %v", got)
	}
}

func TestOldEvaluationsAreRemoved(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	for h := range 5 {
		addAll(t, d, evaluation("a.example", "192.0.2.1", day.Add(time.Duration(h)*time.Hour)))
	}
	if n, err := d.Prune(ctxbg, day.Add(EvaluationAge+2*time.Hour)); n != 2 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
}

func TestEvaluationsAreWrittenAndRemovedInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openDB(t)
		stored := func() int {
			t.Helper()
			n, err := bstore.QueryDB[Evaluation](ctxbg, d.evals).Count()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		addAll(t, d, evaluation("a.example", "192.0.2.1", time.Now()))
		if n := stored(); n != 0 {
			t.Errorf("%d records at once", n)
		}
		time.Sleep(writeDelay)
		synctest.Wait()
		if n := stored(); n != 1 {
			t.Errorf("%d records after a second", n)
		}
		time.Sleep(EvaluationAge + 2*time.Hour)
		for _, ip := range []string{"192.0.2.1", "192.0.2.2"} {
			addAll(t, d, evaluation("a.example", ip, time.Now()))
		}
		time.Sleep(writeDelay)
		synctest.Wait()
		if n := stored(); n != 2 {
			t.Errorf("%d records when the first is old", n)
		}
	})
}

func TestManyEvaluationsAreRemovedInSeveralTransactions(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	ip := netip.MustParseAddr("10.0.0.0")
	for range removeBatch + 5 {
		ip = ip.Next()
		addAll(t, d, evaluation("a.example", ip.String(), day))
	}
	if n, err := d.Prune(ctxbg, day.AddDate(0, 0, 9)); n != removeBatch+5 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
}

func TestEvaluationsAreLimited(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	d.limits.domainEvaluations, d.limits.evaluations = 2, 3
	count := func(domain string) int64 {
		t.Helper()
		l, err := d.Evaluations(ctxbg, domain, day, day.AddDate(0, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		for _, e := range l {
			n += e.Record.Count
		}
		return n
	}
	for _, ip := range []string{"192.0.2.1", "192.0.2.2"} {
		addAll(t, d, evaluation("a.example", ip, day))
	}
	if err := d.Flush(ctxbg); err != nil {
		t.Fatal(err)
	}
	addAll(t, d, evaluation("a.example", "192.0.2.3", day), evaluation("a.example", "192.0.2.1", day))
	if n := count("a.example"); n != 3 {
		t.Errorf("%d messages of a domain with too many, want those that need no record", n)
	}
	for _, domain := range []string{"b.example", "c.example"} {
		addAll(t, d, evaluation(domain, "192.0.2.1", day))
		if err := d.Flush(ctxbg); err != nil {
			t.Fatal(err)
		}
	}
	if b, c := count("b.example"), count("c.example"); b != 1 || c != 0 {
		t.Errorf("%d and %d messages where all is full", b, c)
	}
}

func TestEvaluationsThatWaitAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // Nothing is written meanwhile.
		d := openDB(t)
		ip := netip.MustParseAddr("10.0.0.0")
		for range maxPending + 10 {
			ip = ip.Next()
			addAll(t, d, evaluation("a.example", ip.String(), day))
		}
		d.writer.Look(func(p *pending) {
			if n := len(p.all); n != maxPending {
				t.Errorf("%d records wait", n)
			}
		})
	})
}

func TestEvaluationIsBounded(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	e := evaluation("a.example", "192.0.2.1", day)
	for range 1000 {
		e.RUA = append(e.RUA, "mailto:x@a.example")
		e.Record.DKIM = append(e.Record.DKIM, report.DKIMResult{Selector: strings.Repeat("x", 1000)})
		e.Record.Reasons = append(e.Record.Reasons, dmarc.Override{Comment: strings.Repeat("x", 1000)})
	}
	addAll(t, d, e)
	l, err := d.Evaluations(ctxbg, "a.example", day, day.Add(time.Hour))
	if err != nil || len(l) != 1 {
		t.Fatalf("%d evaluations, %v", len(l), err)
	}
	got := l[0]
	if len(got.RUA) != maxRUA || len(got.Record.DKIM) != maxSignatures || len(got.Record.Reasons) != maxReasons || len(got.Record.DKIM[1].Selector) != maxText {
		t.Errorf("%+v", got)
	}
	if len(e.RUA) != 1001 || len(e.Record.DKIM[1].Selector) != 1000 {
		t.Error("the caller's value was changed")
	}
}

func TestEvaluationThatSaysNothingIsRefused(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	for name, edit := range map[string]func(*Evaluation){
		"domain":   func(e *Evaluation) { e.Published.Domain = "" },
		"source":   func(e *Evaluation) { e.Record.SourceIP = netip.Addr{} },
		"messages": func(e *Evaluation) { e.Record.Count = 0 },
	} {
		e := evaluation("a.example", "192.0.2.1", day)
		edit(&e)
		if err := d.AddEvaluation(e); err == nil {
			t.Errorf("no %s, no error", name)
		}
	}
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if l, err := Verify(ctxbg, dir); err != nil || len(l) > 0 {
		t.Errorf("no databases: %v, %v", l, err)
	}
	d, err := Open(ctxbg, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id, err := d.AddReport(ctxbg, incoming(t, feedback("a", 1), "example.org", "reporter.example"), Reference{})
	if err != nil {
		t.Fatal(err)
	}
	addAll(t, d, evaluation("a.example", "192.0.2.1", day))
	if err := d.Flush(ctxbg); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		d.reports.Delete(ctxbg, &content{ReportID: id}),
		d.reports.Insert(ctxbg, &content{ReportID: 99}),
		d.reports.Update(ctxbg, &reportUsage{"example.org", 5, 5}),
		d.evals.Delete(ctxbg, &evaluationUsage{PolicyDomain: allDomains}),
		d.evals.Update(ctxbg, &evaluationUsage{"a.example", 2}),
		d.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := Verify(ctxbg, dir)
	all := strings.Join(l, "\n")
	if err != nil || len(l) != 5 {
		t.Errorf("%d problems, %v:\n%s", len(l), err, all)
	}
	for _, want := range []string{"has no content", "content of report 99", "example.org has 1 reports", "a.example has 1 evaluations", "domain * are not counted"} {
		if !strings.Contains(all, want) {
			t.Errorf("no problem %q in:\n%s", want, all)
		}
	}
	for _, name := range []string{ReportsName, EvaluationsName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", 4*4096)), 0600); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := Verify(ctxbg, dir); err != nil || len(l) != 2 {
		t.Errorf("damaged: %v, %v", l, err)
	}
}

func BenchmarkAddEvaluation(b *testing.B) {
	d := openDB(b)
	e := evaluation("a.example", "192.0.2.1", day)
	for b.Loop() {
		if err := d.AddEvaluation(e); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	n, err := bstore.QueryDB[Evaluation](ctxbg, d.evals).Count()
	if err != nil || n > 1 {
		b.Fatalf("%d records, %v", n, err)
	}
}

func TestEvaluationsAreReadOneByOne(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	for i, ip := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		addAll(t, d, evaluation("example.com", ip, day.Add(time.Duration(i)*time.Hour)))
	}
	addAll(t, d, evaluation("example.net", "192.0.2.4", day))
	read := func(from, until time.Time, stop int, err error) (ips []string, rerr error) {
		rerr = d.EachEvaluation(ctxbg, "example.com", from, until, func(e Evaluation) (bool, error) {
			ips = append(ips, e.Record.SourceIP.String())
			return len(ips) < stop, err
		})
		return ips, rerr
	}
	all, end := day, day.Add(24*time.Hour)
	if l, err := read(all, end, 10, nil); err != nil || strings.Join(l, " ") != "192.0.2.1 192.0.2.2 192.0.2.3" {
		t.Errorf("%q, %v", l, err)
	}
	if l, err := read(day.Add(time.Hour), day.Add(2*time.Hour), 10, nil); err != nil || strings.Join(l, " ") != "192.0.2.2" {
		t.Errorf("of an hour: %q, %v", l, err)
	}
	if l, err := read(all, end, 2, nil); err != nil || len(l) != 2 {
		t.Errorf("stopped: %q, %v", l, err)
	}
	if l, err := read(all, end, 10, errors.ErrUnsupported); !errors.Is(err, errors.ErrUnsupported) || len(l) != 1 {
		t.Errorf("failed: %q, %v", l, err)
	}
}
