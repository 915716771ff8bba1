package queue

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/dns"
	"mox/dsn"
	"mox/queue/queuedb"
	"mox/smtp"
)

// notification returns a notification from another server.
func notification(t *testing.T, envID, original string, rcpts ...dsn.Recipient) []byte {
	t.Helper()
	m := dsn.Message{
		From: smtp.NewAddress("postmaster", dns.Domain{ASCII: "mx.remote.example"}), To: path(t, "ann@example.org"),
		Subject: "bounce", MessageID: "<bounce@remote.example>", Date: time.Now(), Text: "no\n",
		Report: dsn.Report{OriginalEnvelopeID: envID, ReportingMTA: dsn.MTA{Name: "mx.remote.example"}, Recipients: rcpts},
	}
	if original != "" {
		m.Header = []byte("Subject: hi\r\nMessage-Id: " + original + "\r\n")
	}
	var b bytes.Buffer
	tcheck(t, m.Compose(&b, dsn.ComposeOptions{}))
	return b.Bytes()
}

func about(t *testing.T, addr string, action dsn.Action, status, diagnostic string) dsn.Recipient {
	t.Helper()
	return dsn.Recipient{Final: dsn.Address(path(t, addr)), Action: action, Status: status, DiagnosticType: "smtp", Diagnostic: diagnostic}
}

// testMatch runs a queue with a message to three recipients that has been delivered,
// and one that waits.
func testMatch(t *testing.T, fn func(t *testing.T, e *env, l []queuedb.Message)) {
	edit := func(o *Options) { o.Config = routed(t, o.TempDir) }
	testQueue(t, edit, func(t *testing.T, e *env) {
		sub := e.submission("ann@example.org", "a@one.example", "b@one.example", "c@two.example")
		sub.Base.EnvID = "env"
		for i := range sub.Recipients {
			r := &sub.Recipients[i]
			r.FromID = "id" + string(r.To.Localpart)
			r.Sender.Localpart = "ann+" + smtp.Localpart(r.FromID)
		}
		l := e.enqueue(sub)
		hold := e.submission("ann@example.org", "d@two.example")
		hold.Hold = true
		hold.Base.MessageID = "<held@example.org>"
		l = append(l, e.enqueue(hold)...)
		synctest.Wait()
		fn(t, e, l)
	})
}

func (e *env) match(rcpt string, msg []byte) []Match {
	e.t.Helper()
	l, err := e.q.MatchDSN(ctxbg, "ann", path(e.t, rcpt), bytes.NewReader(msg), int64(len(msg)))
	tcheck(e.t, err)
	return l
}

func TestNotificationIsMatchedByTheIDInItsAddress(t *testing.T) {
	testMatch(t, func(t *testing.T, e *env, l []queuedb.Message) {
		// The recipient is another one: an alias elsewhere.
		got := e.match("ann+idb@example.org", notification(t, "", "", about(t, "b@elsewhere.example", dsn.Failed, "5.1.1", "550 5.1.1 no such user")))
		if len(got) != 1 || got[0].Kind != MatchFromID || got[0].Sent.Message.ID != l[1].ID || got[0].Action != dsn.Failed || !got[0].Suppressed || !got[0].Sent.Retired {
			t.Fatalf("matches %+v", got)
		}
		r, err := e.db.GetRetired(ctxbg, l[1].ID)
		tcheck(t, err)
		res, _ := r.Message.LastResult()
		if len(r.Message.Results) != 2 || res.Code != 550 || res.Enhanced != "5.1.1" || res.Success || res.Error != "notification from mx.remote.example: failed: 550 5.1.1 no such user" {
			t.Errorf("results %+v", r.Message.Results)
		}
		if _, err := e.db.Suppressed(ctxbg, "ann", path(t, "b@one.example")); err != nil {
			t.Error(err)
		}
		got = e.match("ann+ida@example.org", notification(t, "", "", about(t, "a@one.example", dsn.Delivered, "2.0.0", "")))
		if len(got) != 1 || !got[0].Result.Success || got[0].Suppressed {
			t.Errorf("matches %+v", got)
		}
		// Something else that comes to the address.
		got = e.match("ann+ida@example.org", []byte("Subject: out of office\r\n\r\nhi\r\n"))
		if len(got) != 1 || got[0].Action != "" {
			t.Errorf("matches %+v", got)
		}
		// Two recipients of which none is that of the message.
		got = e.match("ann+idc@example.org", notification(t, "", "", about(t, "x@one.example", dsn.Failed, "5.1.1", ""), about(t, "y@one.example", dsn.Failed, "5.1.1", "")))
		if len(got) != 1 || got[0].Action != "" {
			t.Errorf("matches %+v", got)
		}
		if got := e.match("ann+other@example.org", []byte("Subject: hi\r\n\r\n")); len(got) != 0 {
			t.Errorf("matches %+v", got)
		}
	})
}

func TestNotificationIsMatchedByWhatItReturns(t *testing.T) {
	testMatch(t, func(t *testing.T, e *env, l []queuedb.Message) {
		bad := func(addr string) dsn.Recipient { return about(t, addr, dsn.Failed, "5.1.1", "550 5.1.1 no") }
		for _, tc := range []struct {
			name string
			msg  []byte
			kind MatchKind
			want []int
		}{
			{"envelope id", notification(t, "env", "", bad("B@One.Example"), bad("c@two.example"), bad("x@two.example")), MatchEnvID, []int{1, 2}},
			{"message id", notification(t, "", "<orig@example.org>", bad("a@one.example")), MatchMessageID, []int{0}},
			{"message in the queue", notification(t, "other", "<held@example.org>", bad("d@two.example")), MatchMessageID, []int{3}},
			{"other recipient", notification(t, "env", "<orig@example.org>", bad("x@two.example")), "", nil},
			{"other message", notification(t, "x", "<other@example.org>", bad("a@one.example")), "", nil},
			{"nothing returned", notification(t, "", "", bad("a@one.example")), "", nil},
			{"no notification", []byte("Subject: hi\r\nIn-Reply-To: <orig@example.org>\r\n\r\n"), "", nil},
		} {
			got := e.match("ann@example.org", tc.msg)
			if len(got) != len(tc.want) {
				t.Errorf("%s: matches %+v", tc.name, got)
				continue
			}
			for i, m := range got {
				if m.Sent.Message.ID != l[tc.want[i]].ID || m.Kind != tc.kind || m.Suppressed {
					t.Errorf("%s: match %+v", tc.name, m)
				}
			}
		}
		// Anybody who has seen the message can forge such a notification.
		if s, err := e.db.Suppressions(ctxbg, "", 0, 0); err != nil || len(s) != 0 {
			t.Errorf("suppressed %+v, %v", s, err)
		}
		m, _, err := e.db.Get(ctxbg, l[3].ID)
		tcheck(t, err)
		if r, ok := m.LastResult(); !ok || !strings.Contains(r.Error, "notification from") || m.Failed {
			t.Errorf("message in the queue: %+v", m)
		}
		msg := notification(t, "env", "", bad("a@one.example"))
		if got, err := e.q.MatchDSN(ctxbg, "mox", path(t, "mox@example.org"), bytes.NewReader(msg), int64(len(msg))); err != nil || len(got) != 0 {
			t.Errorf("for another account: %+v, %v", got, err)
		}
	})
}
