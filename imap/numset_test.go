package imap

import (
	"slices"
	"strings"
	"testing"
)

func TestParseNumSet(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in string
		want     NumSet
	}{
		{"one number", "7", NumSet{Ranges: []NumRange{{7, 7}}}},
		{"the largest number", "4294967295", NumSet{Ranges: []NumRange{{4294967295, 4294967295}}}},
		{"a range", "2:4", NumSet{Ranges: []NumRange{{2, 4}}}},
		{"a reversed range is kept as written", "4:2", NumSet{Ranges: []NumRange{{4, 2}}}},
		{"a star", "*", NumSet{Ranges: []NumRange{{0, 0}}}},
		{"a range to star", "3291:*", NumSet{Ranges: []NumRange{{3291, 0}}}},
		{"a range from star", "*:4,5:7", NumSet{Ranges: []NumRange{{0, 4}, {5, 7}}}},
		{"the example of the RFC", "2,4:7,9,12:*", NumSet{Ranges: []NumRange{{2, 2}, {4, 7}, {9, 9}, {12, 0}}}},
		{"the saved search result", "$", NumSet{Saved: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseNumSet(tc.in, 10)
			if err != nil || !slices.Equal(got.Ranges, tc.want.Ranges) || got.Saved != tc.want.Saved {
				t.Fatalf("got %v, %v, want %v", got, err, tc.want)
			}
			if s := got.String(); s != tc.in {
				t.Errorf("written as %q, want %q", s, tc.in)
			}
		})
	}
}

func TestParseNumSetRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "0", "01", "1:0", "0:1", ",", "1,", ",1", "1,,2", "1:", ":1", "1:2:3", "a", "1a", "1 ", " 1", "-1", "+1",
		"4294967296", "99999999999999999999999", "$,1", "1,$", "**", "*1", "1*",
	} {
		if got, err := ParseNumSet(in, 10); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
	if _, err := ParseNumSet("1,2,3", 3); err != nil {
		t.Errorf("set of as many ranges as allowed: %v", err)
	}
	if _, err := ParseNumSet("1,2,3,4", 3); err == nil {
		t.Error("set of more ranges than allowed is not refused")
	}
}

func TestNumSetResolve(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in string
		largest  uint32
		want     string
	}{
		// RFC 9051 §9, sequence-set: equivalent to 2,4,5,6,7,9,12,13,14,15.
		{"the first example of the RFC", "2,4:7,9,12:*", 15, "2,4:7,9,12:15"},
		// RFC 9051 §9, sequence-set: *:4,5:7 is 4 to 10 in a mailbox of 10.
		{"the second example of the RFC", "*:4,5:7", 10, "4:10"},
		// RFC 9051 §9, seq-range.
		{"a range to star has the largest number", "3291:*", 100, "100:3291"},
		{"star alone", "*", 5, "5"},
		{"star with no numbers is nothing", "*", 0, ""},
		{"a range to star with no numbers is nothing", "1:*,7", 0, "7"},
		{"overlaps are merged", "5:9,1:6,3", 0, "1:9"},
		{"neighbours are merged", "2,1,3", 0, "1:3"},
		{"the end of the numbers does not wrap", "4294967295,1,4294967294", 0, "1,4294967294:4294967295"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			set, err := ParseNumSet(tc.in, 10)
			if err != nil {
				t.Fatal(err)
			}
			if got := set.Resolve(tc.largest).String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNumSetProperties(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in            string
		dynamic, star bool
	}{{"1", false, false}, {"1:*", true, true}, {"*:1", true, true}, {"$", true, false}} {
		set, err := ParseNumSet(tc.in, 10)
		if err != nil || set.Dynamic() != tc.dynamic || set.HasStar() != tc.star || set.Empty() {
			t.Errorf("%q: %v dynamic %v star %v empty %v", tc.in, err, set.Dynamic(), set.HasStar(), set.Empty())
		}
	}
	if !(NumSet{}).Empty() {
		t.Error("the zero set is not empty")
	}
}

// members returns all numbers of a small set, by definition.
func members(set NumSet, largest uint32) map[uint32]bool {
	m := map[uint32]bool{}
	for _, r := range set.Ranges {
		a, b := r.First, r.Last
		if a == 0 {
			a = largest
		}
		if b == 0 {
			b = largest
		}
		for n := min(a, b); n <= max(a, b); n++ {
			m[n] = true
		}
	}
	return m
}

func FuzzNumSet(f *testing.F) {
	for _, s := range []string{"1", "2,4:7,9,12:*", "*:4,5:7", "$", "4294967295", "5:1,3:*", "1,2,3,7:7", ""} {
		f.Add(s, uint32(10))
	}
	f.Fuzz(func(t *testing.T, s string, largest uint32) {
		set, err := ParseNumSet(s, 100)
		if err != nil {
			return
		}
		// Other than ranges of one number, such as 7:7, sets are written as they were.
		if again, err := ParseNumSet(set.String(), 100); err != nil || !slices.Equal(again.Ranges, set.Ranges) || again.Saved != set.Saved {
			t.Fatalf("%q is written as %q: %v, %v", s, set, again, err)
		}
		r := set.Resolve(largest)
		checkRanges(t, r)
		if largest == 0 || largest > 1000 || len(s) > 20 || slices.ContainsFunc(r, func(e NumRange) bool { return e.Last > 2000 }) {
			return
		}
		want := members(set, largest)
		if int(r.Count()) != len(want) {
			t.Fatalf("%q resolves to %v, want %d numbers", s, r, len(want))
		}
		for n := range r.All() {
			if !want[n] || !r.Contains(n) {
				t.Fatalf("%q resolves to %v, which has %d", s, r, n)
			}
		}
		if len(r) == 0 {
			return
		}
		again, err := ParseNumSet(r.String(), 100)
		if err != nil || !slices.Equal(again.Resolve(0), r) {
			t.Fatalf("%v does not survive writing: %v, %v", r, again, err)
		}
	})
}

func BenchmarkParseNumSet(b *testing.B) {
	s := strings.Repeat("123456:123789,9876,", 400) + "1"
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseNumSet(s, MaxNumSetRanges); err != nil {
			b.Fatal(err)
		}
	}
}
