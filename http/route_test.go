package http

import (
	"crypto/tls"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mox/config"
)

func echo(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text+" "+r.URL.Path) })
}

// testServices are one that is at client settings domains too and one that is not.
func testServices(o *Options) {
	at := func(path string) func(config.Listener, config.WebPort) string {
		return func(_ config.Listener, p config.WebPort) string {
			if !p.TLS {
				return ""
			}
			return path
		}
	}
	o.Services = []Service{
		{Name: "account", Handler: echo("account"), Path: at("/"), ClientDomains: true},
		{Name: "admin", Handler: echo("admin"), Path: at("/admin/")},
	}
	o.Challenges = echo("challenge")
}

func TestRequestsGoToTheHandlerForTheirHostPathAndPort(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{
		options: testServices,
		dynamic: func(d *config.Dynamic) {
			d.WebDomainRedirects = map[string]string{"www.site.example": "site.example"}
			d.WebHandlers = []config.WebHandlerFields{
				{LogName: "int", Domain: "site.example", PathRegexp: "^/in/", WebInternal: &config.WebInternalFields{BasePath: "/in/", Service: "admin"}},
				{LogName: "none", Domain: "site.example", PathRegexp: "^/webmail/", WebInternal: &config.WebInternalFields{BasePath: "/webmail/", Service: "webmail"}},
				{LogName: "red", Domain: "site.example", PathRegexp: "^/", WebRedirect: &config.WebRedirectFields{BaseURL: "https://other.example/"}},
				{LogName: "mine", Domain: "mx.example", PathRegexp: "^/own", WebRedirect: &config.WebRedirectFields{BaseURL: "https://own.example"}},
			}
		},
	})
	tests := []struct {
		url, want string // Status, and body or where to.
	}{
		{"http://anything.example/.well-known/acme-challenge/token", "200 challenge /.well-known/acme-challenge/token"},
		{"http://site.example/.well-known/acme-challenge/token", "200 challenge /.well-known/acme-challenge/token"}, // Not to be overridden.
		{"https://anything.example/.well-known/acme-challenge/token", "404 404 - page not found\n"},
		{"https://mta-sts.mail.example/.well-known/mta-sts.txt", "200 version: STSv1\r\n"},
		{"https://mta-sts.mail.example./.well-known/mta-sts.txt", "200 version: STSv1\r\n"},
		{"http://mta-sts.mail.example/.well-known/mta-sts.txt", "404 "}, // Only with TLS.
		{"https://mta-sts.other.example/.well-known/mta-sts.txt", "404 "},
		{"https://mail.example/.well-known/mta-sts.txt", "404 "},
		{"https://autoconfig.mail.example/mail/config-v1.1.xml?emailaddress=ann@mail.example", "200 <?xml"},
		{"https://mail.example/.well-known/autoconfig/mail/config-v1.1.xml", "200 <?xml"},
		{"https://imap.mail.example/mail/config-v1.1.xml?emailaddress=ann@mail.example", "200 <?xml"},
		{"https://127.0.0.1/mail/config-v1.1.xml?emailaddress=ann@mail.example", "200 <?xml"},
		{"https://site.example/mail/config-v1.1.xml", "308 https://other.example/mail/config-v1.1.xml"},
		{"http://autoconfig.mail.example/mail/config-v1.1.xml", "404 "},
		{"http://www.site.example/a%20b/%2f?q=1;2", "308 https://site.example/a%20b/%2f?q=1;2"},
		{"https://www.site.example/x", "308 https://site.example/x"},
		{"http://site.example/in/x?y", "308 https://site.example/in/x?y"},
		{"https://site.example/in/x", "200 admin /x"},
		{"https://site.example/in", "308 https://other.example/in"},
		{"https://site.example/webmail/", "404 404 - this version of the server does not have service webmail\n"},
		{"https://mx.example/", "200 account /"},
		{"https://mx.example/a/../b//c", "200 account /b/c"},
		{"https://mx.example/admin/", "200 admin /"},
		{"https://mx.example/admin/x/..", "200 admin /"},
		{"https://mx.example/admin/x/", "200 admin /x/"},
		{"https://mx.example/admin", "303 /admin/"},
		{"https://mx.example/administrator", "200 account /administrator"},
		{"https://mx.example/own", "308 https://own.example/own"}, // Services can be overridden.
		{"https://[::1]/", "200 account /"},
		{"https://localhost/", "200 account /"},
		{"https://imap.mail.example/", "200 account /"},
		{"https://imap.mail.example/admin/", "200 account /admin/"},
		{"https://mail.example/", "404 "},
		{"http://mx.example/", "404 "},
	}
	for _, tc := range tests {
		a := s.get(tc.url)
		got := a.Status[:4] + a.body
		if to := a.Header.Get("Location"); to != "" {
			got = a.Status[:4] + to
		}
		if !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: got %q, expected %q", tc.url, got, tc.want)
		}
	}
	if a := s.get("https://mta-sts.mail.example/.well-known/mta-sts.txt"); a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("got header without security: %v", a.Header)
	}
}

func TestRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\n\r\n":                                                                                 400, // No host.
		"GET / HTTP/1.0\r\n\r\n":                                                                                 404,
		"GET / HTTP/1.1\r\nHost: a b\r\n\r\n":                                                                    400,
		"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n":                                                                   400,
		"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n":                                                                   400,
		"GET / HTTP/1.1\r\nHost: " + strings.Repeat("a.", 200) + "\r\n\r\n":                                      400,
		"CONNECT a.example:25 HTTP/1.1\r\nHost: a.example:25\r\n\r\n":                                            400,
		"GET x HTTP/1.1\r\nHost: a.example\r\n\r\n":                                                              400,
		"GET http://mx.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n":                                            404,
		"GET / HTTP/1.1\r\nHost: a.example\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n":                    431,
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 404, // The length does not count, RFC 9112 §6.3.
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab":                 400,
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: identity\r\n\r\n":                              501,
		"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n":                                           400,
	} {
		if a := s.raw(request); a.StatusCode != want {
			t.Errorf("%.80q: got status %s, expected %d", request, a.Status, want)
		}
	}
}

func TestClientsCanAskForIMAPAndSubmission(t *testing.T) {
	t.Parallel()
	greet := func(text string) func(*tls.Conn) {
		return func(tc *tls.Conn) {
			defer tc.Close()
			_, _ = io.WriteString(tc, text+tc.RemoteAddr().String())
		}
	}
	s := newSite(t, siteOptions{alpn: map[string]func(*tls.Conn){"imap": greet("imap "), "smtp": greet("smtp ")}})
	for _, protos := range [][]string{{"imap"}, {"smtp"}, {"imap", "h2"}} {
		conf := s.ca.ClientConfig("mx.example")
		conf.NextProtos = protos
		asked := false
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil
		}
		tc, err := tls.Dial("tcp", s.secure, conf)
		if err != nil {
			t.Fatal(err)
		}
		got := tc.ConnectionState().NegotiatedProtocol
		if slices.Contains(protos, "h2") {
			if got != "h2" {
				t.Errorf("%v: got %q, what a browser prefers is better", protos, got)
			}
		} else if data, err := io.ReadAll(tc); got != protos[0] || err != nil || string(data) != got+" "+tc.LocalAddr().String() {
			t.Errorf("%v: got %q %q, %v", protos, got, data, err)
		}
		if asked {
			t.Errorf("%v: client was asked for a certificate", protos)
		}
		tc.Close()
	}
	conf := s.ca.ClientConfig("mx.example")
	conf.NextProtos = []string{"pop3"}
	if tc, err := tls.Dial("tcp", s.secure, conf); err == nil {
		tc.Close()
		t.Error("protocol that is not known: handshake was done, RFC 7301 §3.2")
	}
}

func TestBothVersionsOfHTTPAreServed(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{options: testServices})
	a := s.get("https://mx.example/x")
	if a.ProtoMajor != 2 || a.body != "account /x" {
		t.Errorf("got %s, %q", a.Proto, a.body)
	}
	c := s.client()
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	resp, err := c.Get("https://mx.example/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 1 {
		t.Errorf("got %s", resp.Proto)
	}
}

func TestPanicOfAHandlerIsAnswered(t *testing.T) {
	// Not parallel: it is counted.
	wantPanics += 2
	written := false
	s := newSite(t, siteOptions{options: func(o *Options) {
		o.Services = []Service{{Name: "bad", Path: func(config.Listener, config.WebPort) string { return "/" }, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if written {
				_, _ = io.WriteString(w, strings.Repeat("x", 10000))
			}
			panic("oops")
		})}}
	}})
	if a := s.get("https://mx.example/"); a.StatusCode != 500 || !strings.Contains(a.body, "(id ") {
		t.Errorf("got %s, %q", a.Status, a.body)
	}
	written = true
	resp, err := s.client().Get("https://mx.example/")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("response that was cut short seems to be complete")
	}
}

func TestShutdownWaitsForResponsesAndEndsThoseThatDoNotEnd(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 2)
	release := make(chan struct{})
	s := newSite(t, siteOptions{options: func(o *Options) {
		o.Services = []Service{{Name: "slow", Path: func(config.Listener, config.WebPort) string { return "/" }, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			<-release
			_, _ = io.WriteString(w, "done")
		})}}
	}})
	var wg sync.WaitGroup
	wg.Go(func() {
		if a := s.get("https://mx.example/"); a.body != "done" {
			t.Errorf("got %q", a.body)
		}
	})
	<-begun
	done := make(chan error)
	go func() { done <- s.srv.Shutdown(t.Context()) }()
	s.served.Wait() // No more connections are taken.
	close(release)
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	wg.Wait()
}
