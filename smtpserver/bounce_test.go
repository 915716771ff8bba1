package smtpserver

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
	"mox/mlog"
)

func TestSendersGetOnlySoManyBounces(t *testing.T) {
	const to, series = "SRS0=good=ann@example.org", `mox_smtpserver_delivery_total{reason="bounce-rate",result="reject"}`
	log := &strings.Builder{}
	setup := testSetup{options: func(o *Options) {
		o.Bounce = o.Deliver.(*engines)
		o.Log = slog.New(mlog.NewHandler(log, mlog.Options{}))
	}}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		connect := func() *client {
			c := ts.pipeClient(setup, ListenerOptions{})
			c.hello()
			return c
		}
		refused := func(when string) {
			t.Helper()
			before := testkit.Metric(t, series)
			c := connect()
			c.cmd("MAIL FROM:<>", "250 ")
			c.cmd("RCPT TO:<"+to+">", "451 4.4.5 ")
			c.cmd("RCPT TO:<SRS0=good=bob@example.org>", "250 ") // Others get theirs.
			c.cmd("QUIT", "221 ")
			if after := testkit.Metric(t, series); after != before+1 {
				t.Errorf("%s: %v refused after %v", when, after, before)
			}
		}
		for total := 0; total < maxBouncesDay; time.Sleep(2 * time.Hour) {
			late := connect() // It has asked before there were too many.
			late.cmd("MAIL FROM:<>", "250 ")
			late.cmd("RCPT TO:<"+to+">", "250 ")
			n := min(maxBouncesHour, maxBouncesDay-total)
			c := connect()
			for range n {
				c.message("", []string{to}, "Subject: x\r\n\r\nx\r\n", "250 ")
			}
			c.cmd("QUIT", "221 ")
			total += n
			late.cmd("DATA", "354 ")
			late.cmd("Subject: x\r\n\r\nx\r\n.", "451 4.4.5 ")
			late.cmd("QUIT", "221 ")
			refused("hour")
		}
		refused("day")
		if n := len(ts.fake.messages()); n != maxBouncesDay {
			t.Errorf("%d passed on", n)
		}
		time.Sleep(48 * time.Hour)
		connect().message("", []string{to}, "Subject: x\r\n\r\nx\r\n", "250 ")
	})
	if l := log.String(); !strings.Contains(l, `m="bounce of forwarded message refused: too many for its sender"`) || !strings.Contains(l, `rcptto="<`+to+`>" sender=ann@elsewhere.example`) {
		t.Errorf("log\n%s", l[max(0, len(l)-3000):])
	}
}
