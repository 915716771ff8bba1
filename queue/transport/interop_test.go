package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/testkit"
	"mox/internal/testkit/peers"
	"mox/smtpserver"
)

// header has the fields that servers add if they are missing.
const header = "From: <me@sender.example>\r\nDate: Sat, 21 Nov 2026 06:00:00 +0000\r\nMessage-Id: <1@sender.example>\r\n"

// utf8Message is one that takes SMTPUTF8.
const utf8Message = header + "Subject: é\r\n\r\né\r\n"

// largeMessage is one that goes with BDAT, with lines that need stuffing for DATA.
var largeMessage = header + "Subject: large\r\n\r\n" + strings.Repeat(".line\r\n..\r\n", 150_000)

// An inbox takes what our own server has received.
type inbox struct {
	mu       sync.Mutex
	messages []string
	facts    []inbound.Facts
}

func (*inbox) Decide(context.Context, inbound.Facts) inbound.Verdict {
	return inbound.Verdict{Accept: true, Reason: "test"}
}

func (b *inbox) Deliver(_ context.Context, d deliver.Delivery) (deliver.Result, error) {
	content, err := io.ReadAll(d.Spool.Reader())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, string(content))
	b.facts = append(b.facts, d.Facts)
	return deliver.Result{}, err
}

// ownServer starts our server for mail to ann@one.example, and returns its address.
func ownServer(t *testing.T, cert *tls.Config) (*inbox, netip.AddrPort) {
	dir := t.TempDir()
	snap, err := config.New(config.Static{
		DataDir:    dir,
		LogLevel:   "error",
		Hostname:   "mx.one.example",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}, config.Dynamic{
		Domains:  map[string]config.DomainFields{"one.example": {}},
		Accounts: map[string]config.AccountFields{"ann": {Domain: "one.example", Destinations: map[string]config.DestinationFields{"ann@one.example": {}, "åsa@one.example": {}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	box := &inbox{}
	srv := smtpserver.New(smtpserver.Options{Config: config.NewHolder(snap), Decide: box, Deliver: box, TempDir: dir})
	l, err := net.Listen("tcp", net.JoinHostPort(newIP(), strconv.Itoa(testPort())))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = srv.Serve(context.Background(), l, smtpserver.ListenerOptions{
			Name: "test", Kind: smtpserver.Delivery, TLSConfig: cert, MaxMessageSize: 10 << 20,
			Limits: config.Limits{ConnectionsPerMinute: -1, OpenConnections: -1, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		})
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = srv.Shutdown(ctx)
	})
	return box, netip.MustParseAddrPort(l.Addr().String())
}

func TestOwnServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	cert := w.cert("mx.one.example")
	box, addr := ownServer(t, cert)
	w.dns.Set(t, testkit.DNSOptions{Authentic: true, Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n%s", addr.Addr(), tlsa("mx.one.example", cert))})

	if r := w.want("250", w.delivery("ann@one.example")); r.TLS != "requiredstarttls+dane" || r.Success != "" {
		t.Errorf("result %+v", r)
	}
	d := w.delivery("ann@one.example")
	d.Messages[0].RequireTLS = ptr(true)
	d.Content = newContent(largeMessage)
	r := w.want("250", d)
	if tr := strings.Join(r.Transcript, "\n"); !strings.Contains(tr, "using connection") || strings.Contains(tr, "data: ") {
		t.Errorf("transcript:\n%s", tr)
	}
	d = w.delivery("åsa@one.example", "nobody@one.example")
	d.Base.SMTPUTF8, d.Base.EightBit = true, true
	d.Content = newContent(utf8Message)
	if got, l := w.deliver(d); got != "250, 550 5.1.1!" {
		t.Errorf("got %s, %v, %v", got, l[0].Err, l[1].Err)
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.messages) != 3 {
		t.Fatalf("%d messages", len(box.messages))
	}
	for i, want := range []string{testMessage, largeMessage, utf8Message} {
		if !strings.HasSuffix(box.messages[i], want) {
			t.Errorf("message %d has %d octets", i, len(box.messages[i]))
		}
	}
}

// waitMessages waits until n messages have come to a server, and returns them.
func waitMessages(t testing.TB, s *peers.Server, n int) []string {
	t.Helper()
	deadline := time.Now().Add(testkit.ProcessTimeout)
	for {
		l := s.Messages(t)
		if len(l) >= n {
			return l
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages came:\n%s", len(l), n, s.Log())
		}
		time.Sleep(50 * time.Millisecond) // Another process has them; there is no event.
	}
}

// hasMessages checks that each of the messages is there once.
func hasMessages(t testing.TB, got []string, want ...string) {
	t.Helper()
	for _, w := range want {
		n := 0
		for _, g := range got {
			if strings.HasSuffix(g, strings.ReplaceAll(w, "\r\n", "\n")) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("message of %d octets is there %d times", len(w), n)
		}
	}
}

// TestPostfix has real DNSSEC: zones that are signed, and unbound, which verifies.
func TestPostfix(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	cert := ca.Issue(t, testkit.ECDSA, "mx.signed.example")
	ip := newIP()
	postfix := peers.StartPostfix(t, peers.Options{
		Hostname: "postfix.example", Listen: net.JoinHostPort(ip, strconv.Itoa(testPort())), CA: ca, Cert: cert,
		Domains: []string{"one.signed.example", "wrong.signed.example", "forged.signed.example", "sts.plain.example", "open.plain.example"},
		Config: `smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{nobody@one.signed.example=REJECT}
smtputf8_enable = yes
message_size_limit = 20000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
`,
	})
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	auth := testkit.NewAuthority(t, testkit.SignedZone{Origin: "signed.example", Records: fmt.Sprintf(`
one.signed.example MX 10 mx.signed.example
wrong.signed.example MX 10 mxwrong.signed.example
forged.signed.example MX 10 mxforged.signed.example
mx.signed.example A %[1]s
mxwrong.signed.example A %[1]s
mxforged.signed.example A %[1]s
_%[2]d._tcp.mxwrong.signed.example TLSA 3 1 1 %064[3]d
%[4]s%[5]s`, ip, testPort(), 0, tlsa("mx.signed.example", config), tlsa("mxforged.signed.example", config)),
		Faults: map[string]testkit.SignatureFault{fmt.Sprintf("_%d._tcp.mxforged.signed.example", testPort()): testkit.SignatureForged},
	}, testkit.SignedZone{Origin: "plain.example", Unsigned: true, Records: fmt.Sprintf(`
sts.plain.example MX 10 mx.signed.example
open.plain.example MX 10 mx.plain.example
mx.plain.example A %s
`, ip)})
	unbound := testkit.StartUnbound(t, testkit.UnboundOptions{Authority: auth})
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{unbound.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, testkit.DNSOptions{}, func(o *DirectOptions) {
		o.Resolver = resolver
		o.TLS = &tls.Config{RootCAs: ca.Pool()}
	})
	w.policy.set("sts.plain.example", "enforce", "mx.signed.example")
	tests := []struct{ rcpts, want, label string }{
		{"ann@one.signed.example", "250", "requiredstarttls+dane"},
		{"bob@one.signed.example nobody@one.signed.example", "250, 554 5.7.1!", "requiredstarttls+dane"},
		{"ann@wrong.signed.example", "451 4.7.5", "requiredstarttls+dane"},
		{"ann@forged.signed.example", "error", ""},
		{"ann@sts.plain.example", "250", "requiredstarttls+mtasts"},
		{"ann@open.plain.example", "250", "opportunistic"},
		{"ann@absent.signed.example", "550 5.1.2!", ""},
	}
	var want []string
	for i, tc := range tests {
		d := w.delivery(strings.Fields(tc.rcpts)...)
		msg := fmt.Sprintf(header+"Subject: test %d\r\n\r\n.test\r\n", i)
		d.Content = newContent(msg)
		got, l := w.deliver(d)
		if got != tc.want || l[0].TLS != tc.label {
			t.Errorf("%s: got %s, tls %q, want %s, %q: %v", tc.rcpts, got, l[0].TLS, tc.want, tc.label, l[0].Err)
		}
		if strings.HasPrefix(tc.want, "250") {
			want = append(want, msg)
		}
	}
	// Over the connection that there is.
	d := w.delivery("ann@one.signed.example")
	d.Content = newContent(largeMessage)
	if r := w.want("250", d); !strings.HasPrefix(r.Transcript[0], "using connection") {
		t.Errorf("transcript %q", r.Transcript)
	}
	d = w.delivery("åsa@one.signed.example")
	d.Base.SMTPUTF8, d.Base.EightBit = true, true
	d.Content = newContent(utf8Message)
	w.want("250", d)
	want = append(want, largeMessage, utf8Message)
	hasMessages(t, waitMessages(t, postfix, len(want)), want...)
}

func TestExim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	cert := w.cert("mx.one.example")
	ip := newIP()
	exim := peers.NewExim(t, peers.Options{
		Hostname: "exim.example", Listen: net.JoinHostPort(ip, strconv.Itoa(testPort())), CA: w.ca, Cert: cert.Certificates[0],
		Domains: []string{"one.example"},
		Config: `chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny local_parts = nobody
       message = nobody here
  accept
`,
	}).Serve(t)
	w.dns.Set(t, testkit.DNSOptions{Authentic: true, Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n%s", ip, tlsa("mx.one.example", cert))})
	d := w.delivery("ann@one.example", "nobody@one.example")
	if got, l := w.deliver(d); got != "250, 550 !" || l[0].TLS != "requiredstarttls+dane" || l[1].Text != "nobody here" {
		t.Fatalf("got %s, tls %q, %q:\n%s", got, l[0].TLS, l[1].Text, exim.Log())
	}
	d = w.delivery("ann@one.example")
	d.Content = newContent(largeMessage)
	if r := w.want("250", d); strings.Contains(strings.Join(r.Transcript, "\n"), "data: ") {
		t.Errorf("transcript %q", r.Transcript)
	}
	d = w.delivery("åsa@one.example")
	d.Base.SMTPUTF8, d.Base.EightBit = true, true
	d.Content = newContent(utf8Message)
	w.want("250", d)
	hasMessages(t, waitMessages(t, exim, 3), testMessage, largeMessage, utf8Message)
}
