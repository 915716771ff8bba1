package imap

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkRanges checks what must hold for every Ranges.
func checkRanges(t testing.TB, r Ranges) {
	t.Helper()
	for i, e := range r {
		if e.First == 0 || e.First > e.Last {
			t.Fatalf("%v has an invalid range", r)
		}
		if i > 0 && e.First <= r[i-1].Last+1 {
			t.Fatalf("%v is not sorted or not merged", r)
		}
	}
}

func TestNewRanges(t *testing.T) {
	t.Parallel()
	type uid uint32
	for _, tc := range []struct {
		name string
		in   []uid
		want string
	}{
		{"nothing", nil, ""},
		{"ascending numbers", []uid{1, 2, 3, 5, 7, 8}, "1:3,5,7:8"},
		{"duplicates", []uid{3, 3, 4, 4}, "3:4"},
		{"any order", []uid{9, 1, 8, 2, 5}, "1:2,5,8:9"},
		{"zero is left out", []uid{0, 1, 0}, "1"},
		{"the largest number", []uid{math.MaxUint32, math.MaxUint32, 1}, "1,4294967295"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := NewRanges(tc.in...)
			checkRanges(t, r)
			if r.String() != tc.want {
				t.Errorf("got %v, want %s", r, tc.want)
			}
		})
	}
}

// Random sets of small numbers against a map.
func TestRangesAgainstModel(t *testing.T) {
	t.Parallel()
	const most = 60
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func() (Ranges, [most + 1]bool) {
		var r Ranges
		var model [most + 1]bool
		for range rnd.IntN(12) {
			first := 1 + rnd.IntN(most)
			last := min(most, first+rnd.IntN(6))
			r.AddRange(uint32(first), uint32(last))
			checkRanges(t, r)
			for n := first; n <= last; n++ {
				model[n] = true
			}
		}
		return r, model
	}
	same := func(op string, r Ranges, want func(n int) bool) {
		t.Helper()
		checkRanges(t, r)
		for n := 1; n <= most; n++ {
			if r.Contains(uint32(n)) != want(n) {
				t.Fatalf("%s: %v and %d: want %v", op, r, n, want(n))
			}
		}
	}
	for range 2000 {
		a, am := random()
		b, bm := random()
		same("set", a, func(n int) bool { return am[n] })
		same("union", a.Union(b), func(n int) bool { return am[n] || bm[n] })
		same("intersect", a.Intersect(b), func(n int) bool { return am[n] && bm[n] })
		same("subtract", a.Subtract(b), func(n int) bool { return am[n] && !bm[n] })
		var nums []uint32
		for n := range a.All() {
			nums = append(nums, n)
		}
		if !slices.Equal(NewRanges(nums...), a) || uint64(len(nums)) != a.Count() {
			t.Fatalf("%v has numbers %v and count %d", a, nums, a.Count())
		}
		if len(nums) > 0 && (a.Min() != nums[0] || a.Max() != nums[len(nums)-1]) {
			t.Fatalf("%v has min %d, max %d", a, a.Min(), a.Max())
		}
	}
}

func TestRangesAtTheEndOfTheNumbers(t *testing.T) {
	t.Parallel()
	var r Ranges
	r.AddRange(math.MaxUint32, 10)
	r.Add(math.MaxUint32)
	r.Add(9)
	checkRanges(t, r)
	if r.String() != "9:4294967295" || r.Count() != math.MaxUint32-8 {
		t.Errorf("got %v, count %d", r, r.Count())
	}
	n := 0
	for v := range (Ranges{{math.MaxUint32 - 1, math.MaxUint32}}).All() {
		if n++; v < math.MaxUint32-1 || n > 2 {
			t.Fatalf("number %d as %d-th", v, n)
		}
	}
	if n != 2 {
		t.Errorf("%d numbers, want 2", n)
	}
	if s := r.Subtract(Ranges{{10, math.MaxUint32}}).String(); s != "9" {
		t.Errorf("got %s, want 9", s)
	}
}

func TestRangesOfNothing(t *testing.T) {
	t.Parallel()
	var r Ranges
	if r.Min() != 0 || r.Max() != 0 || r.Count() != 0 || r.Contains(1) || r.String() != "" || len(r.Union(nil)) != 0 {
		t.Error("the empty set is not empty")
	}
	for range r.Chunks(10) {
		t.Error("the empty set has a chunk")
	}
}

func TestRangesStopIterating(t *testing.T) {
	t.Parallel()
	n := 0
	for range (Ranges{{1, 5}, {7, 9}}).All() {
		if n++; n == 3 {
			break
		}
	}
	for range (Ranges{{1, 1}, {3, 3}}).Chunks(1) {
		n++
		break
	}
	if n != 4 {
		t.Errorf("%d steps, want 4", n)
	}
}

func TestRangesChunks(t *testing.T) {
	t.Parallel()
	r := NewRanges[uint32](1, 3, 5, 6, 7, 100, 102, 104)
	var got []string
	for c := range r.Chunks(7) {
		got = append(got, c.String())
	}
	// Each as long as possible within seven bytes.
	if want := []string{"1,3,5:7", "100,102", "104"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	n := 0
	for c := range r.Chunks(1) {
		n += len(c)
		if len(c) != 1 {
			t.Errorf("chunk %v is not one range", c)
		}
	}
	if n != len(r) {
		t.Errorf("%d ranges in all chunks, want %d", n, len(r))
	}
}

func TestNumSetOfRanges(t *testing.T) {
	t.Parallel()
	r := NewRanges[uint32](5, 4, 9)
	if s := r.NumSet(); s.String() != "4:5,9" || s.Dynamic() {
		t.Errorf("got %v", s)
	}
}

func BenchmarkNewRanges(b *testing.B) {
	nums := make([]uint32, 0, 100000)
	for n := uint32(1); len(nums) < cap(nums); n++ {
		if n%10 != 0 {
			nums = append(nums, n)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		NewRanges(nums...)
	}
}

func BenchmarkRangesContains(b *testing.B) {
	var r Ranges
	for n := uint32(1); n < 100000; n += 3 {
		r.Add(n)
	}
	n := uint32(0)
	for b.Loop() {
		n += 7
		r.Contains(n % 100000)
	}
}

func BenchmarkRangesAppend(b *testing.B) {
	var r Ranges
	for n := uint32(1); n < 10000; n += 3 {
		r.Add(n)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendTo(buf[:0])
	}
}
