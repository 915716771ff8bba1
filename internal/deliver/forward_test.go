package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/internal/inbound"
	"mox/internal/submit"
	"mox/internal/testkit"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/spf"
	"mox/store"
)

// forwards keeps what is forwarded.
type forwards struct {
	mu   sync.Mutex
	got  []submit.Forwarded
	text []string
	err  error
}

func (f *forwards) Forward(_ context.Context, m submit.Forwarded) ([]queuedb.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	content, err := io.ReadAll(m.Spool.Reader())
	if err != nil {
		return nil, err
	}
	f.got, f.text = append(f.got, m), append(f.text, string(m.Prefix)+string(content))
	l := make([]queuedb.Message, len(m.Targets))
	for i, to := range m.Targets {
		l[i] = queuedb.Message{ID: int64(i + 1), RecipientLocalpart: string(to.Localpart), RecipientDomain: to.Domain.ASCII}
	}
	return l, nil
}

func address(t testing.TB, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s, smtp.Strict)
	tcheck(t, err)
	return a
}

// forwardTest is a deliverer, and an address that forwards to x@out.example.
type forwardTest struct {
	d   *Deliverer
	st  *store.Store
	to  *forwards
	rec *stepRecorder
}

func newForwardTest(t testing.TB) *forwardTest {
	t.Helper()
	e := newAliasEnv(t, 1, nil)
	f := &forwardTest{st: testStore(t, store.Options{}), to: &forwards{}, rec: &stepRecorder{}}
	f.d = New(Options{Store: f.st, Config: config.NewHolder(e.conf), Forward: f.to, Trace: f.rec})
	return f
}

func forwardDelivery(t testing.TB, content string, only bool) Delivery {
	t.Helper()
	del := delivery(t, "ann", content)
	del.Verdict = inbound.Verdict{Accept: true, Mailbox: "Inbox", Reason: "test"}
	del.Recipient.Canonical = address(t, "ann@example.org")
	del.Recipient.Destination = config.Destination{ForwardTo: []smtp.Address{address(t, "x@out.example")}, ForwardOnly: only}
	return del
}

// count returns how many messages are in a mailbox.
func count(t testing.TB, st *store.Store, account, mailbox string) int {
	t.Helper()
	acc, err := st.Account(ctxbg, account)
	if errors.Is(err, store.ErrNoAccount) {
		return 0
	}
	tcheck(t, err)
	defer acc.Release()
	mb, _ := acc.Tree().ByName(mailbox)
	return int(mb.Messages)
}

func TestMessageIsForwardedAndStored(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{false, true} {
		f := newForwardTest(t)
		res, err := f.d.Deliver(ctxbg, forwardDelivery(t, text, only))
		tcheck(t, err)
		if n := count(t, f.st, "ann", "Inbox"); (n == 0) != only || res.Forwarded != 1 || res.Relayed != only {
			t.Errorf("only forwarded %v: %d stored, result %+v", only, n, res)
		}
		m := f.to.got[0]
		if m.Account != "ann" || m.For.String() != "ann@example.org" || m.Sender.XString(false) != "bounces@remote.example" || m.OthersHaveIt == only || m.MayBeForged {
			t.Errorf("got %+v", m)
		}
		if want := "Delivered-To: ann@example.org\r\nReceived: from x by y; now\r\n" + text; f.to.text[0] != want {
			t.Errorf("got %q, want %q", f.to.text[0], want)
		}
		if steps := f.rec.take(); !strings.Contains(steps, "forwarded bounces@remote.example Ann+x@example.org x@out.example ok ann 0") {
			t.Errorf("steps\n%s", steps)
		}
	}
}

// from returns who a message is from, as found out.
func from(domain string, spfStatus spf.Status, dkimStatus dkim.Status) *inbound.Auth {
	d := dns.Domain{ASCII: domain}
	a := &inbound.Auth{From: []dns.Domain{d}}
	a.RemoteIP = netip.MustParseAddr("192.0.2.1")
	a.SPF = spf.Result{Status: spfStatus, Identity: spf.IdentityMailFrom, Domain: d}
	a.DKIM = []dkim.Result{{Status: dkimStatus, Signature: &dkim.Sig{Domain: d}}}
	return a
}

