package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/inbound"
	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

var ctxbg = context.Background()

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func path(t testing.TB, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParseMailbox(s, smtp.Strict)
	tcheck(t, err)
	return p
}

func testStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	o.Dir, o.Log = t.TempDir(), mlog.Discard()
	st, err := store.Open(ctxbg, o)
	tcheck(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

const text = "From: Sender <Sender@Remote.Example>\r\nSubject: hi\r\n\r\nbody\r\n"

func delivery(t testing.TB, account, content string) Delivery {
	t.Helper()
	s := testkit.Spool(t, t.TempDir(), content)
	d, err := message.NewDigest(s, s.Size(), message.Limits{})
	tcheck(t, err)
	f := inbound.Facts{
		RemoteIP:  netip.MustParseAddr("192.0.2.1"),
		EHLO:      dns.IPDomain{Domain: dns.Domain{ASCII: "mail.remote.example"}},
		TLS:       &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256},
		MailFrom:  path(t, "bounces@remote.example"),
		Rcpt:      path(t, "Ann+x@example.org"),
		Recipient: config.Recipient{Account: account},
		Digest:    d,
		Size:      s.Size(),
	}
	v := inbound.New(inbound.Options{}).Decide(ctxbg, f)
	return Delivery{Facts: f, Verdict: v, Spool: s, Trace: []byte("Received: from x by y; now\r\n")}
}

// stored returns the messages of a mailbox with their content.
func stored(t testing.TB, st *store.Store, account, mailbox string) (l []store.Item, contents []string) {
	t.Helper()
	acc, err := st.Account(ctxbg, account)
	tcheck(t, err)
	defer acc.Release()
	mb, ok := acc.Tree().ByName(mailbox)
	if !ok {
		t.Fatalf("no mailbox %s", mailbox)
	}
	ix, err := acc.Index(ctxbg, mb.ID)
	tcheck(t, err)
	for _, e := range ix.Range(0, ix.Len()) {
		l = append(l, e)
		c, err := acc.OpenContent(ctxbg, e.ContentID)
		tcheck(t, err)
		b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		tcheck(t, err)
		tcheck(t, c.Close())
		contents = append(contents, string(b))
	}
	problems, err := acc.Verify(ctxbg)
	tcheck(t, err)
	if len(problems) > 0 {
		t.Fatalf("verify: %v", problems)
	}
	return l, contents
}

func TestMessageIsStoredWithTraceFieldsInFront(t *testing.T) {
	t.Parallel()
	st := testStore(t, store.Options{})
	d := New(Options{Store: st})
	del := delivery(t, "ann", text)
	del.Verdict.Reasons = []string{"because (of) this"}
	del.Verdict.Flags = store.Flags(0)
	del.Received = time.Unix(1700000000, 0)
	res, err := d.Deliver(ctxbg, del)
	tcheck(t, err)
	if res.Account != "ann" || res.Mailbox != "Inbox" || res.Message.UID != 1 {
		t.Fatalf("result %+v", res)
	}
	l, contents := stored(t, st, "ann", "Inbox")
	want := "X-Mox-Reason: no-bad-signals (because [of] this)\r\n" +
		"Delivered-To: Ann+x@example.org\r\n" +
		"Return-Path: <bounces@remote.example>\r\n" +
		"Received: from x by y; now\r\n" + text
	if len(contents) != 1 || contents[0] != want {
		t.Fatalf("%s", testkit.Diff(want, strings.Join(contents, "")))
	}
	if l[0].ReceivedUnix() != 1700000000 {
		t.Errorf("received %v", l[0].Received())
	}
	acc, err := st.Account(ctxbg, "ann")
	tcheck(t, err)
	defer acc.Release()
	o, err := acc.Origin(ctxbg, l[0].ContentID)
	tcheck(t, err)
	if o.RemoteIP != "192.0.2.1" || o.EHLODomain != "mail.remote.example" || o.MailFrom != "bounces@remote.example" || o.MailFromDomain != "remote.example" ||
		o.RcptTo != "Ann+x@example.org" || o.RcptToDomain != "example.org" || o.MsgFrom != "Sender@remote.example" || o.MsgFromDomain != "remote.example" ||
		o.TLSVersion != tls.VersionTLS13 || len(o.Reasons) != 1 {
		t.Errorf("origin %+v", o)
	}
}

