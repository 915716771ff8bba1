package mtastsdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/testkit"
	"mox/mtasts"
)

// get returns the mode and hosts of a policy, and what went wrong.
func get(t testing.TB, d *DB, domain string) string {
	t.Helper()
	p, problem, err := d.Get(t.Context(), parseDomain(t, domain))
	var l []string
	if p != nil {
		l = append(l, string(p.Mode))
		for _, mx := range p.MX {
			l = append(l, mx.String())
		}
	}
	for name, kind := range map[string]error{"dns": mtasts.ErrDNS, "fetch": mtasts.ErrFetch, "syntax": mtasts.ErrPolicySyntax} {
		if errors.Is(problem, kind) {
			l = append(l, "problem:"+name)
		}
		if errors.Is(err, kind) {
			l = append(l, "error:"+name)
		}
	}
	return strings.Join(l, " ")
}

func TestPolicyHoldsUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := openDB(t, w.options())
		const domain = "a.example"
		step := func(what, want, counts string) {
			t.Helper()
			if got := get(t, d, domain); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
			if got := w.counts(); got != counts {
				t.Errorf("%s: got %s, want %s", what, got, counts)
			}
		}
		step("no record", "", "1 lookups, 0 fetches")
		w.set(domain, "1", policyText("testing", "mx1.a.example", 86400))
		step("within a short time", "", "0 lookups, 0 fetches")
		time.Sleep(missingAge)
		step("new record", "testing mx1.a.example", "1 lookups, 1 fetches")
		step("again", "testing mx1.a.example", "0 lookups, 0 fetches")
		time.Sleep(recordAge)
		step("record looked up again", "testing mx1.a.example", "1 lookups, 0 fetches")

		w.set(domain, "2", policyText("enforce", "mx2.a.example", 86400))
		time.Sleep(recordAge)
		step("other record", "enforce mx2.a.example", "1 lookups, 1 fetches")
		l, err := d.Policies(t.Context())
		tcheck(t, err)
		if len(l) != 1 || l[0].Text != policyText("enforce", "mx2.a.example", 86400) || l[0].RecordID != "2" {
			t.Errorf("stored: %+v", l)
		}

		w.set(domain, "3", "status 500")
		time.Sleep(recordAge)
		step("other record, no policy", "enforce mx2.a.example problem:fetch", "1 lookups, 1 fetches")
		step("not tried again at once", "enforce mx2.a.example problem:fetch", "0 lookups, 0 fetches")
		w.set(domain, "fail", "")
		time.Sleep(recordAge)
		step("lookup fails", "enforce mx2.a.example", "1 lookups, 0 fetches")
		w.set(domain, "", "")
		step("no record any more", "enforce mx2.a.example", "1 lookups, 0 fetches")

		time.Sleep(24 * time.Hour)
		step("its time is over", "", "1 lookups, 0 fetches")
		w.set(domain, "fail", "")
		time.Sleep(missingAge)
		step("lookup fails without a policy", "error:dns", "1 lookups, 0 fetches")
	})
}

func TestPolicyThatCannotBeFetchedIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		opts := w.options()
		opts.Dir = t.TempDir()
		d := openDB(t, opts)
		w.set("a.example", "1", "status 500")
		w.set("b.example", "1", "nonsense")
		for range 3 {
			if a, b := get(t, d, "a.example"), get(t, d, "b.example"); a != "problem:fetch" || b != "problem:syntax" {
				t.Fatalf("got %q, %q", a, b)
			}
		}
		if got := w.counts(); got != "2 lookups, 2 fetches" {
			t.Errorf("got %s", got)
		}
		// It is known after a restart, too.
		closeDB(t, d)
		d = openDB(t, opts)
		_, problem, err := d.Get(t.Context(), parseDomain(t, "a.example"))
		var serr *mtasts.StatusError
		if err != nil || !errors.As(problem, &serr) || serr.Code != 500 {
			t.Errorf("after restart: %v, %v", problem, err)
		}
		if got := w.counts(); got != "1 lookups, 0 fetches" {
			t.Errorf("after restart: %s", got)
		}
		w.set("a.example", "1", policyText("enforce", "mx.a.example", 3600))
		time.Sleep(Backoff)
		if got := get(t, d, "a.example"); got != "enforce mx.a.example" {
			t.Errorf("later: got %q", got)
		}
	})
}

func TestDeliveriesToADomainWaitForOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.gate = make(chan struct{})
		d := openDB(t, w.options())
		w.set("a.example", "1", policyText("enforce", "mx.a.example", 3600))
		got := make(chan string, 20)
		for range cap(got) {
			go func() { got <- get(t, d, "a.example") }()
		}
		synctest.Wait() // One of them fetches, and is not the one that gives up.
		ctx, cancel := context.WithCancel(t.Context())
		canceled := make(chan error)
		go func() {
			_, _, err := d.Get(ctx, parseDomain(t, "a.example"))
			canceled <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-canceled; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		close(w.gate)
		for range cap(got) {
			if s := <-got; s != "enforce mx.a.example" {
				t.Errorf("got %q", s)
			}
		}
		if c := w.counts(); c != "1 lookups, 1 fetches" {
			t.Errorf("got %s", c)
		}
		if len(d.busy) != 0 {
			t.Errorf("busy: %v", d.busy)
		}
	})
}

func TestFetchThatIsCanceledSaysNothingAboutThePolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.gate = make(chan struct{})
		d := openDB(t, w.options())
		w.set("a.example", "1", policyText("enforce", "mx.a.example", 3600))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, problem, err := d.Get(ctx, parseDomain(t, "a.example")); problem != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", problem, err)
		}
		// One that takes too long is another matter.
		start := time.Now()
		if got := get(t, d, "a.example"); got != "problem:fetch" || time.Since(start) != mtasts.FetchTimeout {
			t.Errorf("got %q after %s", got, time.Since(start))
		}
	})
}

func TestShortestMaxAgeDoesNotMakeEachDeliveryFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := openDB(t, w.options())
		w.set("a.example", "1", policyText("enforce", "mx.a.example", 0))
		for range 3 {
			if got := get(t, d, "a.example"); got != "enforce mx.a.example" {
				t.Errorf("got %q", got)
			}
		}
		if c := w.counts(); c != "1 lookups, 1 fetches" {
			t.Errorf("got %s", c)
		}
	})
}

func TestNumberOfPoliciesIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := openDB(t, w.options())
		d.max = 3
		for i := range 6 {
			domain := fmt.Sprintf("d%d.example", i)
			w.set(domain, "1", policyText("enforce", "mx."+domain, 86400*30))
			get(t, d, domain)
			time.Sleep(useStep)
			get(t, d, "d1.example") // Stays, because it is used.
		}
		l, err := d.Policies(t.Context())
		tcheck(t, err)
		var names []string
		for _, r := range l {
			names = append(names, r.Domain)
		}
		if got := strings.Join(names, " "); got != "d1.example d4.example d5.example" || d.stored != 3 {
			t.Errorf("got %s, %d stored", got, d.stored)
		}
	})
}

func TestNumberOfRememberedRecordsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openDB(t, newWorld().options())
		domain := parseDomain(t, "a.example")
		for i := range maxRecords + 10 {
			domain.ASCII = fmt.Sprintf("d%d.example", i)
			d.see(domain, seenRecord{"", time.Now().Add(missingAge)}, time.Now())
			if len(d.records) > maxRecords {
				t.Fatalf("%d records", len(d.records))
			}
		}
		time.Sleep(missingAge)
		for i := range maxRecords {
			domain.ASCII = fmt.Sprintf("e%d.example", i)
			d.see(domain, seenRecord{"", time.Now().Add(missingAge)}, time.Now())
		}
		if _, ok := d.records["d5.example"]; ok || len(d.records) > maxRecords {
			t.Errorf("%d records, old ones among them: %v", len(d.records), ok)
		}
	})
}

// It counts, so it runs alone.
func TestLookupsAreCountedByResult(t *testing.T) {
	w := newWorld()
	d := openDB(t, w.options())
	w.set("ok.example", "1", policyText("enforce", "mx.ok.example", 3600))
	w.set("backoff.example", "1", "status 500")
	w.set("error.example", "fail", "")
	for _, result := range []string{"ok", "backoff", "error", "notfound"} {
		name := fmt.Sprintf("mox_mtastsdb_get_total{result=%q}", result)
		before := testkit.Metric(t, name)
		get(t, d, result+".example")
		if after := testkit.Metric(t, name); after == before {
			t.Errorf("%s: still %v", name, after)
		}
	}
	if testkit.Metric(t, `mox_mtasts_get_duration_seconds_count{result="fetch"}`) == 0 {
		t.Errorf("failed fetch was not counted")
	}
}

func BenchmarkGet(b *testing.B) {
	w := newWorld()
	d := openDB(b, w.options())
	w.set("policy.example", "1", policyText("enforce", "mx.policy.example", 86400))
	for _, name := range []string{"policy.example", "none.example"} {
		b.Run(name, func(b *testing.B) {
			domain := parseDomain(b, name)
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := d.Get(b.Context(), domain)
				tcheck(b, err)
			}
		})
	}
}
