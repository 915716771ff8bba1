package smtpserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/sconf"

	"mox/config"
	"mox/dns"
	"mox/imap"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/script"
	"mox/internal/testkit"
	"mox/junk"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// TestInboundScripts runs what is in testdata/inbound, see README.md there.
func TestInboundScripts(t *testing.T) {
	t.Parallel()
	script.RunDir(t, "testdata/inbound/*.txtar", func(t *testing.T, s *script.Script) script.Options {
		j := newJudging(t, s)
		return script.Options{Directives: map[string]script.Directive{
			"receive": j.receive,
			"stored":  j.wantStored,
			"judge":   j.judge,
			"move":    j.move,
			"sent":    func(_ *script.Run, args []string) error { return j.sent(args[0]) },
			"allow":   func(r *script.Run, args []string) error { return j.rule(r, args[0], true) },
			"block":   func(r *script.Run, args []string) error { return j.rule(r, args[0], false) },
		}}
	})
}

// judging is a server with the engines that decide about and store messages, a DNS
// server, and an account, ann.
type judging struct {
	*testServer
	store *store.Store
	token string // In the last reply.
}

// fixedFilter is a junk filter that finds all messages as likely to be junk.
type fixedFilter float64

func (f fixedFilter) Classify(context.Context, string, *junk.Tokens) (junk.Verdict, bool, error) {
	return junk.Verdict{Probability: float64(f), Significant: true}, f > 0, nil
}

