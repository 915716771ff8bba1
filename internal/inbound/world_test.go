package inbound

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dmarc"
	"mox/dns"
	"mox/imap"
	"mox/internal/safefile"
	"mox/iprev"
	"mox/junk"
	"mox/message"
	"mox/mlog"
	"mox/spf"
	"mox/store"
)

// A world is a decider with an account, ann, whose address is ann@example.org.
type world struct {
	t     *testing.T
	store *store.Store
	conf  *config.Snapshot
	d     *Decider
	now   time.Time
	junk  *fixedJunk
}

// fixedJunk is a filter that always says the same.
type fixedJunk struct {
	v    junk.Verdict
	none bool // There is no filter.
	err  error
}

func (f *fixedJunk) Classify(_ context.Context, account string, tok *junk.Tokens) (junk.Verdict, bool, error) {
	if account != "ann" || tok == nil {
		return junk.Verdict{}, false, fmt.Errorf("account %q", account)
	}
	return f.v, !f.none, f.err
}

// wish is how the account and its address are to be.
type wish struct {
	account     func(*config.AccountFields)
	destination func(*config.DestinationFields)
	options     func(*Options)
}

func newWorld(t *testing.T, w wish) *world {
	t.Helper()
	dir := t.TempDir()
	dest := config.DestinationFields{}
	if w.destination != nil {
		w.destination(&dest)
	}
	acc := config.AccountFields{Domain: "example.org", RejectsMailbox: "Rejects", Destinations: map[string]config.DestinationFields{"ann@example.org": dest}}
	if w.account != nil {
		w.account(&acc)
	}
	snap, err := config.New(config.Static{
		DataDir: filepath.Join(dir, "data"), LogLevel: "info", Hostname: "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
		HostTLSRPT: &config.HostTLSRPTFields{Account: "ann", Mailbox: "TLSRPT", Localpart: "tls"},
	}, config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {LocalpartCatchallSeparator: "+",
			DMARC:  &config.ReportFields{Localpart: "dmarcreports", Account: "ann", Mailbox: "DMARC"},
			TLSRPT: &config.ReportFields{Localpart: "tlsreports", Account: "ann", Mailbox: "TLSRPT"}}},
		Accounts: map[string]config.AccountFields{"ann": acc},
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(context.Background(), store.Options{Dir: dir, Log: mlog.Discard(), InitialMailboxes: store.DefaultInitialMailboxes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	x := &world{t: t, store: st, conf: snap, now: time.Now().Truncate(time.Second), junk: &fixedJunk{none: true}}
	opts := Options{
		Store: st, Config: config.NewHolder(snap), Junk: x.junk, Reports: NewReportReader(),
		Now: func() time.Time { return x.now }, Random: func() float64 { return 0.5 },
	}
	if w.options != nil {
		w.options(&opts)
	}
	x.d = New(opts)
	return x
}

const plainText = "From: Joe <joe@sender.example>\r\nTo: <ann@example.org>\r\nSubject: hi\r\nMessage-Id: <a@b>\r\n\r\nhello\r\n"

// facts returns those of a message that nothing speaks against, of a sender whose
// reverse-path SPF has passed.
func (w *world) facts(text string) Facts {
	w.t.Helper()
	d, err := message.NewDigest(strings.NewReader(text), int64(len(text)), message.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	f := Facts{
		RemoteIP: netip.MustParseAddr("192.0.2.2"),
		EHLO:     dns.IPDomain{Domain: parseDomain(w.t, "mail.sender.example")},
		TLS:      &tls.ConnectionState{Version: tls.VersionTLS13},
		MailFrom: parsePath(w.t, "<bounce@sender.example>"),
		Rcpt:     parsePath(w.t, "<ann@example.org>"),
		Digest:   d,
		Size:     int64(len(text)),
		Message:  strings.NewReader(text),
	}
	f.Recipient, err = w.conf.LookupAddress(f.Rcpt)
	if err != nil {
		w.t.Fatal(err)
	}
	sender := parseDomain(w.t, "sender.example")
	h := message.ParseHeader(d.Fields(), message.Limits{})
	f.Auth = &Auth{
		Arrival: Arrival{RemoteIP: f.RemoteIP, EHLO: f.EHLO, MailFrom: f.MailFrom},
		IPRev:   iprev.Result{Status: iprev.StatusPass},
		SPF:     spf.Result{Status: spf.StatusPass, Identity: spf.IdentityMailFrom, Domain: sender},
		DMARC:   dmarc.Result{Status: dmarc.StatusNone, From: sender},
	}
	f.Auth.From, f.Auth.FromErr = shownFrom(&h)
	return f
}

// unproven takes away what proves the sender.
func unproven(f *Facts) { f.Auth.SPF.Status = spf.StatusNeutral }

// policy makes the message one that fails the policy of its domain.
func policy(p dmarc.Policy) func(*Facts) {
	return func(f *Facts) {
		unproven(f)
		f.Auth.DMARC = dmarc.Result{Status: dmarc.StatusFail, From: f.Auth.From[0], Policy: p, Applied: p}
	}
}

// deliver stores a message as the user has judged it.
func (w *world) deliver(f Facts, isJunk bool, ago time.Duration) {
	w.t.Helper()
	v := w.d.verdict(func() Facts { f.Share(); return f }())
	chooseMailbox(context.Background(), v)
	w.store1(f, v.Mailbox, v.Origin, isJunk, ago)
}

func (w *world) store1(f Facts, mailbox string, o *store.Origin, isJunk bool, ago time.Duration) {
	w.t.Helper()
	ctx := context.Background()
	acc, err := w.store.Ensure(ctx, "ann")
	if err != nil {
		w.t.Fatal(err)
	}
	defer acc.Release()
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: w.t.TempDir()})
	defer func() { _ = spool.Close() }()
	if _, err := spool.Write(make([]byte, 10)); err != nil {
		w.t.Fatal(err)
	}
	flags := imap.FlagNotJunk
	if isJunk {
		flags = imap.FlagJunk
	}
	_, err = acc.Append(ctx, store.NewMessage{Mailbox: mailbox, Create: true, Spool: spool, Flags: flags, Received: w.now.Add(-ago), Origin: o})
	if err != nil {
		w.t.Fatal(err)
	}
}

// account returns the account, which is made if there is none.
func (w *world) account(fn func(acc *store.Account) error) {
	w.t.Helper()
	acc, err := w.store.Ensure(context.Background(), "ann")
	if err != nil {
		w.t.Fatal(err)
	}
	defer acc.Release()
	if err := fn(acc); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) rule(sender string, allow bool) {
	w.t.Helper()
	w.account(func(acc *store.Account) error { return acc.SetSenderRule(context.Background(), sender, allow) })
}

func (w *world) decide(f Facts) Verdict {
	w.t.Helper()
	return w.d.Decide(context.Background(), f)
}

// say is a verdict in short, such as "250 no-bad-signals Inbox".
func say(v Verdict) string {
	if v.Accept {
		s := "250 " + v.Reason + " " + v.Mailbox
		if v.Junk {
			s += " as junk"
		}
		return s
	}
	return fmt.Sprintf("%d %s %s", v.Err.Code, v.Err.Enhanced, v.Reason)
}
