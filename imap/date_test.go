package imap

import (
	"testing"
	"time"
)

func TestDate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want Date
	}{
		{"1-Feb-1994", Date{1994, time.February, 1}},
		{"01-Feb-1994", Date{1994, time.February, 1}},
		{"31-dec-9999", Date{9999, time.December, 31}},
		{"29-FEB-2000", Date{2000, time.February, 29}},
		{"1-Jan-0001", Date{1, time.January, 1}},
	} {
		got, err := ParseDate(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("%q: got %v, %v", tc.in, got, err)
		}
		if again, err := ParseDate(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q", tc.in, got)
		}
	}
	for _, in := range []string{
		"", "1-Feb-94", "29-Feb-1900", "31-Apr-2026", "0-Jan-2026", "32-Jan-2026", "1-Xyz-2026", " 1-Feb-1994", "1-Feb-1994 ",
		"1 Feb 1994", "1-2-1994", "001-Feb-1994", "+1-Feb-1994", "1-Feb--994", "a-Feb-1994", "-1-Feb-1994",
	} {
		if got, err := ParseDate(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
	if s := (Date{1994, time.February, 1}).String(); s != "1-Feb-1994" {
		t.Errorf("got %q", s)
	}
}

func TestDateCompare(t *testing.T) {
	t.Parallel()
	dates := []Date{{1999, 12, 31}, {2000, 1, 1}, {2000, 1, 31}, {2000, 2, 1}, {2001, 1, 1}}
	for i, a := range dates {
		for j, b := range dates {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%v and %v: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestDateOfIsTheDayInTheZoneOfTheTime(t *testing.T) {
	t.Parallel()
	tm := time.Date(2026, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600))
	if got := DateOf(tm); got != (Date{2026, 1, 1}) {
		t.Errorf("got %v", got)
	}
	if got := DateOf(tm.UTC()); got != (Date{2025, 12, 31}) {
		t.Errorf("got %v", got)
	}
}

func TestDateTime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want time.Time
		out  string // Empty for the same.
	}{
		{"17-Jul-1996 02:44:25 -0700", time.Date(1996, 7, 17, 9, 44, 25, 0, time.UTC), ""},
		{" 7-Feb-1994 21:52:25 -0800", time.Date(1994, 2, 8, 5, 52, 25, 0, time.UTC), ""},
		{"7-Feb-1994 21:52:25 -0800", time.Date(1994, 2, 8, 5, 52, 25, 0, time.UTC), " 7-Feb-1994 21:52:25 -0800"},
		{"07-Feb-1994 21:52:25 +0000", time.Date(1994, 2, 7, 21, 52, 25, 0, time.UTC), " 7-Feb-1994 21:52:25 +0000"},
		{"01-JAN-2026 00:00:00 +0545", time.Date(2025, 12, 31, 18, 15, 0, 0, time.UTC), " 1-Jan-2026 00:00:00 +0545"},
		{"31-Dec-2016 23:59:60 +0000", time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC), " 1-Jan-2017 00:00:00 +0000"},
		{"31-Dec-2016 23:59:59 -0030", time.Date(2017, 1, 1, 0, 29, 59, 0, time.UTC), ""},
	} {
		got, err := ParseDateTime(tc.in)
		if err != nil || !got.Equal(tc.want) {
			t.Errorf("%q: got %v, %v", tc.in, got, err)
		}
		if tc.out == "" {
			tc.out = tc.in
		}
		if s := string(AppendDateTime(nil, got)); s != tc.out {
			t.Errorf("%q is written as %q, want %q", tc.in, s, tc.out)
		}
	}
	for _, in := range []string{
		"", "-Feb-1994 21:52:25 -0800", "07-Feb-1994 24:52:25 -0800", "07-Feb-1994 21:60:25 -0800", "07-Feb-1994 21:52:61 -0800",
		"07-Feb-1994 21:52:25 -2400", "07-Feb-1994 21:52:25 -0860", "07-Feb-1994 21:52:25  0800", "07-Feb-1994T21:52:25 -0800",
		"30-Feb-1994 21:52:25 -0800", "  -Feb-1994 21:52:25 -0800", "7 -Feb-1994 21:52:25 -0800", "07-Feb-1994 21:52:25 -0800 ",
		"07-Feb-1994 2x:52:25 -0800", "07-Feb-1994 21.52.25 -0800", "07-Feb-1994 21:52:25 +08:0",
	} {
		if got, err := ParseDateTime(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"1-Feb-1994", "29-Feb-2000", "17-Jul-1996 02:44:25 -0700", " 7-Feb-1994 21:52:60 +0000", "0-Jan-2026"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDate(s); err == nil {
			if again, err := ParseDate(d.String()); err != nil || again != d {
				t.Fatalf("%q is written as %q: %v, %v", s, d, again, err)
			}
			if DateOf(d.Time(time.UTC)) != d {
				t.Fatalf("%q is no day: %v", s, d)
			}
		}
		if tm, err := ParseDateTime(s); err == nil {
			out := string(AppendDateTime(nil, tm))
			if again, err := ParseDateTime(out); err != nil || !again.Equal(tm) {
				if tm.Year() > 9999 {
					return // A leap second at the end of the last year.
				}
				t.Fatalf("%q is written as %q: %v, %v", s, out, again, err)
			}
		}
	})
}

func BenchmarkAppendDateTime(b *testing.B) {
	t := time.Date(1996, 7, 17, 9, 44, 25, 0, time.FixedZone("", -7*3600))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendDateTime(buf[:0], t)
	}
}
