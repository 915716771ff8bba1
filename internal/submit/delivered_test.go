package submit

import (
	"strings"
	"testing"
	"time"

	"mox/dsn"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
)

func TestNotificationOfDeliveryIsQueued(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	sub := submission(t, goodHeader+"\r\nbody\r\n")
	d := Delivered{
		Mail: smtp.MailCommand{ReversePath: path(t, "sender@elsewhere.example"), EnvID: "id 1"},
		Recipients: []DeliveredRecipient{
			{RcptCommand: smtp.RcptCommand{ForwardPath: path(t, "ann@example.org"), OriginalRecipient: smtp.OriginalRecipient{AddrType: "rfc822", Address: "list@elsewhere.example"}}},
			{RcptCommand: smtp.RcptCommand{ForwardPath: path(t, "ann+x@example.org")}},
			{RcptCommand: smtp.RcptCommand{ForwardPath: path(t, "all@example.org")}, Expanded: true},
		},
		From:    "mx.elsewhere.example",
		Spool:   sub.Spool,
		Arrived: time.Unix(1_700_000_000, 0),
	}
	tcheck(t, e.s.NotifyDelivered(ctxbg, d))
	l, err := e.db.List(ctxbg, queuedb.Filter{}, queuedb.Page{})
	tcheck(t, err)
	if len(l) != 1 || e.kicks != 1 {
		t.Fatalf("queue %+v, %d kicks", l, e.kicks)
	}
	m := l[0]
	if !m.Sender().IsZero() || m.Recipient().XString(false) != "sender@elsewhere.example" || m.WantsNotice(smtp.NotifyFailure) {
		t.Errorf("message %+v", m)
	}
	_, text := e.content(t, m)
	r := strings.NewReader(text)
	h, err := message.ReadHeader(r, r.Size(), message.Limits{})
	tcheck(t, err)
	if h.Value("Subject") != "mail was delivered" || h.Value("In-Reply-To") != "<id@example.org>" || h.Value("To") != "<sender@elsewhere.example>" {
		t.Errorf("header %s", h.Raw)
	}
	part, err := message.Parse(r, r.Size(), message.Limits{})
	tcheck(t, err)
	rep, err := dsn.Parse(r, part)
	tcheck(t, err)
	if rep.OriginalEnvelopeID != "id 1" || rep.ReceivedFromMTA.Name != "mx.elsewhere.example" || len(rep.Recipients) != 3 {
		t.Fatalf("report %+v", rep)
	}
	for i, want := range []struct {
		original, final string
		action          dsn.Action
	}{
		{"list@elsewhere.example", "ann@example.org", dsn.Delivered},
		{"", "ann+x@example.org", dsn.Delivered},
		{"", "all@example.org", dsn.Expanded}, // Without its members.
	} {
		if got := rep.Recipients[i]; got.Original.Address != want.original || got.Final.Address != want.final || got.Action != want.action || got.Status != "2.0.0" {
			t.Errorf("recipient %+v", got)
		}
	}
	if strings.Contains(text, "body") || !strings.Contains(text, "=?utf-8?q?h=C3=AF?=") || !strings.Contains(text, "    ann+x@example.org\r\n") {
		t.Errorf("text %s", text)
	}
}

func TestWhatTheSenderWantsToBeToldIsQueued(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	sub := submission(t, goodHeader+"\r\nbody\r\n", "a@one.example", "b@two.example")
	sub.Mail.Ret, sub.Mail.EnvID = smtp.RetFull, "id 1"
	original := smtp.OriginalRecipient{AddrType: "utf-8", Address: "ä@one.example"}
	sub.DSN = []smtp.RcptCommand{{Notify: smtp.NotifySuccess | smtp.NotifyDelay, OriginalRecipient: original}, {}}
	res, err := e.s.Submit(ctxbg, sub)
	tcheck(t, err)
	m, base, err := e.db.Get(ctxbg, res.Messages[0].ID)
	tcheck(t, err)
	if base.Ret != "FULL" || base.EnvID != "id 1" || m.Original() != original {
		t.Errorf("base %+v, message %+v", base, m)
	}
	if !m.WantsNotice(smtp.NotifySuccess) || !m.WantsNotice(smtp.NotifyDelay) || m.WantsNotice(smtp.NotifyFailure) {
		t.Errorf("notify %v", m.Notify)
	}
	m, _, err = e.db.Get(ctxbg, res.Messages[1].ID)
	tcheck(t, err)
	if m.WantsNotice(smtp.NotifySuccess) || !m.WantsNotice(smtp.NotifyDelay) || !m.WantsNotice(smtp.NotifyFailure) || m.Original() != (smtp.OriginalRecipient{}) {
		t.Errorf("message %+v", m)
	}
}
