package transport

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/dns"
	"mox/dsn"
	"mox/internal/testkit"
	"mox/queue"
	"mox/sasl"
	"mox/smtp"
	"mox/smtpclient"
)

// newRelay makes a relay that is a server, in a world.
func newRelay(t testing.TB, setup serverSetup, edit func(w *world, o *RelayOptions)) (*world, *server, *Relay) {
	w := newWorld(t, testkit.DNSOptions{}, nil)
	if setup.tls == nil && !strings.Contains(setup.user, "notls") {
		setup.tls = w.cert("relay.example")
	}
	setup.user = strings.TrimPrefix(setup.user, "notls")
	s := serve(t, setup)
	w.dns.Set(t, testkit.DNSOptions{Zone: "relay.example A " + s.ip.String()})
	o := RelayOptions{
		Network: network(t, w.dns, w.pool),
		Host:    dns.IPDomain{Domain: domain(t, "relay.example")},
		Port:    s.port,
	}
	o.TLS = &tls.Config{RootCAs: w.ca.Pool()}
	if edit != nil {
		edit(w, &o)
	}
	return w, s, NewRelay(o)
}

func TestRelay(t *testing.T) {
	t.Parallel()
	const user = "user\x00pencil"
	auth := []string{"AUTH PLAIN LOGIN"}
	plain := func(_ *world, o *RelayOptions) {
		o.Username, o.Password, o.Mechanisms = "user", "pencil", []string{"PLAIN"}
	}
	other := testkit.NewCA(t)
	tests := []struct {
		name  string
		setup serverSetup
		edit  func(w *world, o *RelayOptions)
		msg   func(d *queue.Delivery)
		want  string
		label string
		tls   bool
	}{
		{"starttls", serverSetup{}, nil, nil, "250", "requiredstarttls", true},
		{"immediate", serverSetup{immediate: true}, func(_ *world, o *RelayOptions) { o.Mode = smtpclient.TLSImmediate }, nil, "250", "immediate", true},
		{"no tls, as configured", serverSetup{}, func(_ *world, o *RelayOptions) { o.Mode = smtpclient.TLSSkip }, nil, "250", "skip", false},
		{"no tls, not as configured", serverSetup{user: "notls"}, nil, nil, "451 4.7.4", "requiredstarttls", false},
		{"untrusted", serverSetup{tls: other.ServerConfig(t, "relay.example")}, nil, nil, "451 4.7.5", "requiredstarttls", false},
		{"wrong name", serverSetup{tls: other.ServerConfig(t, "other.example")}, func(_ *world, o *RelayOptions) { o.TLS.RootCAs = other.Pool() }, nil, "451 4.7.5", "requiredstarttls", false},
		{"untrusted, as configured", serverSetup{tls: other.ServerConfig(t, "relay.example")}, func(_ *world, o *RelayOptions) { o.InsecureSkipVerify = true }, nil, "250", "requiredstarttls", true},
		{"untrusted, TLS-Required: No", serverSetup{tls: other.ServerConfig(t, "relay.example")}, nil, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(false) }, "451 4.7.5", "requiredstarttls", false},
		{"password", serverSetup{ext: auth, user: user}, plain, nil, "250", "requiredstarttls", true},
		{"wrong password", serverSetup{ext: auth, user: "user\x00crayon"}, plain, nil, "454 4.7.8", "requiredstarttls", false},
		{"PLAIN only if configured", serverSetup{ext: auth, user: user}, func(_ *world, o *RelayOptions) { o.Username, o.Password = "user", "pencil" }, nil, "554 5.7.4!", "requiredstarttls", false},
		{"no authentication offered", serverSetup{}, plain, nil, "554 5.7.4!", "requiredstarttls", false},
		{"PLAIN not without tls", serverSetup{ext: auth, user: user}, func(w *world, o *RelayOptions) {
			plain(w, o)
			o.Mode = smtpclient.TLSSkip
		}, nil, "554 5.7.4!", "skip", false},
		{"REQUIRETLS", serverSetup{ext: []string{"REQUIRETLS"}}, nil, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(true) }, "250", "requiredstarttls", true},
		{"REQUIRETLS not offered", serverSetup{}, nil, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(true) }, "554 5.7.30!", "requiredstarttls", false},
		{"REQUIRETLS, not verified", serverSetup{ext: []string{"REQUIRETLS"}}, func(_ *world, o *RelayOptions) { o.InsecureSkipVerify = true }, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(true) }, "554 5.7.30!", "", false},
		{"REQUIRETLS, no tls", serverSetup{ext: []string{"REQUIRETLS"}}, func(_ *world, o *RelayOptions) { o.Mode = smtpclient.TLSSkip }, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(true) }, "554 5.7.30!", "", false},
		{"refused", serverSetup{hook: on("RCPT", "550 5.7.1 no relaying")}, nil, nil, "550 5.7.1!", "requiredstarttls", false},
		{"busy", serverSetup{hook: on("", "421 4.3.2 busy")}, nil, nil, "421 4.3.2", "requiredstarttls", false},
		{"does not exist", serverSetup{}, func(w *world, o *RelayOptions) { o.Host.Domain = domain(w.t, "absent.example") }, nil, "error", "", false},
		{"ip address", serverSetup{}, func(w *world, o *RelayOptions) {
			ips, _, err := o.Resolver.LookupIP(context.Background(), "ip", "relay.example")
			if err != nil {
				w.t.Fatal(err)
			}
			o.Host, o.InsecureSkipVerify = dns.IPDomain{IP: ips[0]}, true
		}, nil, "250", "requiredstarttls", true},
		{"ip address of a family that is not used", serverSetup{}, func(_ *world, o *RelayOptions) {
			o.Host, o.DisableIPv4 = dns.IPDomain{IP: net.IPv4(127, 0, 0, 1)}, true
		}, nil, "error", "", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, s, relay := newRelay(t, tc.setup, tc.edit)
			d := w.delivery("a@one.example")
			if tc.msg != nil {
				tc.msg(&d)
			}
			got, l := deliverBy(t, relay, d)
			if got != tc.want || l[0].TLS != tc.label {
				t.Fatalf("got %s, tls %q, want %s, %q", got, l[0].TLS, tc.want, tc.label)
			}
			if tc.want != "250" {
				if len(s.got()) > 0 {
					t.Error("message was taken")
				}
				return
			}
			if session := l[0].Session; tc.tls && session != "TLS 1.3 TLS_AES_128_GCM_SHA256" || !tc.tls && session != "none" {
				t.Errorf("session is %q", session)
			}
			if m := s.got()[0]; m.tls != tc.tls || l[0].Success != dsn.Relayed {
				t.Errorf("%+v, %+v", m, l[0])
			}
			if s.countCommands("AUTH ") > 0 != (tc.name == "password") {
				t.Error("authentication where there should be none, or the reverse")
			}
		})
	}
}

