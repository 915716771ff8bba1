package cli

import "testing"

func TestHeapGrowsByAFixedAmountOrDoubles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		live uint64
		want int
	}{
		{0, 2400}, {1 << 20, 2400}, {8 << 20, 300}, {16 << 20, 150}, {24 << 20, 100}, {25 << 20, 100}, {1 << 40, 100},
	} {
		if got := percentFor(tc.live); got != tc.want {
			t.Errorf("%d bytes in use: may grow by %d%%, want %d%%", tc.live, got, tc.want)
		}
	}
}
