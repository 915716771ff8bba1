package http

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
)

func TestPathsAreCleaned(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/":         "/",
		"//":        "/",
		"/a":        "/a",
		"/a/":       "/a/",
		"/a//":      "/a/",
		"/a/.":      "/a/",
		"/a/..":     "/",
		"/a/b/..":   "/a/",
		"/../..":    "/",
		"/..a/b..":  "/..a/b..",
		"//x/../y/": "/y/",
	} {
		if got := cleanPath(in); got != want {
			t.Errorf("%q: got %q, expected %q", in, got, want)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/a//b/./", "/\x00/..\xff/..", "/.../"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !strings.HasPrefix(s, "/") {
			return
		}
		got := cleanPath(s)
		if again := cleanPath(got); again != got || !strings.HasPrefix(got, "/") || strings.Contains(got, "//") {
			t.Fatalf("%q: got %q, and of that %q", s, got, again)
		}
		for part := range strings.SplitSeq(got, "/") {
			if part == "." || part == ".." {
				t.Fatalf("%q: got %q", s, got)
			}
		}
	})
}

var private = netip.MustParsePrefix("10.0.0.0/8")

func TestClientIsWhoTheFirstProxyOfOursWasAskedBy(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"192.0.2.1":                       "192.0.2.1",
		"198.51.100.1, 192.0.2.1":         "192.0.2.1",
		"192.0.2.1, 10.0.0.2,10.0.0.3":    "192.0.2.1",
		"2001:db8::1 , 10.0.0.2":          "2001:db8::1",
		"::ffff:192.0.2.1":                "192.0.2.1",
		"::ffff:10.0.0.1":                 "",
		"10.0.0.1":                        "",
		"":                                "",
		"192.0.2.1, unknown":              "",
		"192.0.2.1, unknown, 10.0.0.1":    "",
		"192.0.2.1:80":                    "",
		"192.0.2.1,":                      "",
		"fe80::1%eth0":                    "fe80::1",
		"198.51.100.1, 10.0.0.1, 1.1.1.1": "1.1.1.1",
	} {
		got := forwardedFor([]string{value}, private.Contains)
		if (got.IsValid() || want != "") && got.String() != want {
			t.Errorf("%q: got %v, expected %q", value, got, want)
		}
	}
	if got := forwardedFor([]string{"192.0.2.1", "192.0.2.2, 10.0.0.1"}, private.Contains); got.String() != "192.0.2.2" {
		t.Errorf("got %v", got)
	}
}

func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"", "192.0.2.1", "192.0.2.1, 10.0.0.1", "::1%x,10.0.0.1", ",,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ip := forwardedFor([]string{s}, private.Contains)
		if ip.IsValid() && (private.Contains(ip) || ip.Is4In6() || ip.Zone() != "") {
			t.Fatalf("%q: got %v", s, ip)
		}
	})
}

func TestRequestsOfAClientAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testRequestsOfAClient) // So that no minute ends meanwhile.
}

