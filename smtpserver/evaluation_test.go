package smtpserver

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"testing"

	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/dns"
	"mox/internal/inbound"
	"mox/smtp"
)

// reported is an OriginChecker that finds all messages to be of good.example, which wants
// reports, and remembers what is recorded for these.
type reported struct {
	mu          sync.Mutex // Guards what follows.
	evaluations []dmarcdb.Evaluation
}

func (*reported) Authenticate(_ context.Context, arr inbound.Arrival, _ io.ReaderAt, _ int64) (*inbound.Auth, error) {
	rec, err := dmarc.ParseRecord("v=DMARC1; p=reject; rua=mailto:d@good.example")
	arr.RemoteIP = netip.MustParseAddr("192.0.2.1")
	good := dns.Domain{ASCII: "good.example"}
	return &inbound.Auth{Arrival: arr, DMARC: dmarc.Result{Status: dmarc.StatusPass, From: good, Domain: good, Record: &rec, Policy: dmarc.PolicyReject, AlignedSPF: true}}, err
}

func (r *reported) AddEvaluation(e dmarcdb.Evaluation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evaluations = append(r.evaluations, e)
	return nil
}

// take returns how many messages were recorded since the last time.
func (r *reported) take() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.evaluations)
	r.evaluations = nil
	return n
}

func TestMessageIsRecordedOnceForDMARCReportsWhoeverGetsIt(t *testing.T) {
	t.Parallel()
	rep := &reported{}
	ts := newTestServer(t, testSetup{options: func(o *Options) { o.Origins, o.Evaluations = rep, rep }})
	c := dialClient(t, ts.delivery)
	c.hello()
	send := func(want int, reply string, rcpts ...string) {
		t.Helper()
		c.message("joe@good.example", rcpts, "From: <joe@good.example>\r\n\r\nhi\r\n", reply)
		if n := rep.take(); n != want {
			t.Errorf("to %q: recorded %d times", rcpts, n)
		}
	}
	fail := func(rcpt string, err error) {
		ts.fake.mu.Lock()
		defer ts.fake.mu.Unlock()
		ts.fake.fail[rcpt] = err
	}
	send(1, "250 ", "ann@example.org")
	send(1, "250 ", "ann@example.org", "bob@example.org", "left@example.org")
	send(1, "250 ", "list@example.org")
	send(1, "250 ", "ann@example.org", "list@example.org", "one@example.org")

	// Who can have it later is no second message.
	fail("bob@example.org", smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "later"))
	send(1, "451", "ann@example.org", "bob@example.org")
	send(1, "451", "list@example.org")
	fail("bob@example.org", nil)
	send(0, "250 ", "ann@example.org", "bob@example.org")
	send(0, "250 ", "list@example.org")

	// Nobody has it.
	fail("ann@example.org", smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "later"))
	send(0, "451 ", "ann@example.org")
	fail("ann@example.org", nil)
	send(1, "250 ", "ann@example.org")
	fail("reject ann@example.org", smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "junk"))
	send(0, "550 ", "ann@example.org")
}
