package identity

import (
	"errors"
	"runtime"
	"testing"
)

// What a check leaves is freed for those who get in. Others can make a server check passwords,
// and do not make it do more than that.
func TestMemoryOfAPasswordThatIsRightIsFreedAtOnce(t *testing.T) { // Not parallel: it counts.
	e := testEnv(t)
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	for _, tc := range []struct {
		pass string
		want uint32
		err  error
	}{{"not " + password, 0, ErrCredentials}, {password, 1, nil}, {password, 0, nil}} { // The last is known by then.
		before := forced()
		if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", tc.pass); !errors.Is(err, tc.err) {
			t.Fatalf("%q: %v", tc.pass, err)
		}
		if n := forced() - before; n != tc.want {
			t.Errorf("%q: memory was freed %d times, want %d", tc.pass, n, tc.want)
		}
	}
}
