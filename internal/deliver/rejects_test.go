package deliver

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"mox/config"
	"mox/imap"
	"mox/internal/inbound"
	"mox/smtp"
	"mox/store"
)

// keeper returns a deliverer for the account ann, with a mailbox for copies.
func keeper(t *testing.T, keep bool) (*Deliverer, *store.Store) {
	t.Helper()
	st := testStore(t, store.Options{})
	snap, err := config.New(config.Static{
		DataDir: filepath.Join(t.TempDir(), "data"), LogLevel: "info", Hostname: "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Inbox"},
	}, config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {}},
		Accounts: map[string]config.AccountFields{
			"ann": {Domain: "example.org", RejectsMailbox: "Rejects", KeepRejects: keep},
			"bob": {Domain: "example.org"},
		},
	})
	tcheck(t, err)
	return New(Options{Store: st, Config: config.NewHolder(snap)}), st
}

// refused is a delivery of a message that was refused.
func refused(t *testing.T, account, content string) Delivery {
	t.Helper()
	d := delivery(t, account, content)
	d.Verdict = inbound.Verdict{
		Err: smtp.Errorf(550, smtp.Se71NotAuthorized, "no"), Reason: "dmarc-policy", Reasons: []string{"forged"}, KeepCopy: true,
	}
	return d
}

func TestCopyOfARefusedMessageIsKeptOnce(t *testing.T) {
	t.Parallel()
	d, st := keeper(t, false)
	const other = "From: <x@y.example>\r\nSubject: other\r\nMessage-Id: <a@b>\r\n\r\nbody\r\n"
	for i, tc := range []struct {
		text string
		kept bool
	}{{text, true}, {text, false}, {other, true}, {other, false}, {"X: y\r\n" + other, false}, {text + "more", true}} {
		if kept := d.KeepRejected(ctxbg, refused(t, "ann", tc.text)); kept != tc.kept {
			t.Errorf("%d: kept %v", i, kept)
		}
	}
	items, contents := stored(t, st, "ann", "Rejects")
	if len(items) != 3 || items[0].Flags&imap.FlagSeen == 0 {
		t.Errorf("%d copies, %v", len(items), items)
	}
	if want := "X-Mox-Reason: dmarc-policy (forged)\r\n"; len(contents) == 0 || contents[0][:len(want)] != want {
		t.Errorf("copy: %q", contents)
	}
}

func TestNoCopyIsKeptWhenNobodyWantsOne(t *testing.T) {
	t.Parallel()
	d, _ := keeper(t, false)
	unwanted := refused(t, "ann", text)
	unwanted.Verdict.KeepCopy = false
	for name, del := range map[string]Delivery{"account": refused(t, "bob", text), "verdict": unwanted, "nobody": refused(t, "eve", text)} {
		if d.KeepRejected(ctxbg, del) {
			t.Errorf("%s wants no copy", name)
		}
	}
	if New(Options{Store: d.store}).KeepRejected(ctxbg, refused(t, "ann", text)) {
		t.Error("copy without configuration")
	}
}

func TestCopiesGoAwayWithTime(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		d, st := keeper(t, keep)
		old := refused(t, "ann", "Message-Id: <old@b>\r\n\r\n")
		old.Received = time.Now().Add(-rejectsAge - time.Minute)
		recent := refused(t, "ann", "Message-Id: <recent@b>\r\n\r\n")
		recent.Received = time.Now().Add(-rejectsAge + time.Minute)
		for _, del := range []Delivery{old, recent, refused(t, "ann", text)} {
			if !d.KeepRejected(ctxbg, del) {
				t.Fatal("not kept")
			}
		}
		want := 2
		if keep {
			want = 3
		}
		if items, _ := stored(t, st, "ann", "Rejects"); len(items) != want {
			t.Errorf("keep %v: %d copies", keep, len(items))
		}
	}
}

func TestNumberOfCopiesIsLimited(t *testing.T) {
	t.Parallel()
	d, st := keeper(t, false)
	acc, err := st.Ensure(ctxbg, "ann")
	tcheck(t, err)
	defer acc.Release()
	for i := 0; i < maxRejects; i += 100 {
		var l []store.NewMessage
		for j := range 100 {
			del := delivery(t, "ann", fmt.Sprintf("Message-Id: <%d@x>\r\n\r\n", i+j))
			l = append(l, store.NewMessage{Mailbox: "Rejects", Create: true, Spool: del.Spool})
		}
		_, err := acc.Append(ctxbg, l...)
		tcheck(t, err)
	}
	if d.KeepRejected(ctxbg, refused(t, "ann", text)) {
		t.Error("one more copy than the limit")
	}
}

func TestCopiesGoAwayWhenTheMessageIsAccepted(t *testing.T) {
	t.Parallel()
	d, st := keeper(t, false)
	const other = "From: <x@y.example>\r\nSubject: other\r\nMessage-Id: <a@b>\r\n\r\nbody\r\n"
	for _, msg := range []string{text, other} {
		d.KeepRejected(ctxbg, refused(t, "ann", msg))
	}
	_, err := d.Deliver(ctxbg, delivery(t, "ann", other))
	tcheck(t, err)
	if items, _ := stored(t, st, "ann", "Rejects"); len(items) != 1 {
		t.Errorf("%d copies", len(items))
	}
	if items, _ := stored(t, st, "ann", "Inbox"); len(items) != 1 {
		t.Errorf("%d messages", len(items))
	}
}