func TestRelayDANE(t *testing.T) {
	t.Parallel()
	w, s, relay := newRelay(t, serverSetup{tls: testkit.NewCA(t).ServerConfig(t, "unknown.example")}, nil)
	zone := testkit.DNSOptions{Authentic: true, Zone: "relay.example A " + s.ip.String() + "\n" + tlsa("relay.example", s.setup.tls)}
	w.dns.Set(t, zone)
	got, l := deliverBy(t, relay, w.delivery("a@one.example"))
	if got != "250" || l[0].TLS != "requiredstarttls+dane" {
		t.Errorf("got %s, tls %q", got, l[0].TLS)
	}
	zone.Zone = fmt.Sprintf("relay.example A %s\n_%d._tcp.relay.example TLSA 3 1 1 %064d\n", s.ip, testPort(), 0)
	w.dns.Set(t, zone)
	if got, _ := deliverBy(t, relay, w.delivery("a@one.example")); got != "451 4.7.5" {
		t.Errorf("got %s", got)
	}
	zone.Faults = map[string]testkit.DNSFault{fmt.Sprintf("TLSA _%d._tcp.relay.example", testPort()): testkit.DNSServFail}
	w.dns.Set(t, zone)
	if got, _ := deliverBy(t, relay, w.delivery("a@one.example")); got != "error" {
		t.Errorf("got %s", got)
	}
}