func TestEachAddressOfAnAccountGetsACopyInItsMailbox(t *testing.T) {
	t.Parallel()
	st := testStore(t, store.Options{})
	d := New(Options{Store: st})
	for _, mailbox := range []string{"Inbox", "Lists/One", "Inbox"} {
		del := delivery(t, "ann", text)
		del.Verdict.Mailbox = mailbox
		_, err := d.Deliver(ctxbg, del)
		tcheck(t, err)
	}
	if l, _ := stored(t, st, "ann", "Inbox"); len(l) != 2 {
		t.Errorf("%d messages in Inbox", len(l))
	}
	if l, _ := stored(t, st, "ann", "Lists/One"); len(l) != 1 {
		t.Errorf("%d messages in created mailbox", len(l))
	}
}

func TestNullReversePathAndInternationalAddresses(t *testing.T) {
	t.Parallel()
	del := delivery(t, "ann", text)
	del.MailFrom = smtp.Path{}
	del.Rcpt = path(t, "ann@☺.example")
	del.Verdict.Reason = ""
	if got, want := string(prefix(del)), "Delivered-To: ann@xn--74h.example\r\nReturn-Path: <>\r\nReceived: from x by y; now\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	del.SMTPUTF8 = true
	if got := string(prefix(del)); !strings.Contains(got, "Delivered-To: ann@☺.example\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestErrorsAreThoseForAClient(t *testing.T) {
	t.Parallel()
	full := testStore(t, store.Options{Floor: safefile.NewFloor(safefile.FloorOptions{FreeSpace: func(string) (int64, error) { return 0, nil }})})
	quota := testStore(t, store.Options{Quota: func(string) int64 { return 10 }})
	fine := testStore(t, store.Options{})
	broken := testkit.NewFaults(nil)
	disk := testStore(t, store.Options{FS: broken})
	tests := []struct {
		name     string
		st       *store.Store
		edit     func(d *Delivery)
		code     int
		enhanced string
	}{
		{"over quota", quota, func(*Delivery) {}, 452, "4.2.2"},
		{"no space", full, func(*Delivery) {}, 452, "4.3.1"},
		{"mailbox name", fine, func(d *Delivery) { d.Verdict.Mailbox = "a//b" }, 451, "4.3.5"},
		{"account name", fine, func(d *Delivery) { d.Recipient.Account = "../x" }, 451, "4.3.0"},
		{"not accepted", fine, func(d *Delivery) { d.Verdict.Accept = false }, 451, "4.3.0"},
		{"disk", disk, func(*Delivery) { broken.FailFrom(1, testkit.ErrIO, testkit.OpSyncDir) }, 451, "4.3.0"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			del := delivery(t, "ann", text)
			tc.edit(&del)
			_, err := New(Options{Store: tc.st}).Deliver(ctxbg, del)
			e := smtp.AsError(err)
			if e == nil || e.Code != tc.code || e.Enhanced != tc.enhanced || e.Cause == nil {
				t.Fatalf("got %v, want %d %s", err, tc.code, tc.enhanced)
			}
			if tc.st == disk {
				broken.Clear()
			}
		})
	}
}

func TestMessageInALoopIsRefused(t *testing.T) {
	t.Parallel()
	st := testStore(t, store.Options{})
	field := "received \t: from a\r\n\tReceived: folded\r\n"
	for _, tc := range []struct {
		name string
		text string
		loop bool
	}{
		{"at the limit", strings.Repeat(field, MaxReceived) + "\r\n" + "Received: x\r\n", false},
		{"over the limit", strings.Repeat(field, MaxReceived+1) + "\r\n", true},
		{"other fields", strings.Repeat("Received-SPF: x\r\n", 2*MaxReceived) + "\r\n", false},
		{"no header end", strings.Repeat("Received: x\r\n", MaxReceived+1), true},
		{"long lines", strings.Repeat("Received: "+strings.Repeat("x", 5000)+"Received:\r\n", MaxReceived), false},
	} {
		_, err := New(Options{Store: st}).Deliver(ctxbg, delivery(t, "ann", tc.text))
		e := smtp.AsError(err)
		if tc.loop && (e == nil || e.Code != 550 || e.Enhanced != "5.4.6") || !tc.loop && err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestContextThatEndsIsNoAnswerForTheClient(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	err := smtpError(ctx, errors.Join(errors.New("append"), ctx.Err()))
	if !errors.Is(err, context.Canceled) || smtp.AsError(err) != nil {
		t.Fatal(err)
	}
}
