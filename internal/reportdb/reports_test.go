package reportdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
)

// item is the record of a report, with content and usage.
type (
	item struct {
		ID           int64
		PolicyDomain string `bstore:"index PolicyDomain+Received,index PolicyDomain+Reporter+Received"`
		Reporter     string
		Digest       string `bstore:"unique"`
		Begin        time.Time
		End          time.Time `bstore:"index"`
		Received     time.Time
		Size         int64
		Kept         int32
		Account      string
		ContentID    int64
	}
	content Content
	usage   Usage
)

var ctxbg = context.Background()

// day is a day in reports.
var day = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)

type db struct {
	Reports[item, content, usage]
	SuppressList
}

// openDB opens a database in a new directory, whose reports are verified when the test ends.
func openDB(t testing.TB) *db {
	t.Helper()
	bdb, err := bstore.Open(ctxbg, filepath.Join(t.TempDir(), "x.db"), nil, item{}, content{}, usage{}, Suppression{})
	if err != nil {
		t.Fatal(err)
	}
	d := &db{Reports[item, content, usage]{
		DB: bdb, Kind: "test", Begin: "Begin", Parts: "bytes",
		Limits: Limits{ReporterDay: 100, DomainDay: 100, DomainReports: 100, DomainSize: 1000},
		Meta:   func(r item) Meta { return Meta{r.ID, r.PolicyDomain, r.Reporter, r.Digest, r.Received, r.Size, r.Kept} },
	}, NewSuppressList(bdb, "test")}
	t.Cleanup(func() {
		parts := func(data []byte) (int, error) { return len(data), nil }
		if err := errors.Join(bdb.Read(ctxbg, func(tx *bstore.Tx) error { return d.Verify(tx, parts, t.Errorf) }), bdb.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// add stores a report with ten bytes of content.
func (d *db) add(id, domain, reporter string, received time.Time) error {
	data := []byte("0123456789")
	r := item{PolicyDomain: domain, Reporter: reporter, Digest: Digest(domain, reporter, "org", id), Begin: day, End: day.Add(time.Hour), Received: received, Size: 10, Kept: 10, Account: "ann", ContentID: 7}
	return d.DB.Write(ctxbg, func(tx *bstore.Tx) error { return d.Insert(tx, &r, data) })
}

func TestReportersAreLimited(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	d.Limits.ReporterDay, d.Limits.DomainDay = 2, 4
	for i, test := range []struct {
		domain, reporter string
		hours            int
		want             error
	}{
		{"example.org", "reporter.example", 0, nil},
		{"example.org", "reporter.example", 1, nil},
		{"example.org", "reporter.example", 2, ErrLimit},
		{"example.org", "one.example", 3, nil},
		{"example.org", "two.example", 4, nil},
		{"example.org", "three.example", 5, ErrLimit}, // The domain has had all it can.
		{"example.net", "reporter.example", 5, nil},
		{"example.org", "reporter.example", 24, nil}, // The first report is a day old.
		{"example.org", "reporter.example", 24, ErrLimit},
	} {
		if err := d.add(fmt.Sprint(i), test.domain, test.reporter, day.Add(time.Duration(test.hours)*time.Hour)); !errors.Is(err, test.want) {
			t.Errorf("%d: %v, want %v", i, err, test.want)
		}
	}
	if err := d.add("0", "example.org", "reporter.example", day.AddDate(0, 0, 9)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the first report again: %v", err)
	}
}

func TestOldestReportsMakeRoom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		set  func(*Limits)
		step time.Duration // Of when they are received.
		want []int64
	}{
		"number": {func(l *Limits) { l.DomainReports = 3 }, time.Minute, []int64{5, 7, 9}},
		"size":   {func(l *Limits) { l.DomainSize = 35 }, time.Minute, []int64{5, 7, 9}},
		"late":   {func(l *Limits) { l.DomainReports = 3 }, -time.Minute, []int64{1, 3, 9}}, // What comes is never the one to go.
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDB(t)
			test.set(&d.Limits)
			for i := range 5 {
				for _, domain := range []string{"example.org", "example.net"} {
					if err := d.add(fmt.Sprint(i), domain, "reporter.example", day.Add(time.Duration(i)*test.step)); err != nil {
						t.Fatal(err)
					}
				}
			}
			l, err := d.List(ctxbg, dns.Domain{ASCII: "example.org"}, day, day.AddDate(0, 0, 1), 0)
			var got []int64
			for _, r := range l {
				got = append(got, r.ID)
			}
			slices.Sort(got)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("reports %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestReportsFollowTheirAccount(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	if err := d.add("x", "example.org", "reporter.example", day); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from, to string
		content  int64
	}{{"ann", "bob", 7}, {"bob", "", 0}} {
		if err := d.RenameAccount(ctxbg, test.from, test.to); err != nil {
			t.Fatal(err)
		}
		r := item{ID: 1}
		data, err := d.Get(ctxbg, 1, &r)
		if err != nil || string(data) != "0123456789" || r.Account != test.to || r.ContentID != test.content {
			t.Errorf("%+v: %+v with %q, %v", test, r, data, err)
		}
	}
}