func TestPortOfRelay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		o    RelayOptions
		want int
	}{
		{RelayOptions{}, 25},
		{RelayOptions{Username: "u"}, 587},
		{RelayOptions{Mode: smtpclient.TLSImmediate}, 465},
		{RelayOptions{Port: 2525}, 2525},
	} {
		if got := NewRelay(tc.o).opts.Port; got != tc.want {
			t.Errorf("%+v: got %d, want %d", tc.o, got, tc.want)
		}
	}
}

// TestRelayUsesTheStrongestMechanism has a server that does SCRAM-SHA-256-PLUS.
func TestRelayUsesTheStrongestMechanism(t *testing.T) {
	t.Parallel()
	keys, err := sasl.NewSCRAMKeys(sasl.SHA256, "pencil", sasl.SCRAMMinIterations)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ca := testkit.NewCA(t)
	var line string
	var wg sync.WaitGroup
	wg.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		tc := tls.Server(nc, ca.ServerConfig(t, "relay.example"))
		defer tc.Close()
		if err := tc.Handshake(); err != nil {
			return
		}
		cs := tc.ConnectionState()
		br := bufio.NewReader(tc)
		read := func() []byte {
			s, _ := br.ReadString('\n')
			s = strings.TrimSpace(s)
			b, _ := base64.StdEncoding.DecodeString(s[strings.LastIndex(s, " ")+1:])
			line += s + "\n"
			return b
		}
		io.WriteString(tc, "220 relay.example\r\n")
		read()
		io.WriteString(tc, "250-relay.example\r\n250 AUTH PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS CRAM-MD5\r\n")
		scram := sasl.NewSCRAMServer(sasl.SHA256, sasl.SCRAMServerOptions{Plus: true, PlusOffered: true, Bindings: sasl.TLSChannelBindings(&cs)})
		if _, err := scram.ClientFirst(read()); err != nil {
			return
		}
		first, err := scram.ServerFirst(keys)
		if err != nil {
			return
		}
		io.WriteString(tc, "334 "+base64.StdEncoding.EncodeToString(first)+"\r\n")
		final, err := scram.ClientFinal(read())
		if err != nil {
			return
		}
		io.WriteString(tc, "334 "+base64.StdEncoding.EncodeToString(final)+"\r\n")
		read()
		io.WriteString(tc, "235 2.7.0 ok\r\n")
		for _, reply := range []string{"250 ok", "250 ok", "354 go"} {
			read()
			io.WriteString(tc, reply+"\r\n")
		}
		if _, err := io.Copy(io.Discard, smtp.NewDataReader(br, 1<<20)); err != nil {
			return
		}
		io.WriteString(tc, "250 2.0.0 taken\r\n")
		read()
	})
	server := testkit.NewDNS(t, testkit.DNSOptions{Zone: "relay.example A 127.0.0.1\n"})
	o := RelayOptions{
		Network: network(t, server, newPool(t, PoolOptions{Idle: time.Millisecond})),
		Host:    dns.IPDomain{Domain: domain(t, "relay.example")},
		Port:    l.Addr().(*net.TCPAddr).Port,
		Mode:    smtpclient.TLSImmediate, Username: "user", Password: "pencil",
	}
	o.TLS = &tls.Config{RootCAs: ca.Pool()}
	w := &world{t: t}
	got, r := deliverBy(t, NewRelay(o), w.delivery("a@one.example"))
	if got != "250" {
		t.Errorf("got %s: %v", got, r[0].Err)
	}
	wg.Wait()
	if tr := strings.Join(r[0].Transcript, "\n"); !strings.Contains(tr, "auth: 334\nauth: 334\nauth: 235 ") {
		t.Errorf("transcript:\n%s", tr)
	}
	if !strings.Contains(line, "AUTH SCRAM-SHA-256-PLUS ") {
		t.Errorf("server got:\n%s", line)
	}
}

