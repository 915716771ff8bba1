package queue

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/queue/queuedb"
	"mox/smtp"
)

// compose writes the notification for a sender here.
func (n notice) compose(conf *config.Snapshot, original, content []byte, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	err := n.message(conf, n.m.Sender(), original, content, now).Compose(&b, dsn.ComposeOptions{UTF8: n.base.SMTPUTF8})
	return b.Bytes(), err
}

// message returns the notification.
func (n notice) message(conf *config.Snapshot, to smtp.Path, original, content []byte, now time.Time) dsn.Message {
	subject := map[dsn.Action]string{
		dsn.Failed:    "mail delivery failed",
		dsn.Delayed:   "mail delivery delayed",
		dsn.Delivered: "mail was delivered",
		dsn.Relayed:   "mail was sent on",
		dsn.Expanded:  "mail was delivered to a list",
	}[n.action()]
	m := dsn.Message{
		From:      smtp.NewAddress("postmaster", conf.Hostname),
		To:        to,
		Subject:   subject,
		MessageID: "<" + rand.Text() + "@" + conf.Hostname.ASCII + ">",
		Date:      now,
		InReplyTo: n.base.MessageID,
		Text:      n.text(conf),
		Header:    original,
		Report: dsn.Report{
			OriginalEnvelopeID:   n.base.EnvID,
			ReportingMTA:         dsn.MTA{Name: conf.Hostname.ASCII},
			ArrivalDate:          n.m.Queued,
			FutureReleaseRequest: n.base.FutureRelease,
			Recipients:           []dsn.Recipient{n.recipient()},
		},
	}
	if content != nil {
		m.Content = bytes.NewReader(content)
		m.Content8Bit, m.ContentUTF8 = n.base.EightBit, n.base.SMTPUTF8
	}
	return m
}

// action returns what has happened to the message.
func (n notice) action() dsn.Action {
	switch {
	case n.success != "":
		return n.success
	case n.delayed:
		return dsn.Delayed
	}
	return dsn.Failed
}

// recipient returns the part about the recipient, for programs.
func (n notice) recipient() dsn.Recipient {
	r := dsn.Recipient{
		Original: n.m.Original(),
		Final:    dsn.Address(n.m.Recipient()),
		Action:   n.action(),
		Status:   n.status(),
	}
	if n.delayed {
		r.WillRetryUntil, _ = n.schedule.lastAttempt(n.m, n.m.NextAttempt)
	}
	res, ok := n.m.LastResult()
	if !ok {
		return r
	}
	r.LastAttempt = res.Start
	if r.RemoteMTA = (dsn.MTA{Name: res.Remote}); res.Remote != "" {
		r.RemoteMTA.Comment = res.IP
	}
	if res.Code != 0 && n.success == "" {
		r.DiagnosticType, r.Diagnostic = "smtp", reply(res)
	} else {
		r.StatusComment = oneLine(res.Error)
	}
	return r
}

// status returns the enhanced status code, RFC 3463 §2: class 4 also says that a
// message was given up because a temporary failure went on for too long.
func (n notice) status() string {
	res, _ := n.m.LastResult()
	switch {
	case res.Code != 0 || res.Enhanced != "":
		return dsn.Status(!n.delayed, int(res.Code), res.Enhanced)
	case n.delayed || int(n.m.Attempts) >= n.schedule.attempts(n.m):
		return "4.4.7" // Delivery time expired, RFC 3463 §3.5.
	}
	return "5.0.0"
}

// reply returns a result as the reply it was.
func reply(r queuedb.Result) string {
	e := smtp.Error{Code: int(r.Code), Enhanced: r.Enhanced, Text: r.Error}
	return e.Error()
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}

// text returns the part for people.
func (n notice) text(conf *config.Snapshot) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	rcpt := n.m.Recipient().XString(true)
	switch n.action() {
	case dsn.Delivered, dsn.Expanded:
		line("Your message was delivered to:")
		line("")
		line("    %s", rcpt)
	case dsn.Relayed:
		line("Your message was sent on, to a server that does not tell when it is delivered, for:")
		line("")
		line("    %s", rcpt)
	case dsn.Delayed:
		at, left := n.schedule.lastAttempt(n.m, n.m.NextAttempt)
		line("Your message has not been delivered yet to:")
		line("")
		line("    %s", rcpt)
		line("")
		line("%d attempts have failed. The next will be at %s.", n.m.Attempts, formatTime(n.m.NextAttempt))
		line("If all of the remaining %d attempts fail, the last at %s,", left, formatTime(at))
		line("you will get another message. You need not do anything now.")
	default:
		line("Your message could not be delivered to:")
		line("")
		line("    %s", rcpt)
		line("")
		line("No further attempts will be made.")
	}
	if n.base.Subject != "" {
		line("")
		line("Subject of your message: %s", oneLine(n.base.Subject))
	}
	if res, ok := n.m.LastResult(); ok && n.success == "" {
		line("")
		n.explain(line, res)
	}
	line("")
	line("Mail server at %s", conf.Hostname.Name())
	return b.String()
}

// explain writes what the last attempt met.
func (n notice) explain(line func(format string, args ...any), res queuedb.Result) {
	switch {
	case res.Code != 0 && res.Remote != "":
		line("The mail server %s answered:", res.Remote)
	case res.Code != 0:
		line("The answer was:")
	default:
		line("The reason is:")
	}
	line("")
	text := res.Error
	if res.Code != 0 {
		text = strings.TrimSpace(fmt.Sprintf("%d %s", res.Code, res.Enhanced)) + " " + text
	}
	for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		line("    %s", strings.TrimRight(l, "\r"))
	}
}

func formatTime(t time.Time) string {
	return t.UTC().Format("Mon, 2 Jan 2006 15:04 MST")
}
