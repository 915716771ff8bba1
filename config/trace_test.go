package config

import (
	"testing"
	"time"
)

func TestKeepTracePeriodIsChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		line string
		want time.Duration
		ok   bool
	}{
		{"", 0, true},
		{"KeepTracePeriod: 1h\n", time.Hour, true},
		{"KeepTracePeriod: 8784h\n", 366 * 24 * time.Hour, true},
		{"KeepTracePeriod: -1s\n", -time.Second, true},
		{"KeepTracePeriod: 59m\n", 0, false},
		{"KeepTracePeriod: 8785h\n", 0, false},
	} {
		s, err := testLoad(testStatic+tc.line, testDynamic)
		if (err == nil) != tc.ok || err == nil && s.KeepTracePeriod != tc.want {
			t.Errorf("%q: %v", tc.line, err)
		}
	}
}
