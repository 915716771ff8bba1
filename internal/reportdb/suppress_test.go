package reportdb

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSuppressedAddressGetsNoReportsUntilItsTime(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	until := day.Add(24 * time.Hour)
	first, err := d.Suppress(ctxbg, "DMARC@example.org", until, "complained")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		address string
		at      time.Time
		want    bool
	}{
		{"dmarc@example.org", day, true},
		{"Dmarc@Example.Org", until.Add(-time.Second), true},
		{"dmarc@example.org", until, false},
		{"other@example.org", day, false},
		{"", day, false},
	} {
		if got, err := d.IsSuppressed(ctxbg, tc.address, tc.at); err != nil || got != tc.want {
			t.Errorf("%s at %s: %v, %v", tc.address, tc.at, got, err)
		}
	}
	again, err := d.Suppress(ctxbg, "dmarc@example.org", until.Add(time.Hour), "longer")
	if err != nil || again.ID != first.ID || !again.Inserted.Equal(first.Inserted) {
		t.Errorf("extended: %+v, %v", again, err)
	}
	if _, err := d.Suppress(ctxbg, "a@example.org", until, ""); err != nil {
		t.Fatal(err)
	}
	l, err := d.Suppressions(ctxbg)
	if err != nil || len(l) != 2 || l[0].ReportingAddress != "a@example.org" || l[1].Comment != "longer" {
		t.Errorf("%+v, %v", l, err)
	}
	if err := d.Unsuppress(ctxbg, "DMARC@example.org"); err != nil {
		t.Error(err)
	}
	if err := d.Unsuppress(ctxbg, "dmarc@example.org"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestSuppressedAddressesAreBounded(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	d.max = 1
	if _, err := d.Suppress(ctxbg, "a@example.org", day, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Suppress(ctxbg, "b@example.org", day, ""); !errors.Is(err, ErrLimit) {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := d.Suppress(ctxbg, "a@example.org", day.Add(time.Hour), ""); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for _, tc := range []struct {
		address, comment string
		until            time.Time
	}{
		{"", "", day}, {"c@example.org", "", time.Time{}},
		{strings.Repeat("x", maxReportingAddress+1), "", day},
		{"c@example.org", strings.Repeat("x", MaxComment+1), day},
	} {
		if _, err := d.Suppress(ctxbg, tc.address, tc.until, tc.comment); err == nil || errors.Is(err, ErrLimit) {
			t.Errorf("%.20q: %v", tc.address, err)
		}
	}
}