func TestOnlyWantedMessagesAreForwardedAndAllOthersStored(t *testing.T) {
	t.Parallel()
	ours := strings.Replace(text, "Remote.Example", "example.org", 1)
	for name, tc := range map[string]struct {
		content string
		change  func(d *Delivery)
		why     string // Empty if it is forwarded.
	}{
		"wanted":                 {text, nil, ""},
		"junk":                   {text, func(d *Delivery) { d.Verdict.Junk = true }, notForwardedJunk},
		"kept although refused":  {text, func(d *Delivery) { d.Verdict.IsReject = true }, notForwardedJunk},
		"quarantined":            {text, func(d *Delivery) { d.Verdict.Applied = dmarc.PolicyQuarantine }, notForwardedJunk},
		"a report":               {text, func(d *Delivery) { d.Verdict.Report = &inbound.Report{} }, notForwardedJunk},
		"wanted by others":       {text, func(d *Delivery) { d.Verdict.Reason = ReasonAliasMember }, notForwardedJunk},
		"here before":            {"Delivered-To: Ann@example.org\r\n" + text, nil, notForwardedLoop},
		"elsewhere before":       {"Delivered-To: bob@example.org\r\n" + text, nil, ""},
		"forwarded by many":      {strings.Repeat("Delivered-To: a@b.example\r\n", maxForwards) + text, nil, notForwardedLoop},
		"forwarded by some":      {strings.Repeat("Delivered-To: a@b.example\r\n", maxForwards-1) + text, nil, ""},
		"received by some":       {strings.Repeat("Received: x\r\n", maxForwardReceived) + text, nil, ""},
		"received by many":       {strings.Repeat("Received: x\r\n", maxForwardReceived+1) + text, nil, notForwardedLoop},
		"not made of lines":      {text + "x\rx\r\n", nil, notForwardedBinary},
		"ends in CR":             {text + "x\r", nil, notForwardedBinary},
		"from us, submitted":     {ours, nil, ""},
		"from us, forged":        {ours, func(d *Delivery) { d.Auth = from("example.org", spf.StatusFail, dkim.StatusFail) }, notForwardedAuthor},
		"from us, signed":        {ours, func(d *Delivery) { d.Auth = from("example.org", spf.StatusFail, dkim.StatusPass) }, ""},
		"from others, forged":    {text, func(d *Delivery) { d.Auth = from("remote.example", spf.StatusFail, dkim.StatusFail) }, ""},
		"from nobody, from afar": {"Subject: x\r\n\r\nx\r\n", func(d *Delivery) { d.Auth = from("x.example", spf.StatusFail, dkim.StatusFail) }, notForwardedAuthor},
	} {
		f := newForwardTest(t)
		del := forwardDelivery(t, tc.content, true)
		if tc.change != nil {
			tc.change(&del)
		}
		_, err := f.d.Deliver(ctxbg, del)
		tcheck(t, err)
		n := count(t, f.st, "ann", "Inbox") + count(t, f.st, "ann", "Junk")
		if sent := len(f.to.got); sent+n != 1 || (sent == 1) != (tc.why == "") {
			t.Errorf("%s: %d forwarded, %d stored", name, sent, n)
		}
		if steps := f.rec.take(); tc.why != "" && !strings.Contains(steps, "x@out.example failed ann 0 "+tc.why) {
			t.Errorf("%s: steps\n%s", name, steps)
		}
	}
}

func TestNotificationsAreForwardedAndStored(t *testing.T) {
	t.Parallel()
	f := newForwardTest(t)
	del := forwardDelivery(t, text, true)
	del.MailFrom = smtp.Path{}
	_, err := f.d.Deliver(ctxbg, del)
	tcheck(t, err)
	if n := count(t, f.st, "ann", "Inbox"); n != 1 || len(f.to.got) != 1 || !f.to.got[0].Sender.IsZero() {
		t.Errorf("%d stored, forwarded %+v", n, f.to.got)
	}
}

func TestSenderThatMayBeForgedIsNotToldByTheTarget(t *testing.T) {
	t.Parallel()
	f := newForwardTest(t)
	for status, want := range map[spf.Status]bool{spf.StatusPass: false, spf.StatusNone: true, spf.StatusFail: true} {
		del := forwardDelivery(t, text, false)
		del.Auth = from("remote.example", status, dkim.StatusPass)
		_, err := f.d.Deliver(ctxbg, del)
		tcheck(t, err)
		if got := f.to.got[len(f.to.got)-1]; got.MayBeForged != want || got.Fallback != got.For {
			t.Errorf("%s: got %+v", status, got)
		}
	}
}