func testRequestsOfAClient(t *testing.T) {
	s := newSite(t, siteOptions{
		options: testServices,
		listener: func(l *config.ListenerFields) {
			l.AutoconfigHTTPS.Forwarded = true
			l.ForwardedNetworks = []string{"127.0.0.1"}
			l.Limits.ExemptNetworks = []string{"198.51.100.0/24"}
		},
	})
	conf := s.srv.opts.Config.Snapshot().Listeners[0]
	i := slices.IndexFunc(conf.WebPorts(), func(p config.WebPort) bool { return p.TLS })
	p := &port{srv: s.srv, ListenerOptions: ListenerOptions{Listener: conf, Port: conf.WebPorts()[i]}, limits: *s.srv.limitsOf(conf)}
	codes := func(client string, n int) map[int]int {
		got := map[int]int{}
		for range n {
			r := httptest.NewRequest("GET", "https://mx.example/", nil)
			r.RemoteAddr = "127.0.0.1:1234"
			if client != "" {
				r.Header.Set("X-Forwarded-For", client)
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			got[w.Code]++
		}
		return got
	}
	for _, tc := range []struct {
		client  string
		ok, bad int
	}{
		{"192.0.2.1", requestsPerMinute, 10},
		{"192.0.2.2", requestsPerMinute, 10},
		{"192.0.2.3", requestsPerMinute, 10}, // The network, of three times as many, is full then.
		{"192.0.2.4", 0, 10},
		{"192.0.2.200", 10, 0},
		{"198.51.100.1", 2 * requestsPerMinute, 0},
		{"", 2 * requestsPerMinute, 0}, // The proxy itself.
	} {
		if got := codes(tc.client, tc.ok+tc.bad); got[200] != tc.ok || got[429] != tc.bad {
			t.Errorf("%s: got %v, expected %d and %d", tc.client, got, tc.ok, tc.bad)
		}
	}
}

func TestHandlersLearnWhoTheClientIs(t *testing.T) {
	t.Parallel()
	services := func(o *Options) {
		o.Services = []Service{{Name: "who", Path: func(config.Listener, config.WebPort) string { return "/" }, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ap, _ := netip.ParseAddrPort(r.RemoteAddr)
			fmt.Fprintf(w, "%v %q %q %q", ap.Addr(), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For"), r.Header.Get("Forwarded"))
		})}}
	}
	trusting := newSite(t, siteOptions{options: services, listener: func(l *config.ListenerFields) { l.MTASTSHTTPS.Forwarded = true }})
	cautious := newSite(t, siteOptions{options: services})
	elsewhere := newSite(t, siteOptions{options: services, listener: func(l *config.ListenerFields) {
		l.MTASTSHTTPS.Forwarded, l.ForwardedNetworks = true, []string{"192.0.2.0/24"}
	}})
	told := []string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "X-Forwarded-Proto: http"}
	for _, tc := range []struct {
		site   *site
		url    string
		fields []string
		want   string
	}{
		{trusting, "https://mx.example/", told, `192.0.2.1 "https" "" ""`},
		{trusting, "https://mx.example/", nil, `invalid IP "https" "" ""`},
		{trusting, "http://mx.example/", told, `127.0.0.1 "" "" ""`}, // The port is another one.
		{cautious, "https://mx.example/", told, `127.0.0.1 "" "" ""`},
		{elsewhere, "https://mx.example/", told, `127.0.0.1 "" "" ""`},
	} {
		if a := tc.site.get(tc.url, tc.fields...); a.body != tc.want {
			t.Errorf("%s: got %s, expected %s", tc.url, a.body, tc.want)
		}
	}
}

func TestConnectionsOfAClientAreLimited(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{listener: func(l *config.ListenerFields) { l.Limits.OpenConnections, l.Limits.ConnectionsPerMinute = 2, 5 }})
	var open []net.Conn
	refused := func() bool {
		t.Helper()
		nc, err := net.Dial("tcp", s.plain)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, nc)
		if err := nc.SetDeadline(time.Now().Add(testTimeout)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: mx.example\r\n\r\n")
		_, err = nc.Read(make([]byte, 1))
		return err != nil
	}
	var got []bool
	for range 3 {
		got = append(got, refused())
	}
	for _, nc := range open {
		nc.Close()
	}
	open = nil
	for s.srv.conns.Load() > 0 { // Until the server has seen it.
		time.Sleep(time.Millisecond)
	}
	for range 3 {
		got = append(got, refused()) // The last one is the sixth.
	}
	if want := []bool{false, false, true, false, false, true}; !slices.Equal(got, want) {
		t.Errorf("refused: got %v, expected %v", got, want)
	}
	for _, nc := range open {
		nc.Close()
	}
}

