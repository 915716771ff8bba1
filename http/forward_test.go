package http

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
)

// forwardSite forwards what is below /app/ to a server.
func forwardSite(t *testing.T, backend http.Handler, change func(*config.WebHandlerFields)) *site {
	t.Helper()
	srv := httptest.NewServer(backend)
	t.Cleanup(srv.Close)
	return newSite(t, siteOptions{
		listener: func(l *config.ListenerFields) {
			l.AutoconfigHTTPS.Forwarded = true
			l.ForwardedNetworks = []string{"127.0.0.0/8", "10.0.0.0/8"}
		},
		dynamic: func(d *config.Dynamic) {
			h := config.WebHandlerFields{LogName: "app", Domain: "site.example", PathRegexp: "^/app/", DontRedirectPlainHTTP: true, WebForward: &config.WebForwardFields{
				URL: srv.URL, ResponseHeaders: map[string]string{"Server": "hidden"},
			}}
			if change != nil {
				change(&h)
			}
			d.WebHandlers = []config.WebHandlerFields{h}
		},
	})
}

// dump answers with the request as it came.
var dump = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	w.Header().Set("Server", "backend")
	fmt.Fprintf(w, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(w, "%s: %s\n", name, strings.Join(r.Header[name], " | "))
	}
	fmt.Fprintf(w, "\n%s", body)
})

func TestRequestsAreForwarded(t *testing.T) {
	t.Parallel()
	s := forwardSite(t, dump, nil)
	a := s.do("POST", "https://site.example/app/a%2Fb/c?x=1;y=%zz&z", "body",
		"User-Agent: test", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "Forwarded: for=192.0.2.9", "X-Forwarded-For: 192.0.2.1, 198.51.100.7, 10.1.2.3",
		"X-Forwarded-Proto: https", "Te: trailers", "Cookie: a=b")
	want := `POST /app/a%2Fb/c?x=1;y=%zz&z HTTP/1.1
Host: site.example
Content-Length: 4
Cookie: a=b
Te: trailers
User-Agent: test
X-Forwarded-For: 198.51.100.7
X-Forwarded-Host: site.example
X-Forwarded-Proto: https

body`
	if a.StatusCode != 200 || a.body != want {
		t.Errorf("got %s\n%s\nexpected\n%s", a.Status, a.body, want)
	}
	if a.Header.Get("Server") != "hidden" {
		t.Errorf("got %v", a.Header)
	}
	// The port without TLS does not believe what is told about the client.
	a = s.get("http://site.example/app/x", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "User-Agent: ")
	if !strings.Contains(a.body, "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: site.example\nX-Forwarded-Proto: http\n") || strings.Contains(a.body, "User-Agent") {
		t.Errorf("got\n%s", a.body)
	}
	// What is about the connection with us stays here.
	a = s.raw("GET /app/ HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade, X-Secret\r\nX-Secret: 1\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\nTrailer: y\r\n\r\n")
	if strings.Contains(a.body, "X-Secret") || strings.Contains(a.body, "Upgrade") || strings.Contains(a.body, "Connection") || strings.Contains(a.body, "Authorization") {
		t.Errorf("got\n%s", a.body)
	}
	if a := s.get("https://site.example/other"); a.StatusCode != 404 {
		t.Errorf("got %s", a.Status)
	}
	if err := s.srv.Shutdown(t.Context()); err != nil { // Requests are logged after their responses.
		t.Error(err)
	}
	if !strings.Contains(s.log.String(), "handler=app method=post") || !strings.Contains(s.log.String(), "clientip=198.51.100.7") {
		t.Error("not in log")
	}
}

func TestPathsAreRewrittenForTheOtherServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		strip           bool
		base, url, want string
	}{
		{false, "", "/app/x", "/app/x"},
		{false, "/", "/app/x", "/app/x"},
		{false, "/base", "/app/x", "/base/app/x"},
		{false, "/base/", "/app/x%2F%2e%2e%2Fy/", "/base/app/y/"},
		{false, "/b%2Fc/", "/app/x%2Fy", "/b%2Fc/app/x%2Fy"},
		{true, "", "/app/", "/"},
		{true, "", "/app/x", "/x"},
		{true, "/base", "/app/x", "/base/x"},
		{true, "/base/", "/app/x%2Fy%20z/", "/base/x%2Fy%20z/"},
		{true, "", "/%61pp/x%2Fy", "/x/y"}, // Where it begins is not where it matched.
		{true, "", "/app/../app/x", "/x"},
		{true, "", "/app//evil.example/", "/evil.example/"},
		{true, "", "/app/%2e%2e%2fapp/..%2f..%2fapp/x", "/x"},
		{true, "", "/app/%252e%252e/", "/%252e%252e/"},
		{true, "", "/app/%0d%0aX:%20y", "/%0d%0aX:%20y"},
	} {
		s := forwardSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }), func(h *config.WebHandlerFields) {
			h.WebForward.StripPath = tc.strip
			h.WebForward.URL += tc.base
		})
		if a := s.get("https://site.example" + tc.url); a.body != tc.want && !strings.EqualFold(a.body, tc.want) {
			t.Errorf("%v %q %q: got %q, expected %q", tc.strip, tc.base, tc.url, a.body, tc.want)
		}
	}
}

func TestSizeOfForwardedRequestsIsBounded(t *testing.T) {
	t.Parallel()
	s := forwardSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/app/cut" {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "cut")
			return
		}
		dump(w, r)
	}), func(h *config.WebHandlerFields) { h.WebForward.MaxBodySize = 1000 })
	if a := s.do("POST", "https://site.example/app/", strings.Repeat("x", 1000)); a.StatusCode != 200 {
		t.Errorf("got %s", a.Status)
	}
	if a := s.do("POST", "https://site.example/app/", strings.Repeat("x", 1001)); a.StatusCode != 413 {
		t.Errorf("got %s", a.Status)
	}
	chunked := "POST /app/ HTTP/1.1\r\nHost: site.example\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+strings.Repeat("x", 100)+"\r\n", 11) + "0\r\n\r\n"
	if a := s.raw(chunked); a.StatusCode != 413 {
		t.Errorf("chunked: got %s", a.Status)
	}
	resp, err := s.client().Get("https://site.example/app/cut")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("response that was cut short seems to be complete")
	}
	if a := s.get("https://site.example/app/"); a.StatusCode != 200 { // The server goes on.
		t.Errorf("got %s", a.Status)
	}
}

func TestTimeUntilAForwardedRequestIsAnsweredIsBounded(t *testing.T) {
	t.Parallel()
	const timeout = 7 * time.Second
	lf := config.ListenerFields{IPs: []string{"127.0.0.1"}}
	lf.WebserverHTTP.Enabled = true
	conf, err := config.New(config.Static{
		DataDir: "data", LogLevel: "info", Hostname: "mx.example",
		Listeners:  map[string]config.ListenerFields{"public": lf},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}, config.Dynamic{
		Domains:  map[string]config.DomainFields{"mail.example": {}},
		Accounts: map[string]config.AccountFields{"ann": {Domain: "mail.example"}},
		WebHandlers: []config.WebHandlerFields{{
			Domain: "site.example", PathRegexp: "^/", DontRedirectPlainHTTP: true,
			WebForward: &config.WebForwardFields{URL: "http://127.0.0.1/", Timeout: timeout},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Hour) // What has begun may take its time.
			_, _ = io.WriteString(w, "late")
		})}
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		done := make(chan error)
		go func() { done <- backend.Serve(l) }()
		srv := New(Options{Config: config.NewHolder(conf)})
		srv.transports.get(timeout).DialContext = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			l.conns <- server
			return client, nil
		}
		p := &port{srv: srv, ListenerOptions: ListenerOptions{Listener: conf.Listeners[0], Port: config.WebPort{Port: 80, Services: []string{"WebserverHTTP"}}}}
		for _, tc := range []struct {
			path string
			code int
			body string
			took time.Duration
		}{
			{"/slow", 504, "504 - server behind this one did not answer in time", timeout},
			{"/late", 200, "late", time.Hour},
		} {
			rec := httptest.NewRecorder()
			begin := time.Now()
			p.ServeHTTP(rec, httptest.NewRequest("GET", "http://site.example"+tc.path, nil))
			if took := time.Since(begin); rec.Code != tc.code || !strings.HasPrefix(rec.Body.String(), tc.body) || took != tc.took {
				t.Errorf("%s: got %d %q after %v", tc.path, rec.Code, rec.Body, took)
			}
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := backend.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-done
	})
}