func TestTargetsGetOnlySoMuch(t *testing.T) {
	t.Parallel()
	f := newForwardTest(t)
	var log strings.Builder
	f.d.log = slog.New(slog.NewTextHandler(&log, nil))
	del := forwardDelivery(t, text, true)
	del.Recipient.Destination.ForwardTo = append(del.Recipient.Destination.ForwardTo, address(t, "y@out.example"))
	for i := range ForwardedPerHour {
		if !f.d.forwardLimit.Add("x@out.example", time.Now(), 1) {
			t.Fatalf("message %d", i)
		}
	}
	_, err := f.d.Deliver(ctxbg, del)
	tcheck(t, err)
	if n := count(t, f.st, "ann", "Inbox"); n != 1 || len(f.to.got) != 1 || fmt.Sprint(f.to.got[0].Targets) != "[y@out.example]" {
		t.Errorf("%d stored, forwarded %+v", n, f.to.got)
	}
	if steps := f.rec.take(); !strings.Contains(steps, "x@out.example failed ann 0 "+notForwardedRate) {
		t.Errorf("steps\n%s", steps)
	}
	if l := log.String(); !strings.Contains(l, `msg="message not forwarded"`) || !strings.Contains(l, "to=x@out.example reason=high-rate") {
		t.Errorf("log\n%s", l)
	}
	if n := testkit.Metric(t, `mox_forward_total{result="high-rate"}`); n == 0 {
		t.Error("not counted")
	}
}

// Members of an alias elsewhere have no mailbox here: what is too much for one comes again, for
// all of them, and is not counted.
func TestAliasPutsOffWhatIsTooMuchForOneElsewhere(t *testing.T) {
	t.Parallel()
	f := newForwardTest(t)
	x, y := address(t, "x@out.example"), address(t, "y@out.example")
	del := forwardDelivery(t, text, false)
	del.Recipient.Alias = &config.Alias{Address: address(t, "list@example.org"), ForwardTo: []smtp.Address{y, x}}
	if !f.d.forwardLimit.Add(x.String(), time.Now(), ForwardedPerHour) {
		t.Fatal("limit is lower")
	}
	_, err := f.d.Deliver(ctxbg, del)
	if e := smtp.AsError(err); e == nil || e.Code != smtp.C451LocalError || e.Enhanced != "4."+smtp.Se45Congestion || len(f.to.got) > 0 {
		t.Fatalf("got %v, forwarded %v", err, f.to.got)
	}
	if !f.d.forwardLimit.Add(y.String(), time.Now(), ForwardedPerHour-1) || testkit.Metric(t, `mox_forward_total{result="put-off"}`) == 0 {
		t.Error("what was put off is counted for others, or not counted itself")
	}
	f.d.forwardLimit.Reset(x.String())
	_, err = f.d.Deliver(ctxbg, del)
	tcheck(t, err)
	if len(f.to.got) != 1 || fmt.Sprint(f.to.got[0].Targets) != "[y@out.example x@out.example]" {
		t.Errorf("forwarded %+v", f.to.got)
	}
}

