package admin

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"mox/config"
	"mox/dns"
	"mox/internal/testkit"
)

// reachable is a server as it is reached: what connecting to an address gets.
type reachable struct {
	s     *config.Snapshot
	zone  string
	ca    *testkit.CA
	ports map[string]func(net.Conn) // By IP address with port.
}

// newReachable returns a server that is as its configuration and records say.
func newReachable(t *testing.T) *reachable {
	t.Helper()
	ca := testkit.NewCA(t)
	host := ca.Issue(t, testkit.ECDSA, "mx.example.org")
	s := fullConfigWith(t, keyPEM(t, host.PrivateKey))
	web := ca.Issue(t, testkit.ECDSA, "mta-sts.example.org", "autoconfig.example.org")
	users := ca.Issue(t, testkit.ECDSA, "imap.example.org")
	d, _ := s.Domain(dns.Domain{ASCII: "example.org"})
	mux := http.NewServeMux()
	mux.HandleFunc("mta-sts.example.org/.well-known/mta-sts.txt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, d.MTASTS.Policy.String())
	})
	mux.HandleFunc("autoconfig.example.org/mail/config-v1.1.xml", func(http.ResponseWriter, *http.Request) {})
	r := &reachable{s: s, ca: ca, zone: zone(t, s, "example.org") + `com. NS ns.example.
example.org. NS ns.example.org.
mx.example.org. A 192.0.2.1
1.2.0.192.in-addr.arpa. PTR mx.example.org.
proxy.example.org. A 192.0.2.99
99.2.0.192.in-addr.arpa. PTR proxy.example.org.
`}
	r.ports = map[string]func(net.Conn){
		"192.0.2.1:25":  smtpServer(host),
		"192.0.2.1:443": func(c net.Conn) { serveHTTPS(c, web, mux) },
		"192.0.2.1:993": tlsServer(users),
		"192.0.2.1:465": tlsServer(users),
	}
	return r
}

// tlsServer does handshakes.
func tlsServer(cert tls.Certificate) func(net.Conn) {
	return func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
		_ = c.Close()
	}
}

// serveHTTPS serves one connection.
func serveHTTPS(c net.Conn, cert tls.Certificate, h http.Handler) {
	ln := &oneConn{conn: tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})}
	_ = (&http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}).Serve(ln)
}

// oneConn is a listener with one connection.
type oneConn struct{ conn net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// smtpServer starts TLS, as far as a client goes with it.
func smtpServer(cert tls.Certificate) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		reply := func(s string) { _, _ = io.WriteString(c, s+"\r\n") }
		reply("220 mx.example.org ESMTP")
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
			case "EHLO":
				reply("250-mx.example.org\r\n250 STARTTLS")
			case "STARTTLS":
				reply("220 go on")
				c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
				r = bufio.NewReader(c)
			case "QUIT":
				reply("221 bye")
				return
			default:
				reply("500 what?")
			}
		}
	}
}

