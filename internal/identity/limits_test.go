package identity

import (
	"errors"
	"net/netip"
	"testing"

	"mox/config"
	"mox/sasl"
)

func TestFailedAttemptsAreLimitedPerNetwork(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	e.c = e.c.WithLimits(config.Limits{AuthFailuresPerMinute: 3, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	fail := func(ip string) error {
		_, err := e.c.Password(ctxbg, from(ip), "ann@example.org", "wrong password")
		return err
	}
	for i := range 3 {
		if err := fail("192.0.2.1"); !errors.Is(err, ErrCredentials) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := fail("192.0.2.1"); !errors.Is(err, ErrRateLimited) {
		t.Fatalf("after the limit: %v", err)
	}
	a := from("192.0.2.1")
	if _, err := e.c.Password(ctxbg, a, "ann@example.org", password); !errors.Is(err, ErrRateLimited) {
		t.Fatalf("right password after the limit: %v", err)
	}
	if _, err := e.c.Begin(ctxbg, a, sasl.Plain); !errors.Is(err, ErrRateLimited) {
		t.Fatalf("exchange after the limit: %v", err)
	}
	if e.c.Allowed(a.RemoteIP) || !e.c.Allowed(netip.MustParseAddr("192.0.2.2")) {
		t.Fatal("allowed")
	}
	if err := fail("192.0.2.2"); !errors.Is(err, ErrCredentials) {
		t.Fatalf("neighbour: %v", err)
	}
	for range 5 {
		if err := fail("127.0.0.1"); !errors.Is(err, ErrCredentials) {
			t.Fatalf("exempt network: %v", err)
		}
	}
	none := e.c.WithLimits(config.Limits{AuthFailuresPerMinute: -1, AuthFailuresPerDay: -1})
	if !none.Allowed(a.RemoteIP) {
		t.Fatal("no limits")
	}
}

func TestSuccessForgivesEarlierFailures(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	a := from("192.0.2.1")
	for range 3 {
		for range 9 {
			if _, err := e.c.Password(ctxbg, a, "ann@example.org", "wrong password"); !errors.Is(err, ErrCredentials) {
				t.Fatal(err)
			}
		}
		if _, err := e.c.Password(ctxbg, a, "ann@example.org", password); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDefaultLimitsAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	for range 10 {
		if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "bob@example.org", "x"); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
	}
	if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "bob@example.org", "x"); !errors.Is(err, ErrRateLimited) {
		t.Fatal(err)
	}
}
