package authdb

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mjl-/bstore"
)

func failure(account, address string, at time.Time) LoginAttempt {
	return LoginAttempt{
		Account: account, LoginAddress: address, RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2", Protocol: "imap", Mechanism: "PLAIN",
		Result: "badpassword", Last: at,
	}
}

func attempts(t *testing.T, d *DB, account string) []LoginAttempt {
	t.Helper()
	l, err := d.LoginAttempts(ctxbg, account, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAttemptsThatAreAlikeAreOneRecord(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	at := time.Now().Round(0)
	d.RecordLogin(failure("ann", "ann@example.org", at.Add(time.Second)))
	d.RecordLogin(failure("ann", "ann@example.org", at)) // The clock was set back.
	if err := d.Flush(ctxbg); err != nil {
		t.Fatal(err)
	}
	d.RecordLogin(failure("ann", "ann@example.org", at.Add(time.Hour)))
	l := attempts(t, d, "ann")
	if len(l) != 1 || l[0].Count != 3 || !l[0].First.Equal(at.Add(time.Second)) || !l[0].Last.Equal(at.Add(time.Hour)) || !l[0].Failed {
		t.Fatalf("got %+v", l)
	}
	base := failure("ann", "ann@example.org", at)
	for name, change := range map[string]func(*LoginAttempt){
		"account":      func(a *LoginAttempt) { a.Account = "bob" },
		"no account":   func(a *LoginAttempt) { a.Account = "" },
		"address":      func(a *LoginAttempt) { a.LoginAddress = "x" },
		"remote":       func(a *LoginAttempt) { a.RemoteIP = "192.0.2.9" },
		"local":        func(a *LoginAttempt) { a.LocalIP = "192.0.2.9" },
		"tls":          func(a *LoginAttempt) { a.TLS = "x" },
		"key":          func(a *LoginAttempt) { a.KeyFingerprint = "x" },
		"protocol":     func(a *LoginAttempt) { a.Protocol = "x" },
		"mechanism":    func(a *LoginAttempt) { a.Mechanism = "x" },
		"result":       func(a *LoginAttempt) { a.Result = ResultOK },
		"reason":       func(a *LoginAttempt) { a.Reason = "x" },
		"app password": func(a *LoginAttempt) { a.AppPassword = "x" },
	} {
		before := len(attempts(t, d, ""))
		a := base
		change(&a)
		d.RecordLogin(a)
		if got := len(attempts(t, d, "")); got != before+1 {
			t.Errorf("another %s: %d records, expected %d", name, got, before+1)
		}
	}
	if l := attempts(t, d, NoAccount); len(l) != 1 {
		t.Errorf("without account: %+v", l)
	}
	if l := attempts(t, d, "ann"); !l[len(l)-1].Last.Before(l[0].Last) {
		t.Error("the latest is not the first")
	}
	if l, err := d.LoginAttempts(ctxbg, "", 3); err != nil || len(l) != 3 {
		t.Errorf("limit: %d, %v", len(l), err)
	}
}

func TestLongLoginAddressesAreCut(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	d.RecordLogin(failure("", strings.Repeat("x", maxLoginAddress-1)+"é", time.Now()))
	l := attempts(t, d, NoAccount)
	if len(l) != 1 || l[0].LoginAddress != strings.Repeat("x", maxLoginAddress-1) {
		t.Errorf("got %+v", l)
	}
}

func TestFailedAttemptsOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, Options{Dir: dir, maxFailed: 10})
	at := time.Now()
	ok := failure("ann", "ann@example.org", at)
	ok.Result = ResultOK
	d.RecordLogin(ok)
	d.RecordLogin(failure("bob", "bob@example.org", at))
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			d.RecordLogin(failure("ann", fmt.Sprint(i), at.Add(time.Duration(i)*time.Second)))
		}
	}
	check := func(last int) {
		t.Helper()
		l := attempts(t, d, "ann")
		if len(l) != 11 || l[0].LoginAddress != fmt.Sprint(last) || l[9].LoginAddress != fmt.Sprint(last-9) || l[10].Failed {
			t.Errorf("%d records, from %q to %q", len(l), l[0].LoginAddress, l[len(l)-1].LoginAddress)
		}
	}
	fill(0, 30)
	check(29)
	fill(30, 35) // Counted now.
	check(34)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: dir, maxFailed: 10})
	fill(35, 37)
	check(36)
	if l := attempts(t, d, "bob"); len(l) != 1 {
		t.Errorf("of another account: %+v", l)
	}
}

func TestAttemptsAreWrittenLaterAndAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d, err := Open(ctxbg, Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		stored := func() int {
			n, err := bstore.QueryDB[LoginAttempt](ctxbg, d.bdb).Count()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		d.RecordLogin(failure("ann", "1", time.Now()))
		time.Sleep(batchTime - time.Second)
		d.RecordLogin(failure("ann", "2", time.Now()))
		synctest.Wait()
		if n := stored(); n != 0 {
			t.Errorf("%d records at once", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := stored(); n != 2 {
			t.Errorf("%d records after a time", n)
		}
		// More than a batch does not wait.
		for i := range maxBatch {
			d.RecordLogin(failure("ann", fmt.Sprint("more", i), time.Now()))
			if i%attemptQueue == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if n := stored(); n != 2+maxBatch {
			t.Errorf("%d records of a full batch", n)
		}
		d.RecordLogin(failure("ann", "3", time.Now()))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d.RecordLogin(failure("ann", "4", time.Now())) // Lost, and harmless.
		if err := d.Flush(ctxbg); err == nil {
			t.Error("flush after close")
		}
		if d, err = Open(ctxbg, Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		if n := stored(); n != 3+maxBatch {
			t.Errorf("%d records after the end", n)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOldAttemptsAreRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(ctxbg, Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i := range cleanBatch + 10 {
			d.RecordLogin(failure("ann", fmt.Sprint(i), time.Now()))
			if i%attemptQueue == 0 {
				synctest.Wait()
			}
		}
		time.Sleep(AttemptRetention - time.Hour)
		d.RecordLogin(failure("ann", "0", time.Now())) // Not old any more.
		time.Sleep(2*time.Hour + cleanTime)
		if l := attempts(t, d, "ann"); len(l) != 1 || l[0].LoginAddress != "0" || l[0].Count != 2 {
			t.Errorf("%d records", len(l))
		}
		time.Sleep(AttemptRetention + cleanTime)
		if l := attempts(t, d, ""); len(l) != 0 {
			t.Errorf("%d records at the end", len(l))
		}
	})
}

func TestAttemptsThatCannotBeWrittenInTimeAreDropped(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	// Nothing is written while another transaction is.
	release := make(chan struct{})
	var held, wg sync.WaitGroup
	held.Add(1)
	wg.Go(func() {
		err := d.bdb.Write(ctxbg, func(*bstore.Tx) error {
			held.Done()
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	held.Wait()
	d.RecordLogin(failure("ann", "first", time.Now()))
	ctx, cancel := context.WithCancel(ctxbg)
	wg.Go(func() { _ = d.Flush(ctx) })
	for len(d.attempts) > 0 { // Until the batch is being written, or is about to be.
		time.Sleep(time.Millisecond)
	}
	const n = 10 * attemptQueue
	for i := range n { // Never waits.
		d.RecordLogin(failure("ann", fmt.Sprint(i), time.Now()))
	}
	cancel()
	close(release)
	wg.Wait()
	if got := len(attempts(t, d, "ann")); got < attemptQueue/2 || got > n+1 {
		t.Errorf("%d records", got)
	}
}

func TestFailedWriteDropsTheBatchOnly(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	w := &writer{d: d, maxFailed: MaxFailedAttempts, failed: map[string]int{"ann": 3}}
	b := newBatch()
	b.add(LoginAttempt{Account: "", Result: "badpassword", Last: time.Now()}) // No account: the database refuses it.
	if err := w.write(b); err == nil || len(w.failed) != 0 {
		t.Errorf("got %v, counts %v", err, w.failed)
	}
	d.RecordLogin(failure("ann", "1", time.Now()))
	if l := attempts(t, d, ""); len(l) != 1 {
		t.Errorf("got %+v", l)
	}
}
