package tlsrptdb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/reportdb"
	"mox/internal/testkit"
	"mox/tlsrpt"
)

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openResults opens a database that is closed and verified when the test ends.
func openResults(t testing.TB, dir string) *Results {
	t.Helper()
	d, err := OpenResults(ctxbg, ResultsOptions{Dir: dir})
	tcheck(t, err)
	testkit.CloseVerified(t, d, func() ([]string, error) { return Verify(ctxbg, dir) })
	return d
}

// sts is a session for the policy of a recipient domain, which has failed if reason is
// not empty.
func sts(t testing.TB, domain, reason string) Session {
	t.Helper()
	d := parseDomain(t, domain)
	s := Session{RecipientDomain: d, PolicyDomain: d, SendReport: true}
	s.Result.Policy = tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: domain, Text: []string{"version: STSv1", "mode: enforce"}, MXHost: []string{"*." + domain}}
	if reason == "" {
		s.Result.Add(1, 0)
	} else {
		s.Result.Add(0, 1, tlsrpt.FailureDetail{ResultType: tlsrpt.ResultValidationFailure, ReceivingMXHostname: "mx." + domain, Count: 1, FailureReasonCode: reason})
	}
	return s
}

// tlsa is a session for the records of a host.
func tlsa(t testing.TB, domain, host string) Session {
	t.Helper()
	s := Session{RecipientDomain: parseDomain(t, domain), PolicyDomain: parseDomain(t, host), IsHost: true}
	s.Result.Policy = tlsrpt.Policy{Type: tlsrpt.PolicyTLSA, Domain: host, Text: []string{"3 1 1 aa"}}
	s.Result.Add(1, 0)
	return s
}

func summaries(t testing.TB, d *Results, at time.Time) string {
	t.Helper()
	l, err := d.Summaries(ctxbg, at)
	tcheck(t, err)
	var s []string
	for _, r := range l {
		s = append(s, fmt.Sprintf("%s/%s/host=%v records=%d ok=%d fail=%d send=%v", r.PolicyDomain, r.Day, r.IsHost, r.Records, r.Successes, r.Failures, r.SendReport))
	}
	return strings.Join(s, "\n")
}

func TestSessionsOfADayAreOneRecord(t *testing.T) {
	t.Parallel()
	d := openResults(t, t.TempDir())
	at := day.Add(23*time.Hour + 59*time.Minute)
	tcheck(t, d.Add(day, sts(t, "a.example", ""), tlsa(t, "a.example", "mx.example")))
	tcheck(t, d.Add(at, sts(t, "a.example", "why")))
	tcheck(t, d.Flush(ctxbg)) // What comes later is added to what is stored.
	tcheck(t, d.Add(at, sts(t, "a.example", "why"), sts(t, "a.example", "other"), tlsa(t, "b.example", "mx.example")))
	tcheck(t, d.Add(at.Add(time.Hour), sts(t, "a.example", ""))) // The next day.
	want := `a.example/20240301/host=false records=1 ok=1 fail=3 send=true
mx.example/20240301/host=true records=2 ok=2 fail=0 send=false`
	if got := summaries(t, d, at.Add(time.Hour)); got != want {
		t.Errorf("got %s", got)
	}
	if got := summaries(t, d, at); got != "" {
		t.Errorf("day that is not over: %s", got)
	}
	l, err := d.ForRecipientDomain(ctxbg, parseDomain(t, "a.example"), "20240301")
	tcheck(t, err)
	if len(l) != 2 || l[0].PolicyDomain != "a.example" || l[1].PolicyDomain != "mx.example" || !l[1].IsHost {
		t.Fatalf("got %+v", l)
	}
	r := l[0]
	if !r.Created.Equal(day) || !r.Updated.Equal(at) || len(r.Results) != 1 || r.Results[0].Policy.Text[1] != "mode: enforce" {
		t.Errorf("got %+v", r)
	}
	if f := r.Results[0].FailureDetails; len(f) != 2 || f[0].Count != 2 || f[0].FailureReasonCode != "why" || f[1].Count != 1 || f[1].ReceivingMXHostname != "mx.a.example" {
		t.Errorf("details %+v", f)
	}
	l, err = d.ForPolicyDomain(ctxbg, parseDomain(t, "mx.example"), true, "20240301")
	tcheck(t, err)
	if len(l) != 2 || l[0].RecipientDomain != "a.example" || l[1].RecipientDomain != "b.example" {
		t.Errorf("got %+v", l)
	}
}

