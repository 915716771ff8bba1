package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"mox/dsn"
	"mox/queue/queuedb"
	"mox/smtp"
)

// RFC 3461 §4.1 and §5.2: who is told what, by transport and NOTIFY.
func TestSendersAreToldWhatTheyAskFor(t *testing.T) {
	permanent := smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user")
	temporary := smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "later")
	tests := []struct {
		name   string
		notify smtp.Notify
		err    error
		want   []dsn.Action
	}{
		{"success, nothing said", 0, nil, nil},
		{"success, asked for", smtp.NotifySuccess, nil, []dsn.Action{dsn.Relayed}},
		{"success, only others asked for", smtp.NotifyFailure | smtp.NotifyDelay, nil, nil},
		{"success, never", smtp.NotifyNever, nil, nil},
		{"failure, nothing said", 0, permanent, []dsn.Action{dsn.Failed}},
		{"failure, asked for", smtp.NotifyFailure, permanent, []dsn.Action{dsn.Failed}},
		{"failure, only others asked for", smtp.NotifySuccess | smtp.NotifyDelay, permanent, nil},
		{"failure, never", smtp.NotifyNever, permanent, nil},
		{"delay, nothing said", 0, temporary, []dsn.Action{dsn.Delayed, dsn.Failed}},
		{"delay, asked for", smtp.NotifyDelay, temporary, []dsn.Action{dsn.Delayed}},
		{"delay, only others asked for", smtp.NotifySuccess | smtp.NotifyFailure, temporary, []dsn.Action{dsn.Failed}},
		{"delay, never", smtp.NotifyNever, temporary, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			testQueue(t, nil, func(t *testing.T, e *env) {
				e.tr.answers(func(context.Context, queuedb.Message) error { return tc.err })
				sub := e.submission("ann@example.org", "x@remote.example")
				sub.Base.EnvID = "id+1 x"
				sub.Recipients[0].Notify = tc.notify
				sub.Recipients[0].Original = smtp.OriginalRecipient{AddrType: "rfc822", Address: "first@elsewhere.example"}
				e.enqueue(sub)
				time.Sleep(24 * time.Hour)
				if l := e.queued(); len(l) != 0 {
					t.Fatalf("left %+v", l)
				}
				var got []dsn.Action
				for _, text := range e.mailbox("ann", "Inbox") {
					rep, _ := report(t, text)
					if rep.OriginalEnvelopeID != "id+1 x" || len(rep.Recipients) != 1 {
						t.Fatalf("report %+v", rep)
					}
					r := rep.Recipients[0]
					if r.Original.Address != "first@elsewhere.example" || r.Final.Address != "x@remote.example" {
						t.Errorf("recipient %+v", r)
					}
					if class := map[dsn.Action]string{dsn.Relayed: "2", dsn.Failed: "5", dsn.Delayed: "4"}[r.Action]; !strings.HasPrefix(r.Status, class) && tc.err != temporary {
						t.Errorf("%s with status %s", r.Action, r.Status)
					}
					got = append(got, r.Action)
				}
				if len(got) != len(tc.want) {
					t.Fatalf("told %v, want %v", got, tc.want)
				}
				for i, a := range tc.want {
					if got[i] != a {
						t.Errorf("told %v, want %v", got, tc.want)
					}
				}
			})
		})
	}
}

func TestDeliveryToAnAccountIsToldAsSuch(t *testing.T) {
	testLocal(t, "mox", func(t *testing.T, e *env) {
		sub := e.submission("ann@example.org", "boss@example.org")
		sub.Recipients[0].Notify = smtp.NotifySuccess
		e.enqueue(sub)
		e.queued()
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 1 {
			t.Fatalf("%d notifications", len(inbox))
		}
		rep, h := report(t, inbox[0])
		if r := rep.Recipients[0]; r.Action != dsn.Delivered || r.Status != "2.0.0" || r.Diagnostic != "" {
			t.Errorf("recipient %+v", r)
		}
		if s := h.Value("Subject"); s != "mail was delivered" || !strings.Contains(inbox[0], "    boss@example.org\r\n") {
			t.Errorf("subject %q in %s", s, inbox[0])
		}
	})
}

// RFC 3461 §4.3: RET is for failures only.
func TestWholeMessageIsReturnedToThoseWhoAskForIt(t *testing.T) {
	for _, tc := range []struct {
		ret   smtp.Ret
		local string
		whole bool
	}{{smtp.RetFull, "bad", true}, {smtp.RetFull, "good", false}, {smtp.RetHeaders, "bad", false}, {"", "bad", false}} {
		testName := string(tc.ret) + " " + tc.local
		t.Run(testName, func(t *testing.T) {
			testQueue(t, nil, func(t *testing.T, e *env) {
				e.tr.answers(func(_ context.Context, m queuedb.Message) error {
					if m.RecipientLocalpart == "bad" {
						return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user")
					}
					return nil
				})
				sub := e.submission("ann@example.org", tc.local+"@remote.example")
				sub.Base.Ret = string(tc.ret)
				sub.Base.Prefix = []byte("Received: submitted\r\n")
				sub.Recipients[0].Notify = smtp.NotifySuccess | smtp.NotifyFailure
				e.enqueue(sub)
				e.queued()
				inbox := e.mailbox("ann", "Inbox")
				if len(inbox) != 1 {
					t.Fatalf("%d notifications", len(inbox))
				}
				if whole := strings.Contains(inbox[0], "\r\n\r\nbody\r\n"); whole != tc.whole {
					t.Errorf("whole message: %v in %s", whole, inbox[0])
				}
				if !strings.Contains(inbox[0], "Received: submitted\r\n") {
					t.Errorf("no header in %s", inbox[0])
				}
			})
		})
	}
}