func newJudging(t *testing.T, s *script.Script) *judging {
	t.Helper()
	dir := t.TempDir()
	holder := config.NewHolder(judgingConfig(t, s, dir))
	st, err := store.Open(t.Context(), store.Options{Dir: dir, Log: mlog.Discard(), InitialMailboxes: store.DefaultInitialMailboxes, Policy: deliver.Policy(holder)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	zone, _ := s.Get("zone")
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	var filter fixedFilter
	if v, ok := s.Get("junk"); ok {
		p, err := strconv.ParseFloat(v, 64)
		if err != nil {
			t.Fatal(err)
		}
		filter = fixedFilter(p)
	}
	ts := newTestServer(t, testSetup{
		options: func(o *Options) {
			o.Config = holder
			o.Origins = inbound.NewAuthenticator(inbound.AuthenticatorOptions{Resolver: r})
			o.Decide = inbound.New(inbound.Options{Store: st, Config: holder, Resolver: r, Junk: filter, Reports: inbound.NewReportReader(), Random: func() float64 { return 0.5 }})
			d := deliver.New(deliver.Options{Store: st, Config: holder})
			o.Deliver, o.Rejects = d, d
		},
		listener: func(l *ListenerOptions) {
			l.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			l.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} // No slow mode.
			for _, z := range s.All("dnsbl") {
				l.DNSBLs = append(l.DNSBLs, dns.Domain{ASCII: z})
			}
		},
	})
	return &judging{testServer: ts, store: st}
}

// judgingConfig returns a configuration with an account as a script wants it.
func judgingConfig(t *testing.T, s *script.Script, dir string) *config.Snapshot {
	t.Helper()
	acc := config.AccountFields{
		Domain:             "example.org",
		Destinations:       map[string]config.DestinationFields{"ann@example.org": {}},
		RejectsMailbox:     "Rejects",
		AutomaticJunkFlags: config.NewAutomaticJunkFlags(),
	}
	if text, ok := s.File("account"); ok {
		acc = config.AccountFields{AutomaticJunkFlags: acc.AutomaticJunkFlags}
		if err := sconf.Parse(bytes.NewReader(bytes.ReplaceAll(text, []byte("\r"), nil)), &acc); err != nil {
			t.Fatal(err)
		}
	}
	snap, err := config.New(testStatic(dir), config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {
			LocalpartCatchallSeparator: "+",
			DMARC:                      &config.ReportFields{Localpart: "dmarc-reports", Account: "ann", Mailbox: "DMARC"},
			TLSRPT:                     &config.ReportFields{Localpart: "tls-reports", Account: "ann", Mailbox: "TLSRPT"},
		}},
		Accounts: map[string]config.AccountFields{"ann": acc, "mox": {Domain: "example.org"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// receive has the server receive a message: "@receive reply key=value ...".
func (j *judging) receive(r *script.Run, args []string) error {
	m := map[string]string{
		"ip": "192.0.2.1", "ehlo": "mail.sender.example", "mailfrom": "bounce@sender.example", "from": "joe@sender.example",
		"to": "ann@example.org", "rcpt": "ann@example.org", "subject": "hi", "tls": "yes", "times": "1",
	}
	for _, a := range args[1:] {
		k, v, _ := strings.Cut(a, "=")
		m[k] = v
	}
	if m["subject"] == "token" {
		m["subject"] = "hi (pass:" + j.token + ")"
	}
	content := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n", m["from"], m["to"], m["subject"])
	if m["header"] != "" {
		content += m["header"] + "\r\n"
	}
	content += "\r\nhello\r\n"
	if name := m["file"]; name != "" {
		b, ok := r.Script().File(name)
		if !ok {
			return fmt.Errorf("no file %q", name)
		}
		content = string(b)
	}
	times, err := strconv.Atoi(m["times"])
	if err != nil {
		return err
	}
	for range times {
		if err := j.send(m, content, args[0]); err != nil {
			return err
		}
	}
	return nil
}

func (j *judging) send(m map[string]string, content, want string) error {
	nc, err := net.Dial("tcp", j.delivery)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	c := newClient(j.t, nc)
	c.write("PROXY TCP4 %s 198.51.100.1 1234 25\r\n", m["ip"])
	c.want("220 ")
	if m["tls"] == "yes" {
		c.cmd("EHLO "+m["ehlo"], "250")
		c.cmd("STARTTLS", "220 ")
		c.startTLS()
	}
	c.cmd("EHLO "+m["ehlo"], "250")
	c.cmd("MAIL FROM:<"+m["mailfrom"]+">", "250 ")
	c.cmd("RCPT TO:<"+m["rcpt"]+">", "250 ")
	c.cmd("DATA", "354 ")
	c.write("%s.\r\n", content)
	reply := c.reply()
	if !strings.HasPrefix(reply, want) {
		return fmt.Errorf("reply %q, expected %s", reply, want)
	}
	_, token, _ := strings.Cut(reply, "(pass:")
	j.token, _, _ = strings.Cut(token, ")")
	return nil
}

// messages returns the messages in a mailbox, none if there is no such mailbox.
func (j *judging) messages(mailbox string, fn func(acc *store.Account, mb store.Mailbox, ix *store.Index) error) error {
	ctx := context.Background()
	acc, err := j.store.Ensure(ctx, "ann")
	if err != nil {
		return err
	}
	defer acc.Release()
	mb, ok := acc.Tree().ByName(mailbox)
	if !ok {
		return nil
	}
	ix, err := acc.Index(ctx, mb.ID)
	if err != nil {
		return err
	}
	return fn(acc, mb, ix)
}

// wantStored checks why messages are in a mailbox, oldest first: "@stored mailbox reason
// ...", with "/flags" after a reason that must have them.
func (j *judging) wantStored(_ *script.Run, args []string) error {
	var got []string
	err := j.messages(args[0], func(acc *store.Account, mb store.Mailbox, ix *store.Index) error {
		for i := range ix.Len() {
			c, err := acc.OpenContent(context.Background(), ix.At(i).ContentID)
			if err != nil {
				return err
			}
			h, err := message.ReadHeader(c, c.Size(), message.Limits{})
			if err != nil {
				return err
			}
			reason, _, _ := strings.Cut(h.Value("X-Mox-Reason"), " ")
			for _, f := range []struct {
				flag store.Flags
				name string
			}{{imap.FlagSeen, "seen"}, {imap.FlagJunk, "junk"}, {imap.FlagNotJunk, "notjunk"}} {
				if ix.Flags(i)&f.flag != 0 {
					reason += "/" + f.name
				}
			}
			_, dmarcError := h.Get(inbound.DMARCReportErrorField)
			_, tlsError := h.Get(inbound.TLSReportErrorField)
			if dmarcError || tlsError {
				reason += "/error"
			}
			got = append(got, strings.TrimSpace(reason))
			if err := c.Close(); err != nil {
				return err
			}
		}
		problems, err := acc.Verify(context.Background())
		if len(problems) > 0 {
			return fmt.Errorf("verify: %v", problems)
		}
		return err
	})
	if err == nil && !slices.Equal(got, args[1:]) {
		err = fmt.Errorf("%s has %q, expected %q", args[0], got, args[1:])
	}
	return err
}

// all calls fn with the UIDs of all messages in a mailbox.
func (j *judging) all(mailbox string, fn func(tx *store.Tx, acc *store.Account, mb store.Mailbox, uids []uint32) error) error {
	return j.messages(mailbox, func(acc *store.Account, mb store.Mailbox, ix *store.Index) error {
		var uids []uint32
		for i := range ix.Len() {
			uids = append(uids, ix.At(i).UID)
		}
		return acc.Update(context.Background(), func(tx *store.Tx) error { return fn(tx, acc, mb, uids) })
	})
}

// judge has the user say what all messages in a mailbox are: "@judge mailbox junk", or
// notjunk.
func (j *judging) judge(_ *script.Run, args []string) error {
	flag := map[string]store.Flags{"junk": imap.FlagJunk, "notjunk": imap.FlagNotJunk}[args[1]]
	return j.all(args[0], func(tx *store.Tx, _ *store.Account, mb store.Mailbox, uids []uint32) error {
		_, err := tx.SetFlags(mb.ID, uids, store.FlagChange{FlagSet: imap.FlagSet{Flags: flag}}, -1)
		return err
	})
}

// move has the user move all messages of a mailbox to another: "@move from to".
func (j *judging) move(_ *script.Run, args []string) error {
	return j.all(args[0], func(tx *store.Tx, acc *store.Account, mb store.Mailbox, uids []uint32) error {
		to, ok := acc.Tree().ByName(args[1])
		if !ok {
			return fmt.Errorf("no mailbox %s", args[1])
		}
		_, err := tx.Move(mb.ID, uids, to.ID)
		return err
	})
}

// sent has the account send to an address.
func (j *judging) sent(address string) error {
	a, err := smtp.ParseAddress(address, smtp.Strict)
	if err != nil {
		return err
	}
	acc, err := j.store.Ensure(context.Background(), "ann")
	if err != nil {
		return err
	}
	defer acc.Release()
	return acc.Update(context.Background(), func(tx *store.Tx) error { return tx.AddContacts([]smtp.Address{a}, time.Now(), true) })
}

// rule has the user allow or block a sender.
func (j *judging) rule(_ *script.Run, sender string, allow bool) error {
	acc, err := j.store.Ensure(context.Background(), "ann")
	if err != nil {
		return err
	}
	defer acc.Release()
	return acc.SetSenderRule(context.Background(), sender, allow)
}