func TestConnectionsOfAllClientsAreLimited(t *testing.T) {
	t.Parallel()
	for _, exempt := range []bool{false, true} {
		s := newSite(t, siteOptions{
			options: func(o *Options) { o.MaxConnections = 1 },
			listener: func(l *config.ListenerFields) {
				if exempt {
					l.Limits.ExemptNetworks = []string{"127.0.0.1"}
				}
			},
		})
		for i := range 2 {
			nc, err := net.Dial("tcp", s.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: mx.example\r\n\r\n")
			if err := nc.SetDeadline(time.Now().Add(testTimeout)); err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Read(make([]byte, 1)); (err != nil) != (i == 1 && !exempt) {
				t.Errorf("exempt %v, connection %d: got %v", exempt, i, err)
			}
		}
	}
}

func TestLimitsCanBeDisabled(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{listener: func(l *config.ListenerFields) {
		l.Limits.ConnectionsPerMinute = 1
		l.WebserverHTTP.RateLimitDisabled = true
	}})
	for range 5 {
		if a := s.get("http://mx.example/"); a.StatusCode != 404 {
			t.Errorf("got %s", a.Status)
		}
	}
}

func TestProxyProtocolTellsWhoTheClientIs(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{
		listener: func(l *config.ListenerFields) {
			l.ProxyProtocol = &config.ProxyProtocolFields{Networks: []string{"127.0.0.1"}}
			l.Limits.OpenConnections = 1
		},
		options: func(o *Options) {
			o.Services = []Service{{Name: "who", Path: func(config.Listener, config.WebPort) string { return "/" }, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.RemoteAddr)
			})}}
		},
	})
	ask := func(header, addr string, secure bool) string {
		t.Helper()
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		if err := nc.SetDeadline(time.Now().Add(testTimeout)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(nc, header)
		if secure {
			nc = tls.Client(nc, s.ca.ClientConfig("mx.example"))
		}
		_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: mx.example\r\n\r\n")
		buf := make([]byte, 4096)
		n, _ := nc.Read(buf)
		_, body, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
		return body
	}
	proxy := func(ip string) string { return "PROXY TCP4 " + ip + " 192.0.2.10 4711 443\r\n" }
	if got := ask(proxy("192.0.2.1"), s.plain, false); got != "192.0.2.1:4711" {
		t.Errorf("got %q", got)
	}
	if got := ask(proxy("192.0.2.2"), s.secure, true); got != "192.0.2.2:4711" {
		t.Errorf("with tls: got %q", got)
	}
	if got := ask(proxy("192.0.2.1"), s.plain, false); got != "" {
		t.Errorf("second connection of a client: got %q", got)
	}
	if got := ask("", s.plain, false); got != "" {
		t.Errorf("without header: got %q", got)
	}
}

func TestHealthAndMetricsAreServed(t *testing.T) {
	t.Parallel()
	var health error
	h := Monitor(func(context.Context) error { return health })
	get := func(h http.Handler, method, path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %v", path, w.Header())
		}
		return w.Code, w.Body.String()
	}
	if code, body := get(h, "GET", "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("got %d %q", code, body)
	}
	health = io.ErrUnexpectedEOF
	if code, body := get(h, "GET", "/healthz"); code != 503 || body != "unexpected EOF\n" {
		t.Errorf("got %d %q", code, body)
	}
	for path, want := range map[string]int{"/": 200, "/metrics": 200, "/other": 404, "/debug/pprof/": 404} {
		if code, _ := get(h, "GET", path); code != want {
			t.Errorf("%s: got %d", path, code)
		}
	}
	if code, _ := get(h, "POST", "/metrics"); code != 405 {
		t.Errorf("got %d", code)
	}
	for path, want := range map[string]int{"/": 303, "/debug/pprof/": 200, "/debug/pprof/goroutine": 200, "/metrics": 404} {
		if code, _ := get(Profiles(), "GET", path); code != want {
			t.Errorf("%s: got %d", path, code)
		}
	}
}
