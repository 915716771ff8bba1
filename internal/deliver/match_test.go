package deliver

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"mox/smtp"
	"mox/store"
)

// matches keeps what it is asked about.
type matches struct {
	mu  sync.Mutex
	got []string
	do  func() // If not nil, called for each.
}

func (m *matches) MatchDSN(_ context.Context, account string, rcpt smtp.Path, r io.ReaderAt, size int64) error {
	if m.do != nil {
		m.do()
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil {
		return err
	}
	_, subject, _ := strings.Cut(string(b), "Subject: ")
	subject, _, _ = strings.Cut(subject, "\r\n")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, account+" "+rcpt.XString(false)+" "+subject)
	return errors.New("is logged")
}

// idle waits until all that was delivered has been looked at.
func idle(d *Deliverer) {
	d.matching.mu.Lock()
	defer d.matching.mu.Unlock()
	for d.matching.running {
		d.matching.idle.Wait()
	}
}

func TestNotificationsAreLookedAtAfterDelivery(t *testing.T) {
	t.Parallel()
	m := &matches{}
	d := New(Options{Store: testStore(t, store.Options{}), Match: m})
	const report = "From: a@b.example\r\nSubject: report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n" +
		"--x\r\n\r\ntext\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; b.example\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--x--\r\n"
	for _, del := range []Delivery{delivery(t, "ann", text), delivery(t, "ann", report)} {
		_, err := d.Deliver(ctxbg, del)
		tcheck(t, err)
	}
	del := delivery(t, "ann", strings.Replace(text, "hi", "null", 1))
	del.MailFrom = smtp.Path{}
	_, err := d.Deliver(ctxbg, del)
	tcheck(t, err)
	del = delivery(t, "ann", strings.Replace(text, "hi", "ours", 1))
	del.MailFrom, del.Notice = smtp.Path{}, true
	_, err = d.Deliver(ctxbg, del)
	tcheck(t, err)
	idle(d)
	if got := strings.Join(m.got, ", "); got != "ann Ann+x@example.org report, ann Ann+x@example.org null" {
		t.Errorf("got %s", got)
	}
}

func TestNotificationsWaitAndDelayNoDelivery(t *testing.T) {
	t.Parallel()
	begun, release := make(chan bool, 10), make(chan bool)
	m := &matches{do: func() { begun <- true; <-release }}
	d := New(Options{Store: testStore(t, store.Options{}), Match: m})
	deliver := func() {
		del := delivery(t, "ann", text)
		del.MailFrom = smtp.Path{}
		_, err := d.Deliver(ctxbg, del)
		tcheck(t, err)
	}
	deliver()
	<-begun
	for range 3 {
		deliver()
	}
	d.matching.mu.Lock()
	if n := len(d.matching.waiting); n != 3 {
		t.Errorf("%d wait", n)
	}
	d.matching.waiting = make([]matchJob, maxMatches)
	d.matching.mu.Unlock()
	deliver() // Is delivered all the same.
	settled := make(chan bool)
	go func() {
		d.Settle()
		close(settled)
	}()
	close(release)
	<-settled
	if d.matching.running {
		t.Errorf("still running")
	}
}
