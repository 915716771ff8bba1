package queuedb

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSuppressionBase(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"Ann@One.Example":             "ann@one.example",
		"ann+x@one.example":           "ann+x@one.example",
		"a-b@one.example":             "a-b@one.example",
		"a.b@one.example":             "a.b@one.example",
		"A.nn+shop@gmail.com":         "ann@gmail.com",
		"ann@GoogleMail.com":          "ann@gmail.com",
		"a.nn+shop-x@outlook.com":     "a.nn@outlook.com",
		"a-b@proton.me":               "a-b@proton.me",
		"+x@gmail.com":                "+x@gmail.com",
		`"a b"@one.example`:           "a b@one.example",
		"a@[192.0.2.1]":               "a@[192.0.2.1]",
		"a@täst.example":              "a@xn--tst-qla.example",
		"ann+x@gmail.com.one.example": "ann+x@gmail.com.one.example",
	} {
		if got := SuppressionBase(path(t, addr)); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}

func TestSuppressionsByHand(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	addr := path(t, "A@one.example")
	s, err := d.AddSuppression(ctxbg, "ann", addr, "asked for it")
	tcheck(t, err)
	if s.ID == 0 || !s.Manual || s.Base != "a@one.example" || s.Original != "A@one.example" {
		t.Fatalf("added %+v", s)
	}
	if _, err := d.AddSuppression(ctxbg, "ann", path(t, "a@ONE.example"), ""); !errors.Is(err, ErrSuppressed) {
		t.Errorf("added twice: %v", err)
	}
	_, err = d.AddSuppression(ctxbg, "bob", addr, "")
	tcheck(t, err)
	_, err = d.AddSuppression(ctxbg, "bob", path(t, "b@one.example"), "")
	tcheck(t, err)
	if s, err := d.Suppressed(ctxbg, "ann", addr); err != nil || s.Reason != "asked for it" {
		t.Errorf("looked up %+v, %v", s, err)
	}
	if _, err := d.Suppressed(ctxbg, "ann", path(t, "b@one.example")); !errors.Is(err, ErrNotFound) {
		t.Errorf("of another account: %v", err)
	}
	count := func(account string, after int64, max, want int) {
		t.Helper()
		if l, err := d.Suppressions(ctxbg, account, after, max); err != nil || len(l) != want {
			t.Errorf("list of %q: %d, %v", account, len(l), err)
		}
	}
	count("", 0, 0, 3)
	count("bob", 0, 0, 2)
	count("", s.ID, 0, 2)
	count("", 0, 1, 1)
	if l, err := d.FindSuppressions(ctxbg, addr); err != nil || len(l) != 2 {
		t.Errorf("found %v, %v", l, err)
	}
	tcheck(t, d.RemoveSuppression(ctxbg, "ann", addr))
	if err := d.RemoveSuppression(ctxbg, "ann", addr); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	verify(t, d)
}

func TestFailuresSuppressAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testOpen(t, Options{})
		defer func() { tcheck(t, d.Close()) }()
		outcome := func(account, rcpt string, success bool, u Undeliverable) {
			t.Helper()
			s := submission(t, "x", rcpt)
			s.Account = account
			l, err := d.Enqueue(ctxbg, s)
			tcheck(t, err)
			o := Outcome{ID: l[0].ID, Fate: Drop, Undeliverable: u, Result: &Result{Code: 552, Enhanced: "5.2.2", Error: "full"}}
			if success {
				o.Fate, o.Result = Delivered, &Result{Success: true}
			}
			tcheck(t, d.Finish(ctxbg, []Outcome{o}))
		}
		suppressed := func(account, rcpt string, want bool) {
			t.Helper()
			s, err := d.Suppressed(ctxbg, account, path(t, rcpt))
			if want != (err == nil) || want && (s.Manual || !strings.Contains(s.Reason, "552 5.2.2 full")) {
				t.Errorf("%s, %s: %+v, %v", account, rcpt, s, err)
			}
		}
		outcome("ann", "sure@one.example", false, SurelyUndeliverable)
		suppressed("ann", "sure@one.example", true)
		suppressed("bob", "sure@one.example", false)
		outcome("ann", "no@one.example", false, NotUndeliverable)
		suppressed("ann", "no@one.example", false)

		// Three in a row, of one account.
		outcome("ann", "a@one.example", false, MaybeUndeliverable)
		outcome("bob", "a@one.example", false, MaybeUndeliverable)
		outcome("ann", "a@one.example", false, MaybeUndeliverable)
		suppressed("ann", "a@one.example", false)
		outcome("ann", "a@one.example", false, MaybeUndeliverable)
		suppressed("ann", "a@one.example", true)
		suppressed("bob", "a@one.example", false)

		// Not in a row.
		for _, success := range []bool{false, false, true, false, false} {
			outcome("ann", "b@one.example", success, MaybeUndeliverable)
		}
		suppressed("ann", "b@one.example", false)
		tcheck(t, d.committer.do(ctxbg, &change{apply: func(b *batch) error { return b.forgetFailures("ann", "b@one.example") }}))

		// Too long ago.
		outcome("ann", "c@one.example", false, MaybeUndeliverable)
		outcome("ann", "c@one.example", false, MaybeUndeliverable)
		time.Sleep(failureWindow + time.Hour)
		outcome("ann", "c@one.example", false, MaybeUndeliverable)
		suppressed("ann", "c@one.example", false)
		if n, err := d.PruneFailures(ctxbg, time.Now()); n != 1 || err != nil { // That of bob.
			t.Errorf("pruned %d, %v", n, err)
		}

		// After removal from the list, failures count from the beginning.
		tcheck(t, d.RemoveSuppression(ctxbg, "ann", path(t, "a@one.example")))
		outcome("ann", "a@one.example", false, MaybeUndeliverable)
		suppressed("ann", "a@one.example", false)
		verify(t, d)
	})
}
