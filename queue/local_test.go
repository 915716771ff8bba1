package queue

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/dsn"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/smtp"
)

func removeContent(t *testing.T, dir string, id int64) {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(dir, "queue", "msg", "*", strconv.FormatInt(id, 10)))
	tcheck(t, err)
	if len(l) != 1 {
		t.Fatalf("files %v", l)
	}
	tcheck(t, os.Remove(l[0]))
}

// testLocal runs a queue with the transport of localserve.
func testLocal(t *testing.T, account string, fn func(t *testing.T, e *env)) {
	t.Helper()
	testQueue(t, nil, func(t *testing.T, e *env) {
		tcheck(t, e.q.Shutdown(ctxbg))
		e.start(func(o *Options) {
			o.Transports[""] = NewLocal(LocalOptions{
				Config: e.conf, Decide: inbound.New(inbound.Options{}), Deliver: deliver.New(deliver.Options{Store: e.st}),
				TempDir: e.dir, Account: account, Simulate: true,
			})
		})
		fn(t, e)
	})
}

func TestLocalDeliversToTheAccountOfTheAddressOrToAnother(t *testing.T) {
	testLocal(t, "mox", func(t *testing.T, e *env) {
		sub := e.submission("ann@example.org", "boss@example.org", "nobody@example.org", "someone@remote.example", "postmaster@mx.example.org")
		sub.Base.Prefix = []byte("Received: submitted\r\n")
		e.enqueue(sub)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
		for _, tc := range []struct {
			account, mailbox string
			want             int
		}{{"boss", "Inbox", 1}, {"mox", "Inbox", 2}, {"boss", "Postmaster", 1}, {"ann", "Inbox", 0}} {
			if l := e.mailbox(tc.account, tc.mailbox); len(l) != tc.want {
				t.Errorf("%s %s has %d messages, want %d", tc.account, tc.mailbox, len(l), tc.want)
			}
		}
		text := e.mailbox("boss", "Inbox")[0]
		for _, want := range []string{
			"Delivered-To: boss@example.org\r\nReturn-Path: <ann@example.org>\r\nReceived: from mx.example.org by mx.example.org id queue",
			"Received: submitted\r\nFrom: ann@example.org\r\n",
			"X-Mox-Reason: no-bad-signals",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %s", want, text)
			}
		}
	})
}

func TestLocalDeliversToTheOtherMembersOfAnAlias(t *testing.T) {
	testLocal(t, "", func(t *testing.T, e *env) {
		sub := e.submission("ann@example.org", "all@example.org")
		sub.Recipients[0].Notify = smtp.NotifySuccess
		e.enqueue(sub)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
		for _, account := range []string{"boss", "mox"} {
			if l := e.mailbox(account, "Inbox"); len(l) != 1 || !strings.Contains(l[0], "Delivered-To: "+account+"@example.org\r\n") {
				t.Errorf("%s has %q", account, l)
			}
		}
		l := e.mailbox("ann", "Inbox") // Without a copy.
		if len(l) != 1 {
			t.Fatalf("notifications %q", l)
		}
		if rep, _ := report(t, l[0]); rep.Recipients[0].Action != dsn.Expanded || rep.Recipients[0].Final.Address != "all@example.org" {
			t.Errorf("report %+v", rep)
		}
	})
}

func TestLocalWithoutOtherAccountRefusesUnknownAddresses(t *testing.T) {
	testLocal(t, "", func(t *testing.T, e *env) {
		e.enqueue(e.submission("ann@example.org", "nobody@example.org"))
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 1 {
			t.Fatalf("notifications %q", inbox)
		}
		if rep, _ := report(t, inbox[0]); rep.Recipients[0].Status != "5.1.1" {
			t.Errorf("report %+v", rep)
		}
		e.enqueue(e.submission("ann@example.org", "off@off.example"))
		if r, ok := e.queued()[0].LastResult(); !ok || r.Code != 450 || r.Enhanced != "4.2.1" {
			t.Errorf("disabled domain: %+v", r)
		}
	})
}

func TestAddressesSimulateFailures(t *testing.T) {
	tests := []struct {
		localpart string
		code      int32 // Zero for success.
	}{
		{"temperror", 451}, {"permerror", 550}, {"some-PERMERROR", 550}, {"mailfromtemperror", 451}, {"rcpttopermerror", 550},
		{"queuetemperror", 451}, {"queue452", 452}, {"x400", 400}, {"x599", 599},
		{"x399", 0}, {"x600", 0}, {"12", 0}, {"x+45", 0}, {"temperror1", 0},
	}
	testLocal(t, "mox", func(t *testing.T, e *env) {
		for _, tc := range tests {
			for _, asSender := range []bool{false, true} {
				sender, rcpt := "ann@example.org", tc.localpart+"@remote.example"
				if asSender {
					sender, rcpt = tc.localpart+"@example.org", "a@remote.example"
				}
				before := len(e.mailbox("ann", "Inbox")) + len(e.queued())
				e.enqueue(e.submission(sender, rcpt))
				l := e.queued()
				inbox := e.mailbox("ann", "Inbox")
				failed := len(inbox)+len(l) > before
				if failed != (tc.code != 0) {
					t.Fatalf("%s, sender %v: failed %v", tc.localpart, asSender, failed)
				}
				switch {
				case tc.code >= 500:
					if !strings.Contains(inbox[len(inbox)-1], strconv.Itoa(int(tc.code))+" 5.0.0") {
						t.Errorf("%s: notification %s", tc.localpart, inbox[len(inbox)-1])
					}
				case tc.code >= 400:
					if r, ok := l[len(l)-1].LastResult(); !ok || r.Code != tc.code {
						t.Errorf("%s: result %+v", tc.localpart, r)
					}
				}
			}
		}
	})
}

func TestAddressSimulatesATimeout(t *testing.T) {
	testLocal(t, "mox", func(t *testing.T, e *env) {
		start := time.Now()
		e.enqueue(e.submission("ann@example.org", "timeout@remote.example"))
		time.Sleep(sessionLimit - time.Second)
		synctest.Wait()
		if l := e.queued(); len(l[0].Results) != 0 {
			t.Fatalf("result after %v: %+v", time.Since(start), l[0].Results)
		}
		time.Sleep(2 * time.Second)
		if r, ok := e.queued()[0].LastResult(); !ok || r.Duration != sessionLimit || r.Success {
			t.Fatalf("result %+v", r)
		}
	})
}
