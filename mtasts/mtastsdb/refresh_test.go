package mtastsdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mjl-/bstore"
)

// stored returns the domains and first hosts of what is stored.
func stored(t testing.TB, d *DB) string {
	t.Helper()
	l, err := d.Policies(context.Background())
	tcheck(t, err)
	var s []string
	for _, r := range l {
		_, mx, _ := strings.Cut(r.Text, "mx: ")
		mx, _, _ = strings.Cut(mx, "\r\n")
		s = append(s, r.Domain+"="+mx)
	}
	return strings.Join(s, " ")
}

func TestPoliciesAreRefreshedOnceADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := openDB(t, w.options())
		for _, name := range []string{"a", "gone", "none", "broken"} {
			mode := "enforce"
			if name == "none" {
				mode = "none"
			}
			w.set(name+".example", "1", policyText(mode, "mx1."+name+".example", 7*86400))
			get(t, d, name+".example")
		}
		w.set("failed.example", "1", "status 500")
		get(t, d, "failed.example")
		w.counts()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()

		time.Sleep(RefreshAge - time.Minute)
		if got := w.counts(); got != "0 lookups, 0 fetches" {
			t.Errorf("before they are old: %s", got)
		}
		w.set("a.example", "1", policyText("enforce", "mx2.a.example", 7*86400)) // With the same record.
		w.set("gone.example", "", "")
		w.set("none.example", "", "")
		w.set("broken.example", "2", "nonsense")
		time.Sleep(RefreshInterval - RefreshAge + firstRefresh + RefreshSpread)
		if got := w.counts(); got != "4 lookups, 2 fetches" {
			t.Errorf("refreshed: %s", got)
		}
		want := "a.example=mx2.a.example broken.example=mx1.broken.example gone.example=mx1.gone.example"
		if got := stored(t, d); got != want {
			t.Errorf("after a day: %s, want %s", got, want)
		}
		// In force for another max_age, long after the first one.
		time.Sleep(13 * 24 * time.Hour)
		w.counts()
		if got := get(t, d, "a.example"); got != "enforce mx2.a.example" {
			t.Errorf("after two weeks: %q", got)
		}
		if got := w.counts(); got != "1 lookups, 0 fetches" {
			t.Errorf("after two weeks: %s", got)
		}
		if got := stored(t, d); !strings.Contains(got, "a.example=") || strings.Contains(got, "gone") {
			t.Errorf("after two weeks: %s", got)
		}
		time.Sleep(Unused + 2*RefreshInterval)
		if got := stored(t, d); got != "" || d.stored != 0 {
			t.Errorf("after no use for a long time: %q, %d", got, d.stored)
		}
		cancel()
		tcheck(t, <-done)
	})
}

func TestRefreshesAreSpreadAndFewAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := openDB(t, w.options())
		const n = 60
		for i := range n {
			domain := fmt.Sprintf("d%d.example", i)
			w.set(domain, "1", policyText("enforce", "mx."+domain, 30*86400))
			get(t, d, domain)
		}
		time.Sleep(RefreshAge + time.Second)
		w.counts()
		start := time.Now()
		tcheck(t, d.Refresh(t.Context(), time.Hour))
		if took := time.Since(start); took < 50*time.Minute || took > time.Hour {
			t.Errorf("took %s", took)
		}
		if got := w.counts(); got != fmt.Sprintf("%d lookups, %d fetches", n, n) {
			t.Errorf("got %s", got)
		}

		// Servers that do not answer hold up only so many.
		time.Sleep(RefreshAge + time.Second)
		w.gate, w.most = make(chan struct{}), 0
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Refresh(ctx, 0) }()
		synctest.Wait()
		if w.most != refreshConcurrent {
			t.Errorf("%d at a time", w.most)
		}
		cancel()
		if err := <-done; err == nil {
			t.Errorf("canceled: no error")
		}
	})
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if l, err := Verify(t.Context(), dir); err != nil || len(l) > 0 {
		t.Errorf("without a database: %v, %v", l, err)
	}
	opts := newWorld().options()
	opts.Dir = dir
	d, err := Open(t.Context(), opts)
	tcheck(t, err)
	now := time.Now().UTC().Round(0)
	text := policyText("enforce", "mx.example", 3600)
	for _, r := range []PolicyRecord{
		{Domain: "good.example", RecordID: "1", Text: text, LastUpdate: now, ValidEnd: now.Add(time.Hour), LastUse: now},
		{Domain: "UPPER.example", RecordID: "1", Text: text, LastUpdate: now, ValidEnd: now.Add(time.Hour), LastUse: now},
		{Domain: "empty.example", LastUse: now},
		{Domain: "text.example", RecordID: "1", Text: "nonsense", LastUpdate: now, ValidEnd: now.Add(time.Hour), LastUse: now},
		{Domain: "id.example", Text: text, LastUpdate: now, ValidEnd: now.Add(time.Hour), LastUse: now},
		{Domain: "end.example", RecordID: "1", Text: text, LastUpdate: now, ValidEnd: now.Add(2 * time.Hour), LastUse: now},
		{Domain: "problem.example", RecordID: "1", Text: text, LastUpdate: now, ValidEnd: now.Add(time.Hour), LastUse: now, Problem: "fetch"},
	} {
		tcheck(t, d.bdb.Write(t.Context(), func(tx *bstore.Tx) error { return tx.Insert(&r) }))
	}
	// What is stored and malformed is as if it was not there.
	if p, _, err := d.Get(t.Context(), parseDomain(t, "text.example")); p != nil || err != nil {
		t.Errorf("malformed policy: %v, %v", p, err)
	}
	tcheck(t, d.Close())
	l, err := Verify(t.Context(), dir)
	tcheck(t, err)
	if len(l) != 6 || strings.Contains(strings.Join(l, "\n"), "good.example") {
		t.Errorf("got %q", l)
	}
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	tcheck(t, err)
	tcheck(t, os.WriteFile(path, data[:len(data)/2], 0600))
	if l, err := Verify(t.Context(), dir); err == nil && len(l) == 0 {
		t.Errorf("damaged file: nothing found")
	}
}