func TestFail(t *testing.T) {
	t.Parallel()
	w := &world{t: t}
	for _, tc := range []struct {
		o    FailOptions
		want string
	}{
		{FailOptions{}, "554 5.7.0!, 554 5.7.0!"},
		{FailOptions{Code: 451, Message: "not now"}, "451 4.7.0, 451 4.7.0"},
		{FailOptions{Name: "blocked", Code: 550}, "550 5.7.0!, 550 5.7.0!"},
	} {
		tr := NewFail(tc.o)
		if got, l := deliverBy(t, tr, w.delivery("a@one.example", "b@one.example")); got != tc.want || tc.o.Message != "" && smtp.AsError(l[0].Err).Text != tc.o.Message {
			t.Errorf("got %s, %v", got, l[0].Err)
		}
		if want := cmp.Or(tc.o.Name, "fail"); tr.Name() != want {
			t.Errorf("name %q", tr.Name())
		}
	}
}

// socksServer is a SOCKS5 proxy, RFC 1928 and RFC 1929, on loopback.
func socksServer(t *testing.T, user, password string) (addr string, dialed func() []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var targets []string
	var wg sync.WaitGroup
	serve := func(nc net.Conn) error {
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		read := func(n int) []byte {
			b := make([]byte, n)
			if _, err := io.ReadFull(nc, b); err != nil {
				return make([]byte, n)
			}
			return b
		}
		methods := read(int(read(2)[1]))
		want := byte(0)
		if user != "" {
			want = 2
		}
		if !strings.Contains(string(methods), string(rune(want))) {
			_, err := nc.Write([]byte{5, 0xff})
			return err
		}
		nc.Write([]byte{5, want})
		if user != "" {
			u := read(int(read(2)[1]))
			p := read(int(read(1)[0]))
			if string(u) != user || string(p) != password {
				_, err := nc.Write([]byte{1, 1})
				return err
			}
			nc.Write([]byte{1, 0})
		}
		var ip netip.Addr
		if head := read(4); head[3] == 1 {
			ip, _ = netip.AddrFromSlice(read(4))
		} else if head[3] == 4 {
			ip, _ = netip.AddrFromSlice(read(16))
		} else {
			_, err := nc.Write([]byte{5, 8, 0, 1, 0, 0, 0, 0, 0, 0})
			return err
		}
		target := net.JoinHostPort(ip.String(), strconv.Itoa(int(binary.BigEndian.Uint16(read(2)))))
		mu.Lock()
		targets = append(targets, target)
		mu.Unlock()
		out, err := net.Dial("tcp", target)
		if err != nil {
			_, err := nc.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return err
		}
		defer out.Close()
		nc.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
		wg.Go(func() {
			io.Copy(out, nc)
			out.Close()
		})
		_, err = io.Copy(nc, out)
		return err
	}
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				if err := serve(nc); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Logf("socks: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return targets
	}
}