func TestTargetsGetOnlySoMuchInADay(t *testing.T) {
	t.Parallel()
	l, now := newForwardLimit(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for sent := 0; sent < ForwardedPerDay; now = now.Add(2 * time.Hour) { // Each time as if it was the first hour.
		n := min(ForwardedPerHour, ForwardedPerDay-sent)
		if !l.Add("x@out.example", now, n) || l.Add("x@out.example", now, ForwardedPerHour-n+1) {
			t.Fatalf("%d messages after %d", n, sent)
		}
		sent += n
	}
	if l.Add("x@out.example", now, 1) || !l.Add("y@out.example", now, 1) || !l.Add("x@out.example", now.Add(48*time.Hour), ForwardedPerHour) {
		t.Error("limit of a day is not kept")
	}
}

func TestMessageThatCannotBeForwardedNowComesAgainWithoutASecondCopy(t *testing.T) {
	t.Parallel()
	f := newForwardTest(t)
	f.to.err = smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se31SystemFull, "queue full")
	for range 3 {
		if _, err := f.d.Deliver(ctxbg, forwardDelivery(t, text, false)); smtp.AsError(err) == nil || smtp.AsError(err).Code != smtp.C452InsufficientStorage {
			t.Fatalf("got %v", err)
		}
	}
	f.to.err = nil
	_, err := f.d.Deliver(ctxbg, forwardDelivery(t, text, false))
	tcheck(t, err)
	if n := count(t, f.st, "ann", "Inbox"); n != 1 || len(f.to.got) != 1 {
		t.Errorf("%d stored, %d forwarded", n, len(f.to.got))
	}
	// It is another one when it is sent again.
	_, err = f.d.Deliver(ctxbg, forwardDelivery(t, text, false))
	tcheck(t, err)
	if n := count(t, f.st, "ann", "Inbox"); n != 2 || len(f.to.got) != 2 {
		t.Errorf("%d stored, %d forwarded", n, len(f.to.got))
	}
	// Without a copy here, nothing has happened.
	f.to.err = smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "error")
	if _, err := f.d.Deliver(ctxbg, forwardDelivery(t, text, true)); err == nil || count(t, f.st, "ann", "Inbox") != 2 {
		t.Errorf("got %v", err)
	}
	// What can never be queued is stored.
	f.to.err = smtp.Errorf(smtp.C554TransactionFailed, smtp.Se53TooManyRecipients, "too much")
	if _, err := f.d.Deliver(ctxbg, forwardDelivery(t, text, true)); err != nil || count(t, f.st, "ann", "Inbox") != 3 {
		t.Errorf("got %v", err)
	}
}

func TestHalfDoneDeliveriesAreForgottenInTime(t *testing.T) {
	t.Parallel()
	h := newHalfDone()
	del := forwardDelivery(t, text, false)
	now := time.Now()
	tcheck(t, h.add(del, now))
	if had, err := h.take(del, now.Add(halfDoneFor)); err != nil || had {
		t.Errorf("got %v, %v", had, err)
	}
	for i := range maxHalfDone + 5 {
		d := del
		d.Rcpt = path(t, fmt.Sprintf("a%d@example.org", i))
		tcheck(t, h.add(d, now))
	}
	if len(h.until) != maxHalfDone || len(h.order) != maxHalfDone {
		t.Errorf("%d remembered", len(h.until))
	}
}

func TestAliasForwardsToMembersElsewhereWhatAnyMemberWants(t *testing.T) {
	t.Parallel()
	for _, wanted := range []bool{true, false} {
		e := newAliasEnv(t, 2, func(_ *config.Dynamic, a *config.AliasFields) {
			a.ForwardTo = []string{"x@out.example", "sender@remote.example"}
		})
		e.reject["m0"] = smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se71NotAuthorized, "no")
		if !wanted {
			e.reject["m1"] = e.reject["m0"]
		}
		x := e.expand(t, text[:strings.Index(text, "Subject")], func(x *Expansion) { x.FromAuthentic = true })
		d, sent := e.dels[""]
		if (x.Err == nil) != wanted || sent != wanted {
			t.Fatalf("wanted %v: got %+v, forwarded %v", wanted, x, sent)
		}
		if !wanted {
			continue
		}
		// Not to the author.
		if a := d.Recipient.Alias; fmt.Sprint(a.ForwardTo) != "[x@out.example]" || d.Verdict.Reason != "test" {
			t.Errorf("got %+v", d)
		}
		f := newForwardTest(t)
		_, err := f.d.Deliver(ctxbg, d)
		tcheck(t, err)
		if m := f.to.got[0]; m.Account != "m0" || m.For.String() != "list@example.org" || m.Fallback.String() != "postmaster@example.org" || !m.OthersHaveIt {
			t.Errorf("got %+v", m)
		}
	}
}

func TestAliasComesAgainForMembersElsewhereAlone(t *testing.T) {
	t.Parallel()
	e := newAliasEnv(t, 2, func(_ *config.Dynamic, a *config.AliasFields) { a.ForwardTo = []string{"x@out.example"} })
	e.fail[""] = smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "queue full")
	x := e.expand(t, "", nil)
	if x.Err == nil || len(x.Got) != 2 {
		t.Fatalf("got %+v", x)
	}
	delete(e.fail, "")
	e.tried = nil
	x = e.expand(t, "", func(x *Expansion) { x.Skip = func(smtp.Address) bool { return true } })
	if x.Err != nil || !slices.Equal(e.tried, []string{""}) {
		t.Errorf("got %+v, tried %q", x, e.tried)
	}
}