func TestDomainThatIsItsOwnHostHasBothResults(t *testing.T) {
	t.Parallel()
	d := openResults(t, t.TempDir())
	tcheck(t, d.Add(day, sts(t, "a.example", ""), tlsa(t, "a.example", "a.example")))
	for _, host := range []bool{false, true} {
		l, err := d.ForPolicyDomain(ctxbg, parseDomain(t, "a.example"), host, "20240301")
		tcheck(t, err)
		if len(l) != 1 || l[0].Results[0].Successes != 1 || (l[0].Results[0].Policy.Type == tlsrpt.PolicyTLSA) != host {
			t.Errorf("host %v: got %+v", host, l)
		}
	}
}

func TestPoliciesOfADayAreApart(t *testing.T) {
	t.Parallel()
	d := openResults(t, t.TempDir())
	before := testkit.Metric(t, "mox_tlsrptdb_result_dropped_total")
	for i := range maxResultPolicies + 2 {
		s := sts(t, "a.example", "")
		s.Result.Policy.Text = append(s.Result.Policy.Text, fmt.Sprintf("max_age: %d", i))
		tcheck(t, d.Add(day, s, s))
		if i%2 == 0 {
			tcheck(t, d.Flush(ctxbg))
		}
	}
	l, err := d.ForRecipientDomain(ctxbg, parseDomain(t, "a.example"), "20240301")
	tcheck(t, err)
	if len(l) != 1 || len(l[0].Results) != maxResultPolicies || l[0].Results[9].Successes != 2 {
		t.Errorf("got %+v", l)
	}
	if after := testkit.Metric(t, "mox_tlsrptdb_result_dropped_total"); after == before {
		t.Errorf("what was left out is not counted: %v", after)
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	d := openResults(t, t.TempDir())
	d.limits.results, d.limits.policyDay, d.limits.recipientDay = 12, 4, 3
	for i := range 6 { // Many domains with one host.
		tcheck(t, d.Add(day, tlsa(t, fmt.Sprintf("d%d.example", i), "mx.example")))
		tcheck(t, d.Flush(ctxbg))
	}
	for i := range 6 { // Many hosts of one domain.
		tcheck(t, d.Add(day, tlsa(t, "many.example", fmt.Sprintf("mx%d.many.example", i))))
		tcheck(t, d.Flush(ctxbg))
	}
	count := func() int {
		n, err := bstore.QueryDB[TLSResult](ctxbg, d.bdb).Count()
		tcheck(t, err)
		return n
	}
	if n := count(); n != 4+3 {
		t.Errorf("got %d records", n)
	}
	for i := range 20 {
		tcheck(t, d.Add(day, sts(t, fmt.Sprintf("e%d.example", i), "")))
	}
	tcheck(t, d.Flush(ctxbg))
	if n := count(); n != 12 {
		t.Errorf("got %d records", n)
	}
	// What is there is still added to.
	tcheck(t, d.Add(day, tlsa(t, "d0.example", "mx.example")))
	l, err := d.ForRecipientDomain(ctxbg, parseDomain(t, "d0.example"), "20240301")
	tcheck(t, err)
	if len(l) != 1 || l[0].Results[0].Successes != 2 {
		t.Errorf("got %+v", l)
	}

	// Texts that servers choose are cut, and details counted.
	d.limits.results = MaxResults
	for i := range maxResultDetails + 50 {
		s := sts(t, "long.example", fmt.Sprint(i))
		s.Result.FailureDetails[0].ReceivingMXHelo = strings.Repeat("x", 10*maxText)
		tcheck(t, d.Add(day, s))
	}
	l, err = d.ForRecipientDomain(ctxbg, parseDomain(t, "long.example"), "20240301")
	tcheck(t, err)
	if p := l[0].Results[0]; p.Failures != maxResultDetails+50 || len(p.FailureDetails) != maxResultDetails || len(p.FailureDetails[0].ReceivingMXHelo) != maxText {
		t.Errorf("%d failures, %d details", p.Failures, len(p.FailureDetails))
	}
}

func TestWaitingResultsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // Nothing is written meanwhile.
		d := openResults(t, t.TempDir())
		d.writer.Look(func(p *pending) {
			for i := range maxPending - 1 {
				p.results[resultKey{policy: fmt.Sprintf("d%d.example", i)}] = &TLSResult{}
				p.hosts[fmt.Sprintf("mx%d.example", i)] = day
			}
		})
		tcheck(t, d.Add(day, sts(t, "a.example", ""), sts(t, "b.example", ""), sts(t, "a.example", "")))
		d.SetTLS(ctxbg, parseDomain(t, "mx.a.example"))
		d.SetTLS(ctxbg, parseDomain(t, "mx.b.example"))
		d.writer.Look(func(p *pending) {
			if n, m := len(p.results), len(p.hosts); n != maxPending || m != maxPending {
				t.Errorf("%d results and %d hosts wait", n, m)
			}
			clear(p.results)
			clear(p.hosts)
		})
	})
}

func TestResultsAreWrittenInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openResults(t, t.TempDir())
		stored := func() int {
			n, err := bstore.QueryDB[TLSResult](ctxbg, d.bdb).Count()
			tcheck(t, err)
			return n
		}
		for range 10 {
			tcheck(t, d.Add(time.Time{}, sts(t, "a.example", "")))
		}
		if n := stored(); n != 0 {
			t.Errorf("%d records at once", n)
		}
		time.Sleep(writeDelay)
		synctest.Wait()
		if n := stored(); n != 1 {
			t.Errorf("%d records after a second", n)
		}
		// A record stays two days beyond its day, and then goes when something is written.
		for i, want := range []int{2, 3, 3} {
			time.Sleep(24 * time.Hour)
			tcheck(t, d.Add(time.Time{}, sts(t, "a.example", "")))
			time.Sleep(writeDelay)
			synctest.Wait()
			if n := stored(); n != want {
				t.Errorf("%d records after %d days", n, i+1)
			}
		}
	})
}

func TestResultsAreWrittenWhenTheDatabaseCloses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openResults(t, dir)
	tcheck(t, d.Add(day, sts(t, "a.example", "")))
	d.SetTLS(ctxbg, parseDomain(t, "mx.example"))
	tcheck(t, d.Close())
	if err := d.Add(day, sts(t, "a.example", "")); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	d = openResults(t, dir)
	if got := summaries(t, d, day.Add(24*time.Hour)); !strings.Contains(got, "ok=1") {
		t.Errorf("got %s", got)
	}
	if !d.DidTLS(ctxbg, parseDomain(t, "mx.example")) {
		t.Errorf("host is not known")
	}
}

func TestReportedResultsAreMarkedAndRemoved(t *testing.T) {
	t.Parallel()
	d := openResults(t, t.TempDir())
	a, mx := parseDomain(t, "a.example"), parseDomain(t, "mx.example")
	tcheck(t, d.Add(day, sts(t, "a.example", ""), tlsa(t, "a.example", "mx.example"), tlsa(t, "b.example", "mx.example")))
	tcheck(t, d.Add(day.Add(24*time.Hour), sts(t, "a.example", "")))
	tcheck(t, d.Flush(ctxbg))
	untold := func(want ...Recipient) {
		t.Helper()
		if got, err := d.Untold(ctxbg, day.Add(24*time.Hour)); err != nil || !slices.Equal(got, want) {
			t.Errorf("not told yet: %v, %v", got, err)
		}
	}
	untold(Recipient{"a.example", "20240301"}, Recipient{"b.example", "20240301"})
	tcheck(t, d.SetSent(ctxbg, a, "20240301", []string{"tls@a.example"}))
	tcheck(t, d.SetSent(ctxbg, a, "20240301", nil)) // Changes nothing.
	untold(Recipient{"b.example", "20240301"})
	l, err := d.ForPolicyDomain(ctxbg, mx, true, "20240301")
	tcheck(t, err)
	if len(l) != 2 || !l[0].SentToRecipientDomain || !slices.Equal(l[0].RecipientDomainReportingAddresses, []string{"tls@a.example"}) || l[1].SentToRecipientDomain {
		t.Errorf("got %+v", l)
	}
	tcheck(t, d.Remove(ctxbg, a, false, "20240301"))
	want := `mx.example/20240301/host=true records=2 ok=2 fail=0 send=false
a.example/20240302/host=false records=1 ok=1 fail=0 send=true`
	if got := summaries(t, d, day.Add(48*time.Hour)); got != want {
		t.Errorf("got %s", got)
	}
	tcheck(t, d.Remove(ctxbg, mx, true, "20240301"))
	tcheck(t, d.Prune(ctxbg, day.Add(5*24*time.Hour)))
	if got := summaries(t, d, day.Add(48*time.Hour)); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestResultNeedsItsDomains(t *testing.T) {
	t.Parallel()
	d := openResults(t, t.TempDir())
	s := sts(t, "a.example", "")
	s.PolicyDomain.ASCII = ""
	if err := d.Add(day, s); err == nil {
		t.Errorf("no error")
	}
}

func TestSuppressedAddressesGetNoReports(t *testing.T) {
	t.Parallel()
	d := openResults(t, t.TempDir())
	s, err := d.Suppress(ctxbg, "A@a.example", day, strings.Repeat("x", reportdb.MaxComment+1))
	if err != nil || len(s.Comment) != reportdb.MaxComment {
		t.Errorf("comment of %d bytes, %v", len(s.Comment), err)
	}
	if got, err := d.IsSuppressed(ctxbg, "a@a.example", day.Add(-time.Second)); err != nil || !got {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := d.Suppress(ctxbg, "", day, ""); err == nil || !strings.Contains(err.Error(), "for tls reports") {
		t.Errorf("empty address: %v", err)
	}
}

// waiting returns how many hosts are not written yet.
func waiting(d *Results) (n int) {
	d.writer.Look(func(p *pending) { n = len(p.hosts) })
	return n
}

func TestHostsThatDidTLSAreRememberedForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openResults(t, t.TempDir())
		a, b := parseDomain(t, "mx.a.example"), parseDomain(t, "mx.b.example")
		d.SetTLS(ctxbg, a)
		if !d.DidTLS(ctxbg, a) || d.DidTLS(ctxbg, b) {
			t.Errorf("at once: not known")
		}
		time.Sleep(writeDelay)
		synctest.Wait()
		if !d.DidTLS(ctxbg, a) || waiting(d) != 0 {
			t.Errorf("when written: not known")
		}
		d.SetTLS(ctxbg, a)
		if waiting(d) != 0 {
			t.Errorf("it is written again within a day")
		}
		time.Sleep(HostAge - time.Hour)
		d.SetTLS(ctxbg, a)
		time.Sleep(2 * time.Hour)
		if !d.DidTLS(ctxbg, a) {
			t.Errorf("the last time does not count")
		}
		time.Sleep(HostAge)
		if d.DidTLS(ctxbg, a) {
			t.Errorf("known for ever")
		}
		tcheck(t, d.Prune(ctxbg, time.Now()))
		n, err := bstore.QueryDB[tlsHost](ctxbg, d.bdb).Count()
		tcheck(t, err)
		if n != 0 {
			t.Errorf("%d hosts are stored", n)
		}
	})
}

func TestHostsThatDidTLSAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openResults(t, t.TempDir())
		d.limits.hosts = 3
		host := parseDomain(t, "mx.example")
		for i := range 6 {
			host.ASCII = fmt.Sprintf("mx%d.example", i)
			d.SetTLS(ctxbg, host)
			tcheck(t, d.Flush(ctxbg))
			time.Sleep(time.Minute)
		}
		for i := range 6 {
			host.ASCII = fmt.Sprintf("mx%d.example", i)
			if got := d.DidTLS(ctxbg, host); got != (i >= 3) {
				t.Errorf("%s: %v", host, got)
			}
		}
	})
}

func TestVerifyFindsWrongResults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := OpenResults(ctxbg, ResultsOptions{Dir: dir})
	tcheck(t, err)
	good, err := newResult(sts(t, "a.example", ""), day)
	tcheck(t, err)
	insert := func(edit func(r *TLSResult)) {
		r := good
		edit(&r)
		tcheck(t, d.bdb.Insert(ctxbg, &r))
	}
	insert(func(r *TLSResult) { r.PolicyDomain = "b.example" })
	insert(func(r *TLSResult) { r.RecipientDomain, r.IsHost = "not a domain", true })
	insert(func(r *TLSResult) { r.Day = "today" })
	insert(func(r *TLSResult) { r.Results = nil })
	tcheck(t, d.bdb.Insert(ctxbg, &tlsHost{"UPPER.example", day}))
	tcheck(t, d.Close())
	l, err := Verify(ctxbg, dir)
	tcheck(t, err)
	if len(l) != 4+1+2 {
		t.Errorf("got %q", l)
	}
}

func BenchmarkAdd(b *testing.B) {
	d := openResults(b, b.TempDir())
	s, h := sts(b, "a.example", ""), tlsa(b, "a.example", "mx.example")
	b.ReportAllocs()
	for b.Loop() {
		tcheck(b, d.Add(day, s, h))
	}
}

func BenchmarkDidTLS(b *testing.B) {
	d := openResults(b, b.TempDir())
	known, other := parseDomain(b, "mx.a.example"), parseDomain(b, "mx.b.example")
	d.SetTLS(ctxbg, known)
	tcheck(b, d.Flush(ctxbg))
	b.ReportAllocs()
	for b.Loop() {
		if !d.DidTLS(ctxbg, known) || d.DidTLS(ctxbg, other) {
			b.Fatal("wrong answer")
		}
		d.SetTLS(ctxbg, known)
	}
}
