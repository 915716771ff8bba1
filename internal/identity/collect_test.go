package identity

import (
	"errors"
	"runtime"
	"testing"
)

// What a check leaves is freed for those who get in. Others can make a server check passwords,
// and do not make it do more than that.
func TestMemoryOfAPasswordThatIsRightIsFreedAtOnce(t *testing.T) { // Not parallel: it counts.
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	for _, tc := range []struct {
		pass  string
		known bool // It was right before.
		held  int  // Octets of memory in use, besides.
		want  uint32
		err   error
	}{
		{"not " + password, false, 0, 0, ErrCredentials},
		{password, false, collectBelow, 0, nil},
		{password, false, 0, 1, nil},
		{password, true, 0, 0, nil},
	} {
		e := testEnv(t)
		if tc.known {
			_, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", tc.pass)
			tcheck(t, err)
		}
		runtime.GC() // What was held before is not there any more.
		held := make([]byte, tc.held)
		before := forced()
		if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", tc.pass); !errors.Is(err, tc.err) {
			t.Fatalf("%q: %v", tc.pass, err)
		}
		if n := forced() - before; n != tc.want {
			t.Errorf("%+v: memory was freed %d times", tc, n)
		}
		runtime.KeepAlive(held)
	}
}
