package tracedb

import (
	"fmt"
	"testing"
	"time"

	"github.com/mjl-/bstore"
)

func TestStepsHaveTheNameThatTheirAccountHasNow(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	rename := func(from, to string) {
		t.Helper()
		if err := d.RenameAccount(ctxbg, from, to); err != nil {
			t.Fatal(err)
		}
	}
	n := int64(0)
	record := func() {
		n++
		smtpMessage(d, n, at.Add(time.Duration(n)*time.Second), "", "bob@remote.example", "ann@mox.example") // In account ann.
	}
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, m := range list(t, d, Query{}) {
			for _, s := range m.Steps {
				if s.Account != "" {
					got = append(got, s.Account)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) { // The latest first.
			t.Errorf("got %q, want %q", got, want)
		}
	}
	rename("ann", "nobody") // Nothing yet.
	record()
	check("ann")
	rename("ann", "anna")
	rename("ann", "anna") // After a crash.
	check("anna")
	record() // Another account with the name.
	check("ann", "anna")
	rename("anna", "ann2")
	rename("ann", "anna")
	check("anna", "ann2")
	record()
	rename("ann", "") // Removed.
	check("ann", "anna", "ann2")
	rename("anna", "a")
	rename("a", "anna") // And back.
	check("ann", "anna", "ann2")

	// Once the steps are gone, so is what was renamed.
	for n := 0; n < 3; {
		var st state
		m, err := d.remove(func(state, message) bool { return true }, &st)
		if err != nil || m == 0 {
			t.Fatalf("%d removed, %v", m, err)
		}
		n += m
	}
	record()
	rename("ann", "last")
	if l, err := bstore.QueryDB[renamed](ctxbg, d.bdb).List(); err != nil || len(l) != 1 || l[0].To != "last" {
		t.Errorf("got %v, %v", l, err)
	}
	check("last")
	if err := (*DB)(nil).RenameAccount(ctxbg, "a", "b"); err != nil {
		t.Error(err)
	}
}