// check returns the findings about example.org that are not ok, and how many are.
func (r *reachable) check(t *testing.T) (bad []string, ok int) {
	t.Helper()
	server := testkit.NewDNS(t, testkit.DNSOptions{Zone: r.zone, Authentic: true})
	log := slog.New(slog.DiscardHandler)
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}, TrustAD: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c := DNSChecker{Resolver: resolver, Log: log, Roots: r.ca.Pool(), CAA: CAALookup([]string{server.Addr}), Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
		serve := r.ports[addr]
		if serve == nil {
			return nil, errors.New("nobody listens at " + addr)
		}
		a, b := net.Pipe()
		go serve(b)
		return a, nil
	}}
	l, err := c.Check(t.Context(), r.s, dns.Domain{ASCII: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range l {
		if f.Severity == OK {
			ok++
			continue
		}
		bad = append(bad, fmt.Sprintf("%s %s: %s", f.Severity, f.Check, f.Text))
	}
	return bad, ok
}

func TestServerThatIsAsItsRecordsSayHasNoFindings(t *testing.T) {
	t.Parallel()
	if bad, ok := newReachable(t).check(t); len(bad) > 0 || ok < 25 {
		t.Errorf("%d are ok, and others:\n%s", ok, strings.Join(bad, "\n"))
	}
}

func TestCheckFindsWhatIsWrongWithWhatIsReached(t *testing.T) {
	t.Parallel()
	replace := func(old, new string) func(*testing.T, *reachable) {
		return func(t *testing.T, r *reachable) {
			if !strings.Contains(r.zone, old) {
				t.Fatalf("%q is not in the zone:\n%s", old, r.zone)
			}
			r.zone = strings.ReplaceAll(r.zone, old, new)
		}
	}
	for name, tc := range map[string]struct {
		change func(*testing.T, *reachable)
		want   []string
	}{
		"certificate of another name": {
			func(t *testing.T, r *reachable) {
				r.ports["192.0.2.1:25"] = smtpServer(r.ca.Issue(t, testkit.ECDSA, "other.example.org"))
			},
			[]string{"error DANE: the certificate of mx.example.org at 192.0.2.1:25 is not what its TLSA records say", "error TLS: the certificate of mx.example.org at 192.0.2.1:25 is not valid"},
		},
		"authority is not trusted": {
			func(t *testing.T, r *reachable) { r.ca = testkit.NewCA(t) },
			[]string{"warning TLS: the certificate of mx.example.org at 192.0.2.1:25 is not valid", "error MTA-STS: the policy cannot be fetched", "warning CLIENT: imap at imap.example.org port 993", "warning CLIENT: submission at imap.example.org port 465", "warning AUTOCONFIG: settings from autoconfig.example.org"},
		},
		"no starttls": {
			func(_ *testing.T, r *reachable) { r.ports["192.0.2.1:25"] = func(c net.Conn) { _ = c.Close() } },
			[]string{"error TLS: no TLS with mx.example.org at 192.0.2.1:25"},
		},
		"not reached through nat": {
			func(_ *testing.T, r *reachable) { delete(r.ports, "192.0.2.1:25") },
			[]string{"warning TLS: mx.example.org cannot be reached from here at 192.0.2.1:25: nobody listens"},
		},
		"not reached": {
			func(_ *testing.T, r *reachable) {
				r.ports = nil
				c := *r.s
				c.Listeners = append([]config.Listener(nil), c.Listeners...)
				c.Listeners[0].IPs, c.Listeners[0].NATIPs = c.Listeners[0].NATIPs, nil
				r.s = &c
			},
			[]string{"error TLS: mx.example.org cannot be reached at 192.0.2.1:25", "error MTA-STS: the policy cannot be fetched", "error CLIENT: imap at", "error CLIENT: submission at", "error AUTOCONFIG: settings from autoconfig.example.org: "},
		},
		"no tlsa record": {
			replace("_25._tcp.mx.example.org. ", "x.example.org. "),
			[]string{"warning DANE: there are no TLSA records at _25._tcp.mx.example.org"},
		},
		"another tlsa record": {
			replace("TLSA 3 1 1 ", "TLSA 3 1 1 "+strings.Repeat("00", 32)+"\nx.example.org. TLSA 3 1 1 "),
			[]string{"error DANE: the certificate of mx.example.org", `error DANE: the TLSA record "3 1 1 `, `warning DANE: the TLSA record "3 1 1 0000`},
		},
		"no record for mta-sts": {
			replace("_mta-sts.example.org.", "x.example.org."),
			[]string{"error MTA-STS: there is no TXT record at _mta-sts.example.org"},
		},
		"another policy id": {
			replace("id=20260304T050607", "id=1"),
			[]string{"error MTA-STS: the record at _mta-sts.example.org has the id 1, and PolicyID in domains.conf is 20260304T050607"},
		},
		"mx is not in the policy": {
			replace("MX 10 mx.example.org.", "MX 10 mx.example.org.\nexample.org. MX 20 mx2.example.org.\nmx2.example.org. A 192.0.2.1"),
			[]string{"warning MX: mail goes to mx2.example.org, with addresses of this server", "error TLS: the certificate of mx2.example.org", "error MTA-STS: mail goes to mx2.example.org by its MX record, which is not in the policy"},
		},
		"settings elsewhere": {
			replace("autoconfig.example.org.                  CNAME mx.example.org.", "autoconfig.example.org. A 192.0.2.7"),
			[]string{"error AUTOCONFIG: autoconfig.example.org leads to another server", "error AUTOCONFIG: settings from autoconfig.example.org: "},
		},
		"name for users is missing": {
			replace("imap.example.org. ", "x.example.org. "),
			[]string{"error CLIENT: imap.example.org is not in DNS"},
		},
		"autodiscover is elsewhere": {
			replace("SRV 0 1 443 mx.example.org.", "SRV 0 1 444 mx.example.org."),
			[]string{"error AUTOCONFIG: the record for autodiscover leads to mx.example.org port 444"},
		},
		"another authority": {
			replace("\nmx.example.org.                          CAA 0 issue \"letsencrypt.org\"", "\nmx.example.org. CAA 0 issue \"ca.example\""),
			[]string{ // Others are aliases.
				"error CAA: the CAA records at mx.example.org do not let letsencrypt.org make certificates for mx.example.org",
				"error CAA: the CAA records at imap.example.org do not let", "error CAA: the CAA records at autoconfig.example.org do not let",
				"error CAA: the CAA records at mta-sts.example.org do not let", "error CAA: the CAA records at mx.example.org do not let",
			},
		},
		"proxy has no reverse name": {
			replace("99.2.0.192.in-addr.arpa.", "x.example."),
			[]string{"error IPREV: reverse name of 192.0.2.99: permerror"},
		},
		"reports are not wanted elsewhere": {
			replace("mailto:dmarcreports@example.org!10m", "mailto:dmarcreports@example.org!10m,mailto:x@other.example"),
			[]string{"error DMARC: other.example does not agree to get reports: there must be a TXT record \"v=DMARC1\" at example.org._report._dmarc.other.example"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReachable(t)
			tc.change(t, r)
			got, _ := r.check(t)
			for i := range max(len(got), len(tc.want)) {
				if i >= len(got) || i >= len(tc.want) || !strings.HasPrefix(got[i], tc.want[i]) {
					t.Fatalf("got:\n%s\nexpected:\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
				}
			}
		})
	}
}

func TestCAARecordsPermitAsTheirRFCsSay(t *testing.T) {
	t.Parallel()
	issue := func(values ...string) (l []CAARecord) {
		for _, v := range values {
			l = append(l, CAARecord{Tag: "issue", Value: v})
		}
		return l
	}
	for name, tc := range map[string]struct {
		records []CAARecord
		want    bool
	}{
		"none about issuing":      {[]CAARecord{{Tag: "iodef", Value: "mailto:x@example.org"}}, true},
		"for wildcards":           {[]CAARecord{{Tag: "issuewild", Value: ";"}}, true},
		"nobody":                  {issue(";"), false},
		"another":                 {issue("ca.example"), false},
		"ours":                    {issue("ca.example", "letsencrypt.org"), true},
		"ours in another case":    {issue(" LetsEncrypt.org ; x=y"), true},
		"our account":             {issue("letsencrypt.org;accounturi=https://acme.example/1"), true},
		"another account":         {issue("letsencrypt.org; accounturi=https://acme.example/2"), false},
		"our methods":             {issue("letsencrypt.org;validationmethods=dns-01,http-01"), true},
		"another method":          {issue("letsencrypt.org;validationmethods=dns-01"), false},
		"what nobody understands": {append(issue("letsencrypt.org"), CAARecord{Critical: true, Tag: "x"}), false},
	} {
		if got := permits(tc.records, "letsencrypt.org", "https://acme.example/1", "tls-alpn-01,http-01"); got != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
