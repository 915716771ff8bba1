package submit

import (
	"errors"
	"strings"
	"testing"

	"mox/dsn"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/srs"
)

// forwardEnv is testEnv with a key.
func forwardEnv(t testing.TB) *env {
	t.Helper()
	e := testEnv(t, false, nil)
	e.s.opts.ReturnKeys = [][]byte{[]byte("0123456789abcdef")}
	return e
}

func addr(t testing.TB, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s, smtp.Strict)
	tcheck(t, err)
	return a
}

func forwarded(t testing.TB, header, sender string, targets ...string) Forwarded {
	t.Helper()
	sub := submission(t, header+"\r\nbody\r\n")
	d, err := message.NewDigest(sub.Spool, sub.Spool.Size(), message.Limits{})
	tcheck(t, err)
	f := Forwarded{
		Account: "ann", Rcpt: path(t, "Ann+x@example.org"), For: addr(t, "ann@example.org"), Fallback: addr(t, "ann@example.org"),
		Sender: path(t, sender), Spool: sub.Spool, Digest: d, Prefix: []byte("Received: here\r\n"),
	}
	for _, s := range targets {
		f.Targets = append(f.Targets, addr(t, s))
	}
	return f
}

func TestForwardedMessageIsQueuedUnchangedWithASenderThatLeadsBack(t *testing.T) {
	t.Parallel()
	e := forwardEnv(t)
	f := forwarded(t, goodHeader, "sender@elsewhere.example", "x@out.example", "y@out.example")
	l, err := e.s.Forward(ctxbg, f)
	tcheck(t, err)
	if len(l) != 2 || e.kicks != 1 || l[0].ContentID != l[1].ContentID || l[0].Account != "ann" {
		t.Fatalf("got %+v, %d kicks", l, e.kicks)
	}
	base, text := e.content(t, l[0])
	if want := "Received: here\r\n" + goodHeader + "\r\nbody\r\n"; text != want {
		t.Errorf("content %q, want %q", text, want)
	}
	if base.MessageID != "<id@example.org>" || base.Extra["Forwarded-For"] != "ann@example.org" || ForwardedFrom(base) != "sender@elsewhere.example" {
		t.Errorf("base %+v", base)
	}
	back := l[0].Sender()
	if back.IPDomain.Domain.ASCII != "example.org" || !srs.IsRewritten(back.Localpart) {
		t.Errorf("sender %s", back)
	}
	to, err := e.s.BounceTo(back)
	if err != nil || to.String() != "sender@elsewhere.example" {
		t.Errorf("bounce to %v, %v", to, err)
	}
	if o := l[0].Original(); o.AddrType != "rfc822" || o.Address != "Ann+x@example.org" {
		t.Errorf("original recipient %+v", o)
	}
}

func TestReversePathOfForwardedMessages(t *testing.T) {
	t.Parallel()
	e := forwardEnv(t)
	for _, tc := range []struct {
		name, sender string
		forged       bool
		want         string
	}{
		{"a notification stays one", "", false, "<>"},
		{"one that may be forged is not told", "sender@elsewhere.example", true, "ann@example.org"},
		{"one that is too long", strings.Repeat("a", 60) + "@elsewhere.example", false, "ann@example.org"},
		{"an address literal", "sender@[192.0.2.1]", false, "ann@example.org"},
		{"our own", "bob@example.org", false, "bob@example.org"},
	} {
		f := forwarded(t, goodHeader, tc.sender, "x@out.example")
		f.MayBeForged = tc.forged
		l, err := e.s.Forward(ctxbg, f)
		tcheck(t, err)
		got := "<>"
		if p := l[0].Sender(); !p.IsZero() {
			got = p.XString(true)
		}
		if got != tc.want {
			t.Errorf("%s: got %s", tc.name, got)
		}
	}
}

func TestWhatTheSenderWantsIsForwarded(t *testing.T) {
	t.Parallel()
	e := forwardEnv(t)
	const all = smtp.NotifySuccess | smtp.NotifyFailure
	for _, tc := range []struct {
		targets []string
		others  bool
		notify  smtp.Notify
		want    smtp.Notify
	}{
		{[]string{"x@out.example"}, false, all, all}, // RFC 3461 §5.2.7.2
		{[]string{"x@out.example"}, false, 0, 0},
		{[]string{"x@out.example"}, true, all, smtp.NotifyFailure}, // RFC 3461 §5.2.7.3
		{[]string{"x@out.example", "y@out.example"}, false, all, smtp.NotifyFailure},
		{[]string{"x@out.example"}, true, smtp.NotifySuccess, smtp.NotifyNever},
		{[]string{"x@out.example"}, true, smtp.NotifyNever, smtp.NotifyNever},
	} {
		f := forwarded(t, goodHeader, "sender@elsewhere.example", tc.targets...)
		f.OthersHaveIt, f.Notify, f.EnvID, f.Ret = tc.others, tc.notify, "id 1", smtp.RetFull
		f.Original = smtp.OriginalRecipient{AddrType: "rfc822", Address: "list@elsewhere.example"}
		f.SMTPUTF8 = true
		l, err := e.s.Forward(ctxbg, f)
		tcheck(t, err)
		base, _ := e.content(t, l[0])
		if smtp.Notify(l[0].Notify) != tc.want || l[0].Original() != f.Original || base.EnvID != "id 1" || base.Ret != "FULL" || !base.SMTPUTF8 {
			t.Errorf("%+v: got %+v, %+v", tc, l[0], base)
		}
	}
	// RFC 8689 §5
	f := forwarded(t, goodHeader, "sender@elsewhere.example", "x@out.example")
	f.RequireTLS, f.Ret = true, smtp.RetFull
	l, err := e.s.Forward(ctxbg, f)
	tcheck(t, err)
	if base, _ := e.content(t, l[0]); l[0].RequireTLS == nil || !*l[0].RequireTLS || base.Ret != "HDRS" {
		t.Errorf("got %+v, %+v", l[0], base)
	}
	l, err = e.s.Forward(ctxbg, forwarded(t, goodHeader+"TLS-Required: No\r\n", "sender@elsewhere.example", "x@out.example"))
	tcheck(t, err)
	if l[0].RequireTLS == nil || *l[0].RequireTLS {
		t.Errorf("got %+v", l[0])
	}
}

func TestForwardSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	e := forwardEnv(t)
	e.fail = queuedb.ErrNoSpace
	if _, err := e.s.Forward(ctxbg, forwarded(t, goodHeader, "a@b.example", "x@out.example")); !errors.Is(err, queuedb.ErrNoSpace) || !smtp.AsError(err).Temporary() || e.kicks != 0 {
		t.Errorf("got %v", err)
	}
}

func TestBouncesAreOnlyForAddressesMadeHere(t *testing.T) {
	t.Parallel()
	e := forwardEnv(t)
	for s, is := range map[string]bool{
		"ann@example.org": false,
		"SRS0=AAAAAA=LB=elsewhere.example=x@other.test":  false, // Not a domain of ours.
		"SRS0=AAAAAA=LB=elsewhere.example=x@example.org": true,
		"SRS0=x@example.org":                             true,
	} {
		if to, err := e.s.BounceTo(path(t, s)); err == nil || errors.Is(err, ErrNotRewritten) == is {
			t.Errorf("%s: %v, %v", s, to, err)
		}
	}
	f := forwarded(t, goodHeader, "", "x@out.example")
	tcheck(t, e.s.Bounce(ctxbg, Bounced{To: addr(t, "sender@elsewhere.example"), Spool: f.Spool, Digest: f.Digest, Prefix: f.Prefix}))
	l, err := e.db.List(ctxbg, queuedb.Filter{}, queuedb.Page{})
	tcheck(t, err)
	if len(l) != 1 || !l[0].Sender().IsZero() || l[0].Recipient().XString(false) != "sender@elsewhere.example" || l[0].WantsNotice(smtp.NotifyFailure) || e.kicks != 1 {
		t.Errorf("got %+v", l)
	}
}

func TestNotificationOfFailedRecipientsIsQueued(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	sub := submission(t, goodHeader+"\r\nbody\r\n")
	full := smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se22MailboxFull, "mailbox full")
	f := Failed{
		Mail: smtp.MailCommand{ReversePath: path(t, "sender@elsewhere.example"), EnvID: "id 1"},
		Recipients: []FailedRecipient{
			{smtp.RcptCommand{ForwardPath: path(t, "ann@example.org")}, full},
			{smtp.RcptCommand{ForwardPath: path(t, "bob@example.org"), Notify: smtp.NotifyNever}, full},
			{smtp.RcptCommand{ForwardPath: path(t, "ann+x@example.org"), Notify: smtp.NotifyFailure}, smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user")},
		},
		From: "mx.elsewhere.example", Spool: sub.Spool,
	}
	tcheck(t, e.s.NotifyFailure(ctxbg, f))
	l, err := e.db.List(ctxbg, queuedb.Filter{}, queuedb.Page{})
	tcheck(t, err)
	if len(l) != 1 || !l[0].Sender().IsZero() || l[0].Recipient().XString(false) != "sender@elsewhere.example" {
		t.Fatalf("got %+v", l)
	}
	_, text := e.content(t, l[0])
	r := strings.NewReader(text)
	part, err := message.Parse(r, r.Size(), message.Limits{})
	tcheck(t, err)
	rep, err := dsn.Parse(r, part)
	tcheck(t, err)
	if len(rep.Recipients) != 2 || rep.OriginalEnvelopeID != "id 1" || strings.Contains(text, "\r\nbody") {
		t.Fatalf("report %+v, text %s", rep, text)
	}
	for i, want := range []struct{ final, status string }{{"ann@example.org", "4.2.2"}, {"ann+x@example.org", "5.1.1"}} {
		if got := rep.Recipients[i]; got.Final.Address != want.final || got.Status != want.status || got.Action != dsn.Failed {
			t.Errorf("recipient %+v", got)
		}
	}
	f.Recipients = f.Recipients[1:2]
	tcheck(t, e.s.NotifyFailure(ctxbg, f)) // Nobody wants to know.
	if l, err := e.db.List(ctxbg, queuedb.Filter{}, queuedb.Page{}); err != nil || len(l) != 1 {
		t.Errorf("got %d messages, %v", len(l), err)
	}
}