func TestServerThatIsNotThereIsReported(t *testing.T) {
	t.Parallel()
	s := forwardSite(t, dump, func(h *config.WebHandlerFields) { h.WebForward.URL = "http://127.0.0.1:1/" })
	if a := s.get("https://site.example/app/"); a.StatusCode != 502 || !strings.Contains(a.body, "(id ") || strings.Contains(a.body, "127.0.0.1") {
		t.Errorf("got %s %q", a.Status, a.body)
	}
	if !strings.Contains(s.log.String(), "level=ERROR msg=\"forwarding request\"") {
		t.Error("not in log")
	}
}

func TestCertificateOfTheOtherServerIsVerified(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(dump)
	t.Cleanup(srv.Close)
	s := forwardSite(t, dump, func(h *config.WebHandlerFields) { h.WebForward.URL = srv.URL })
	if a := s.get("https://site.example/app/"); a.StatusCode != 502 {
		t.Errorf("got %s %q", a.Status, a.body)
	}
}

func TestEventsAreForwardedAsTheyCome(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := forwardSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: x\n\n")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}), func(h *config.WebHandlerFields) { h.Compress = true })
	req, err := http.NewRequest("GET", "https://site.example/app/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := s.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for range 3 {
		for _, want := range []string{"data: x\n", "\n"} {
			if line, err := br.ReadString('\n'); line != want || err != nil {
				t.Fatalf("got %q, %v", line, err)
			}
		}
		next <- struct{}{}
	}
}

// websocket answers a request for a WebSocket and echoes what comes then.
var websocket = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Origin") != "https://site.example" {
		http.Error(w, "no websocket", http.StatusTeapot)
		return
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + websocketGUID))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	if r.URL.Path == "/app/wrong" {
		accept = "wrong"
	}
	nc, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer nc.Close()
	fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\nhello", accept)
	_, _ = io.Copy(nc, brw)
})

const websocketRequest = "GET /app/ HTTP/1.1\r\nHost: site.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nOrigin: https://site.example\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func TestWebSocketsAreForwarded(t *testing.T) {
	t.Parallel()
	s := forwardSite(t, websocket, func(h *config.WebHandlerFields) { h.Compress = true })
	nc, err := net.Dial("tcp", s.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, websocketRequest); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 §1.3.
		t.Fatalf("got %v, %v", resp, err)
	}
	for _, text := range []string{"hello", "\x81\x85mask12345", strings.Repeat("x", 100000)} {
		if text != "hello" {
			go func() { _, _ = io.WriteString(nc, text) }()
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != text {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	// Shutdown does not wait for it.
	if err := s.srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := br.ReadByte(); err == nil {
		t.Error("websocket is still open")
	}
}

func TestRequestsForWebSocketsAreChecked(t *testing.T) {
	t.Parallel()
	s := forwardSite(t, websocket, nil)
	for _, tc := range []struct {
		from, to string
		code     int
	}{
		{"Version: 13", "Version: 8", 400},
		{"Sec-WebSocket-Version: 13\r\n", "", 400},
		{"GET ", "POST ", 400},
		{"HTTP/1.1", "HTTP/1.0", 400},
		{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", 400},
		{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs", 400},
		{"\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n12345", 400},
		{"Upgrade: WebSocket", "Upgrade: h2c", 418}, // Goes on as a usual request.
		{"keep-alive, Upgrade", "keep-alive", 418},
		{"/app/", "/app/wrong", 502},
	} {
		if a := s.raw(strings.Replace(websocketRequest, tc.from, tc.to, 1)); a.StatusCode != tc.code {
			t.Errorf("%q: got %s, %q", tc.to, a.Status, a.body)
		}
	}
}

func TestClientThatGoesAwayEndsTheRequest(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	s := forwardSite(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	}), nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, "GET", "https://site.example/app/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := s.client().Do(req); err == nil {
		resp.Body.Close()
		t.Error("got a response")
	}
	<-ended
}
