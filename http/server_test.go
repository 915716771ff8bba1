package http

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/http/clientconf"
	"mox/internal/metrics"
	"mox/internal/testkit"
	"mox/mlog"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := metrics.PanicCount(); n != wantPanics && code == 0 {
		fmt.Fprintf(os.Stderr, "%d panics\n", n)
		code = 1
	}
	os.Exit(code)
}

// wantPanics are those of tests that cause one.
var wantPanics int64

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// site is a server with a port without TLS and one with.
type site struct {
	t      *testing.T
	srv    *Server
	ca     *testkit.CA
	log    *buffer
	plain  string // Addresses.
	secure string
	served sync.WaitGroup // Ends when no connections are taken.
}

// testTimeout is how long what must happen may take, on a machine that is busy.
const testTimeout = time.Minute

// siteOptions are for newSite. Functions change what is usual.
type siteOptions struct {
	listener func(*config.ListenerFields)
	dynamic  func(*config.Dynamic)
	options  func(*Options)
	alpn     map[string]func(*tls.Conn)
}

// newSite starts a server for mail.example at host mx.example, with all that a listener
// can have.
func newSite(t *testing.T, opts siteOptions) *site {
	t.Helper()
	var l config.ListenerFields
	l.IPs = []string{"127.0.0.1"}
	l.TLS = &config.TLSFields{KeyCerts: []config.KeyCertFields{{CertFile: "cert.pem", KeyFile: "key.pem"}}}
	l.IMAPS.Enabled, l.IMAPS.EnabledOnHTTPS = true, true
	l.Submissions.Enabled, l.Submissions.EnabledOnHTTPS = true, true
	l.AutoconfigHTTPS.Enabled, l.MTASTSHTTPS.Enabled = true, true
	l.WebserverHTTP.Enabled, l.WebserverHTTPS.Enabled = true, true
	if opts.listener != nil {
		opts.listener(&l)
	}
	dynamic := config.Dynamic{
		Domains: map[string]config.DomainFields{"mail.example": {
			ClientSettingsDomain: "imap.mail.example",
			MTASTS:               &config.MTASTSFields{PolicyID: "1", Mode: "enforce", MaxAge: 24 * time.Hour},
		}},
		Accounts: map[string]config.AccountFields{"ann": {Domain: "mail.example", Destinations: map[string]config.DestinationFields{"ann@mail.example": {}}}},
	}
	if opts.dynamic != nil {
		opts.dynamic(&dynamic)
	}
	conf, err := config.New(config.Static{
		DataDir:    "data",
		LogLevel:   "info",
		Hostname:   "mx.example",
		Listeners:  map[string]config.ListenerFields{"public": l},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}, dynamic)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, ca: testkit.NewCA(t), log: &buffer{}}
	cipher, err := mlog.NewCidCipher(mlog.NewCidKey())
	if err != nil {
		t.Fatal(err)
	}
	holder := config.NewHolder(conf)
	o := Options{
		Config:     holder,
		Log:        slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		CidCipher:  cipher,
		ClientConf: clientconf.New(clientconf.Options{Config: holder, Log: mlog.Discard()}),
		Roots:      s.ca.Pool(),
	}
	if opts.options != nil {
		opts.options(&o)
	}
	s.srv = New(o)
	for _, p := range conf.Listeners[0].WebPorts() {
		nl, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		lo := ListenerOptions{Listener: conf.Listeners[0], Port: p}
		if p.TLS {
			lo.ALPN = opts.alpn
			lo.TLSConfig = s.ca.ServerConfig(t, "mx.example", "site.example", "autoconfig.mail.example", "mta-sts.mail.example")
			s.secure = nl.Addr().String()
		} else {
			s.plain = nl.Addr().String()
		}
		s.served.Go(func() {
			if err := s.srv.Serve(nl, lo); err != nil {
				t.Errorf("serve: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := s.srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		s.served.Wait()
		if t.Failed() {
			t.Logf("log:\n%s", s.log)
		}
	})
	return s
}

// client returns a client that connects to the site, whatever the host in a URL, and
// follows no redirects.
func (s *site) client() *http.Client {
	tr := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: s.ca.Pool(), ServerName: "mx.example"},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		DisableKeepAlives:  true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := s.plain
			if strings.HasSuffix(addr, ":443") {
				to = s.secure
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       testTimeout,
	}
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

// do makes a request. Fields are header fields, as "Name: value".
func (s *site) do(method, url, body string, fields ...string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Add(name, value)
		}
	}
	resp, err := s.client().Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: reading body: %v", method, url, err)
	}
	return answer{resp, string(data)}
}

func (s *site) get(url string, fields ...string) answer {
	s.t.Helper()
	return s.do("GET", url, "", fields...)
}

// raw sends octets to the port without TLS and returns the response.
func (s *site) raw(request string) answer {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.plain)
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(nc, request); err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	data, _ := io.ReadAll(resp.Body) // A connection with more to read may be reset.
	return answer{resp, string(data)}
}

// handlers sets web handlers.
func handlers(l ...config.WebHandlerFields) func(*config.Dynamic) {
	return func(d *config.Dynamic) { d.WebHandlers = l }
}
