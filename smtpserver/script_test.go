package smtpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/script"
	"mox/smtp"
)

// TestScripts runs the conversations of testdata, see testdata/README.md.
func TestScripts(t *testing.T) {
	t.Parallel()
	script.RunDir(t, "testdata/*.txtar", func(t *testing.T, s *script.Script) script.Options {
		ts := newTestServer(t, scriptSetup(t, s))
		for _, line := range s.All("fail") {
			ts.fake.failFor(t, line)
		}
		return script.Options{
			Dial: ts.dial,
			Directives: map[string]script.Directive{
				"starttls":  ts.startTLS,
				"delivered": ts.wantDelivered,
				"binary":    ts.wantBinary,
				"submitted": ts.wantSubmitted,
				"notified":  ts.wantNotified,
				"reported":  ts.wantReported,
				"facts":     ts.wantFacts,
				"fail":      func(_ *script.Run, args []string) error { ts.fake.failFor(t, strings.Join(args, " ")); return nil },
				"succeed":   func(_ *script.Run, args []string) error { ts.fake.succeed(args[0]); return nil },
			},
		}
	})
}

// scriptSetup makes a server as the settings of a script say.
func scriptSetup(t *testing.T, s *script.Script) testSetup {
	is := func(key string) bool { v, ok := s.Get(key); return ok && v == "yes" }
	setup := testSetup{limited: is("limited")}
	setup.static = func(c *config.Static) { c.Pedantic = is("pedantic") }
	setup.options = func(o *Options) {
		o.Localserve = is("localserve")
		if is("notify") {
			o.Notify = o.Deliver.(*engines)
		}
		if is("bounce") {
			o.Bounce = o.Deliver.(*engines)
		}
		if zone, ok := s.Get("zone"); ok {
			o.Resolver = parseZone(t, zone)
		}
	}
	setup.listener = func(l *ListenerOptions) {
		if v, ok := s.Get("maxsize"); ok {
			l.MaxMessageSize, _ = strconv.ParseInt(v, 10, 64)
		}
		l.NoSTARTTLS = is("nostarttls")
		l.NoRequireTLS = is("norequiretls")
		if is("proxy") {
			l.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		if is("notls") {
			l.TLSConfig = nil
		}
		if l.Kind == Delivery {
			l.RequireTLS = is("requiretls")
		} else if is("plainlogin") {
			l.RequireTLS = false
		}
	}
	return setup
}

// dial opens a connection: smtp* for delivery, sub* for submission, subs* for
// submission with immediate TLS.
func (ts *testServer) dial(ctx context.Context, name string) (net.Conn, error) {
	var d net.Dialer
	switch {
	case strings.HasPrefix(name, "subs"):
		nc, err := d.DialContext(ctx, "tcp", ts.submissions)
		if err != nil {
			return nil, err
		}
		return tls.Client(nc, ts.ca.ClientConfig("mx.example.org")), nil
	case strings.HasPrefix(name, "sub"):
		return d.DialContext(ctx, "tcp", ts.submission)
	case strings.HasPrefix(name, "lmtp"):
		return d.DialContext(ctx, "tcp", ts.lmtp)
	case strings.HasPrefix(name, "smtp"):
		return d.DialContext(ctx, "tcp", ts.delivery)
	}
	return nil, fmt.Errorf("unknown kind of connection %q", name)
}

// startTLS does a TLS handshake on a connection.
func (ts *testServer) startTLS(r *script.Run, args []string) error {
	return r.Upgrade(args[0], func(c net.Conn) (net.Conn, error) {
		tc := tls.Client(c, ts.ca.ClientConfig("mx.example.org"))
		return tc, tc.HandshakeContext(r.Context())
	})
}

// wantDelivered checks the messages that were delivered: "@delivered rcpt=file ..."
// in any order, nothing for none.
func (ts *testServer) wantDelivered(r *script.Run, args []string) error {
	var got []string
	for _, m := range ts.fake.messages() {
		got = append(got, m.rcpt+"="+m.content)
	}
	return wantMessages(r, got, args)
}

// wantBinary checks that one message was delivered, with content that a file of a
// script cannot have: "@binary rcpt "quoted content"".
func (ts *testServer) wantBinary(_ *script.Run, args []string) error {
	got := ts.fake.messages()
	if len(args) != 2 || len(got) != 1 || got[0].rcpt != args[0] || got[0].content != args[1] {
		return fmt.Errorf("got messages %q, expected %q", got, args)
	}
	return nil
}

// wantSubmitted checks the messages that were submitted: "@submitted
// account,from,rcpt,...=file ...".
func (ts *testServer) wantSubmitted(r *script.Run, args []string) error {
	var got []string
	for _, m := range ts.fake.submissions() {
		got = append(got, strings.Join(append([]string{m.account, m.from}, m.rcpts...), ",")+"="+m.content)
	}
	return wantMessages(r, got, args)
}

func wantMessages(r *script.Run, got, args []string) error {
	var want []string
	for _, a := range args {
		who, file, _ := strings.Cut(a, "=")
		content, ok := r.Script().File(file)
		if !ok {
			return fmt.Errorf("no file %q", file)
		}
		want = append(want, who+"="+string(content))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		return fmt.Errorf("got messages %q, expected %q", got, want)
	}
	return nil
}

// wantNotified checks who was reported as failed: "@notified rcpt=code ...".
func (ts *testServer) wantNotified(_ *script.Run, args []string) error {
	ts.fake.mu.Lock()
	defer ts.fake.mu.Unlock()
	var got []string
	for _, f := range ts.fake.notified {
		for _, r := range f.Recipients {
			got = append(got, fmt.Sprintf("%s=%d", r.ForwardPath.XString(true), r.Err.Code))
		}
	}
	if !slices.Equal(got, args) {
		return fmt.Errorf("notified about %q", got)
	}
	return nil
}

// dsnText returns what a client has asked for about a recipient.
func dsnText(mail smtp.MailCommand, c smtp.RcptCommand) string {
	var l []string
	for _, s := range []string{string(mail.Ret), mail.EnvID, c.Notify.String(), c.OriginalRecipient.AddrType, c.OriginalRecipient.Address} {
		l = append(l, strings.ReplaceAll(s, " ", "_"))
	}
	return c.ForwardPath.XString(true) + "=" + strings.Join(l, "|")
}

// wantReported checks who was told of deliveries: "@reported to rcpt=ret|envid|notify|type|original
// ...", with underscores for spaces, nothing for none.
func (ts *testServer) wantReported(_ *script.Run, args []string) error {
	ts.fake.mu.Lock()
	defer ts.fake.mu.Unlock()
	var got []string
	for _, d := range ts.fake.reported {
		got = append(got, d.Mail.ReversePath.XString(true))
		for _, r := range d.Recipients {
			text := dsnText(d.Mail, r.RcptCommand)
			if r.Expanded {
				text += "|expanded"
			}
			got = append(got, text)
		}
	}
	if !slices.Equal(got, args) {
		return fmt.Errorf("reported %q", got)
	}
	return nil
}

// wantFacts checks what was asked for with each delivery, or submission: "@facts
// rcpt=..." as for reported, in any order, with "requiretls" after it.
func (ts *testServer) wantFacts(_ *script.Run, args []string) error {
	ts.fake.mu.Lock()
	defer ts.fake.mu.Unlock()
	var got []string
	add := func(mail smtp.MailCommand, c smtp.RcptCommand) {
		text := dsnText(mail, c)
		if mail.RequireTLS {
			text += "|requiretls"
		}
		got = append(got, text)
	}
	for _, f := range ts.fake.facts {
		add(smtp.MailCommand{Ret: f.Ret, EnvID: f.EnvID, RequireTLS: f.RequireTLS}, smtp.RcptCommand{ForwardPath: f.Rcpt, Notify: f.Notify, OriginalRecipient: f.Original})
	}
	for _, m := range ts.fake.submitted {
		for _, c := range m.dsn {
			add(m.mail, c)
		}
	}
	slices.Sort(got)
	slices.Sort(args)
	if !slices.Equal(got, args) {
		return fmt.Errorf("facts %q", got)
	}
	return nil
}

// failFor makes an address fail: "address code enhanced text", or "reject address
// code ..." for a message that is not wanted.
func (e *engines) failFor(t *testing.T, line string) {
	t.Helper()
	who, rest, _ := strings.Cut(line, " ")
	if who == "reject" {
		var addr string
		addr, rest, _ = strings.Cut(rest, " ")
		who = "reject " + addr
	}
	words := strings.SplitN(rest, " ", 3)
	code, err := strconv.Atoi(words[0])
	if err != nil || len(words) != 3 {
		t.Fatalf("malformed failure %q", line)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail[who] = &smtp.Error{Code: code, Enhanced: words[1], Text: words[2]}
}

func (e *engines) succeed(addr string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.fail, addr)
}