func TestSocks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		user, password string // Of the proxy.
		o              SocksOptions
		dead           bool // The mail server.
		want           string
	}{
		{"no authentication", "", "", SocksOptions{}, false, "250"},
		{"password", "user", "pencil", SocksOptions{Username: "user", Password: "pencil"}, false, "250"},
		{"wrong password", "user", "pencil", SocksOptions{Username: "user", Password: "crayon"}, false, "error"},
		{"password missing", "user", "pencil", SocksOptions{}, false, "error"},
		{"password not asked for", "", "", SocksOptions{Username: "user", Password: "pencil"}, false, "250"},
		{"server cannot be reached", "", "", SocksOptions{}, true, "error"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			addr, dialed := socksServer(t, tc.user, tc.password)
			tc.o.Address = addr
			dialer, err := NewSocks(tc.o)
			if err != nil {
				t.Fatal(err)
			}
			ip := newIP()
			var mx *server
			w := newWorld(t, testkit.DNSOptions{Zone: "one.example MX 10 mx.one.example\nmx.one.example A " + ip}, func(o *DirectOptions) {
				o.Name, o.Dialer = "socks", dialer
				o.Hostname = dns.IPDomain{Domain: domain(t, "proxied.example")}
			})
			if !tc.dead {
				mx = serve(t, serverSetup{ip: ip, tls: w.cert("mx.one.example")})
			}
			r := w.want(tc.want, w.delivery("a@one.example"))
			if tc.want != "250" {
				return
			}
			if l := dialed(); len(l) != 1 || l[0] != netip.AddrPortFrom(mx.ip, uint16(mx.port)).String() {
				t.Errorf("proxy connected to %s", l)
			}
			if mx.countCommands("EHLO proxied.example") != 2 || !mx.got()[0].tls || r.IP != mx.ip {
				t.Errorf("commands %q", mx.commands)
			}
		})
	}
	if _, err := NewSocks(SocksOptions{Address: "127.0.0.1:1", Username: strings.Repeat("u", 256), Password: "p"}); err == nil {
		t.Error("a name that is too long is taken")
	}
}

// pipeDialer gives the other end of a pipe to a function.
type pipeDialer func(nc net.Conn)

func (d pipeDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	a, b := net.Pipe()
	go d(b)
	return a, nil
}

func TestTimeOutAfterTheFinalDot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dialed := 0
		pool := NewPool(PoolOptions{})
		tr := NewDirect(DirectOptions{Network: Network{Pool: pool, Hostname: newHostname(t), Dialer: pipeDialer(func(nc net.Conn) {
			dialed++
			defer nc.Close()
			br := bufio.NewReader(nc)
			io.WriteString(nc, "220 hi\r\n")
			for _, reply := range []string{"250 hi", "250 ok", "250 ok", "354 go"} {
				br.ReadString('\n')
				io.WriteString(nc, reply+"\r\n")
			}
			io.Copy(io.Discard, br) // And says nothing.
		})}})
		w := &world{t: t, direct: tr}
		d := w.delivery("a@[127.0.0.1]")
		start := time.Now()
		l := tr.Deliver(t.Context(), d)
		if took := time.Since(start); took != smtpclient.DataFinishTimeout || l[0].Err == nil || !l[0].Unanswered || dialed != 1 {
			t.Errorf("took %v, %d connections: %v", took, dialed, l[0].Err)
		}
		if err := pool.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTranscriptIsBounded(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	for range 1000 {
		r.reply("mail", smtpclient.Reply{Code: 250, Lines: []string{"250 " + strings.Repeat("é", 1000)}})
	}
	if len(r.lines) != maxTranscript+1 || len(r.lines[0]) > maxTranscriptLine || r.lines[maxTranscript] != "..." {
		t.Errorf("%d lines, %d octets in the first", len(r.lines), len(r.lines[0]))
	}
	var none *recorder
	none.reply("mail", smtpclient.Reply{})
}

func TestTextOfReplies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lines []string
		want  string
	}{
		{[]string{"550 5.1.1 who?"}, "who?"},
		{[]string{"550-5.1.1 who?", "550 5.1.1 really"}, "who?\nreally"},
		{[]string{"550 5 apples"}, "5 apples"},
		{[]string{"550 1.2.3.4 is listed"}, "1.2.3.4 is listed"},
		{[]string{"550"}, ""},
		{[]string{"550 \xff"}, "?"},
		{nil, ""},
	} {
		if got := replyText(tc.lines); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.lines, got, tc.want)
		}
	}
}
