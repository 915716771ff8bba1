package e2e

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
)

// webConfig is a mox.conf with all that is served with HTTP on two ports. It has verbs
// for ports: for HTTP, and three times that for HTTPS, and for monitoring.
const webConfig = `DataDir: data
LogLevel: debug
User: root
Hostname: mx.mail.example
Listeners:
	public:
		IPs:
			- 127.0.0.1
		TLS:
			KeyCerts:
				-
					CertFile: cert.pem
					KeyFile: key.pem
		IMAPS:
			Enabled: true
			Port: %s
			EnabledOnHTTPS: true
		Submissions:
			Enabled: true
			Port: %s
			EnabledOnHTTPS: true
		AutoconfigHTTPS:
			Enabled: true
			Port: %[4]s
		MTASTSHTTPS:
			Enabled: true
			Port: %[4]s
		WebserverHTTP:
			Enabled: true
			Port: %[3]s
		WebserverHTTPS:
			Enabled: true
			Port: %[4]s
		MetricsHTTP:
			Enabled: true
			Port: %[5]s
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

// webDomains has verbs for a directory and a URL.
const webDomains = `Domains:
	mail.example:
		MTASTS:
			PolicyID: 1
			Mode: enforce
			MaxAge: 24h
Accounts:
	ann:
		Domain: mail.example
		Destinations:
			ann@mail.example: nil
WebDomainRedirects:
	www.site.example: site.example
WebHandlers:
	-
		LogName: app
		Domain: site.example
		PathRegexp: ^/app/
		WebForward:
			StripPath: true
			URL: %[2]s
	-
		LogName: files
		Domain: site.example
		PathRegexp: ^/
		Compress: true
		WebStatic:
			Root: %[1]s
			ListFiles: true
`

// web is a running server for the web.
type web struct {
	t                         *testing.T
	dir, cacert               string
	plain, secure, monitoring string // Ports.
	ca                        *testkit.CA
	conf                      string
	process                   *testkit.Process
}

var webNames = []string{"mx.mail.example", "autoconfig.mail.example", "mta-sts.mail.example", "mail.example", "site.example", "www.site.example"}

// startWeb starts a server that has files, and forwards to a backend.
func startWeb(t *testing.T, backend string) *web {
	t.Helper()
	w := &web{t: t, plain: testkit.FreePort(t), secure: testkit.FreePort(t), monitoring: testkit.FreePort(t), ca: testkit.NewCA(t)}
	w.dir = testkit.Dir(t, map[string]string{
		"site/index.html":    "<p>home\n",
		"site/large.txt":     strings.Repeat("all work and no play\n", 1000),
		"site/files/one.txt": "one\n",
		"ca.pem":             string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Cert.Raw})),
		"mox.conf":           fmt.Sprintf(webConfig, testkit.FreePort(t), testkit.FreePort(t), w.plain, w.secure, w.monitoring),
	})
	w.cacert = filepath.Join(w.dir, "ca.pem")
	cert, key := w.ca.WritePEM(t, t.TempDir(), w.ca.Issue(t, testkit.ECDSA, webNames...))
	for from, to := range map[string]string{cert: "cert.pem", key: "key.pem"} {
		if err := os.WriteFile(filepath.Join(w.dir, to), testkit.ReadFile(t, from), 0600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "domains.conf"), fmt.Appendf(nil, webDomains, filepath.Join(w.dir, "site"), backend), 0600); err != nil {
		t.Fatal(err)
	}
	w.conf = filepath.Join(w.dir, "mox.conf")
	if out, code := mox(t, "-config", w.conf, "config", "test"); code != 0 {
		t.Fatalf("config test: %s", out)
	}
	w.process = testkit.Start(t, exec.Command(testkit.Mox(t), "-config", w.conf, "serve"))
	w.process.WaitLine("ready to serve")
	t.Cleanup(func() { _ = w.process.Stop() })
	return w
}

// curl runs curl, which finds all names at the server, and returns its output.
func (w *web) curl(args ...string) string {
	w.t.Helper()
	all := []string{"--silent", "--show-error", "--max-time", "60", "--cacert", w.cacert}
	for _, name := range webNames {
		for _, port := range []string{w.plain, w.secure} {
			all = append(all, "--resolve", name+":"+port+":127.0.0.1")
		}
	}
	out, err := exec.Command(testkit.Tool(w.t, "curl"), append(all, args...)...).CombinedOutput()
	if err != nil {
		w.t.Errorf("curl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// counted waits until metrics have a text. A request is counted when it is over, which a
// client may know before.
func (w *web) counted(text string) {
	w.t.Helper()
	poll(w.t, "metrics with "+text, func() bool {
		return strings.Contains(w.curl("http://127.0.0.1:"+w.monitoring+"/metrics"), text)
	})
}

// url returns a URL with TLS.
func (w *web) url(host, path string) string {
	return "https://" + host + ":" + w.secure + path
}

func TestServeAnswersClientsWithHTTP(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s from %s via %s: %s", r.Method, r.URL, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), body)
	}))
	t.Cleanup(backend.Close)
	w := startWeb(t, backend.URL+"/base")
	want := func(what, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %q, expected %q", what, got, want)
		}
	}
	want("autoconfig", w.curl(w.url("autoconfig.mail.example", "/mail/config-v1.1.xml?emailaddress=ann@mail.example")), "<username>ann@mail.example</username>")
	want("autoconfig of the domain", w.curl(w.url("mail.example", "/.well-known/autoconfig/mail/config-v1.1.xml")), "<clientConfig")
	want("policy", w.curl(w.url("mta-sts.mail.example", "/.well-known/mta-sts.txt")), "version: STSv1\r\nmode: enforce\r\nmx: mx.mail.example\r\n")
	want("file", w.curl(w.url("site.example", "/")), "<p>home\n")
	for _, v := range []string{"1.1", "2"} {
		want("http/"+v, w.curl("--http"+v, "--write-out", " %{http_version}", w.url("site.example", "/files/one.txt")), "one\n "+v)
	}
	want("list", w.curl(w.url("site.example", "/files/")), `<a href="./one.txt">one.txt</a>`)
	want("compressed", w.curl("--compressed", "--write-out", "%{size_download} %{content_type} %header{content-encoding}", "--output", "/dev/null", w.url("site.example", "/large.txt")), "text/plain; charset=utf-8 gzip")
	if got := w.curl("--compressed", w.url("site.example", "/large.txt")); len(got) != 21000 {
		t.Errorf("compressed: got %d octets", len(got))
	}
	want("range", w.curl("--range", "4-7", w.url("site.example", "/large.txt")), "work")
	want("path", w.curl("--path-as-is", "--output", "/dev/null", "--write-out", "%{http_code}", w.url("site.example", "/files/../../mox.conf")), "404")
	want("forward", w.curl("--data", "hello", w.url("site.example", "/app/x?y=1")), "POST /base/x?y=1 from 127.0.0.1 via https: hello")
	want("redirect to https", w.curl("--write-out", "%{http_code} %{redirect_url}", "--output", "/dev/null", "http://site.example:"+w.plain+"/files/?a"), "308 "+w.url("site.example", "/files/?a"))
	want("redirect of domain", w.curl("--write-out", "%{http_code} %{redirect_url}", "--output", "/dev/null", w.url("www.site.example", "/x")), "308 https://site.example/x")
	want("health", w.curl("http://127.0.0.1:"+w.monitoring+"/healthz"), "ok\n")
	w.counted(`mox_httpserver_response_duration_seconds_count{code="200",handler="files",method="get",proto="https"}`)
	w.counted(`mox_httpserver_request_duration_seconds_count{code="308",handler="(domainredirect)",method="get",proto="https"} 1`)

	// A compressed copy is kept of the file, once that is no longer new.
	for end := time.Now().Add(time.Minute); ; {
		if l, err := filepath.Glob(filepath.Join(w.dir, "data/tmp/httpstaticcompresscache/*.gz")); len(l) == 1 {
			break
		} else if err != nil || len(l) > 1 || time.Now().After(end) {
			t.Fatalf("copies: %q, %v", l, err)
		}
		w.curl("--compressed", "--output", "/dev/null", w.url("site.example", "/large.txt"))
	}
	if got := w.curl("--compressed", w.url("site.example", "/large.txt")); len(got) != 21000 {
		t.Errorf("copy: got %d octets", len(got))
	}
	_ = w.process.Stop()
	if out, code := mox(t, "verifydata", filepath.Join(w.dir, "data")); code != 0 {
		t.Errorf("verifydata: %s", out)
	}
}

func TestServeHasIMAPAndSubmissionOnThePortForHTTPS(t *testing.T) {
	t.Parallel()
	w := startWeb(t, "http://127.0.0.1:1")
	for proto, want := range map[string]string{"imap": "* OK ", "smtp": "220 mx.mail.example "} {
		cmd := exec.Command(testkit.Tool(t, "openssl"), "s_client", "-connect", "127.0.0.1:"+w.secure, "-servername", "mx.mail.example", "-alpn", proto,
			"-CAfile", w.cacert, "-verify_return_error", "-quiet")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		p := testkit.Start(t, cmd)
		p.WaitLine("^" + strings.ReplaceAll(want, "*", `\*`))
		for _, line := range map[string][]string{"imap": {"a logout"}, "smtp": {"EHLO me.example", "QUIT"}}[proto] {
			if _, err := io.WriteString(in, line+"\r\n"); err != nil {
				t.Error(err)
			}
		}
		p.WaitLine(map[string]string{"imap": "^a OK", "smtp": "^221 "}[proto])
		if strings.Contains(p.Output(), "STARTTLS") {
			t.Errorf("%s: STARTTLS is offered within TLS:\n%s", proto, p.Output())
		}
		if proto == "smtp" && !strings.Contains(p.Output(), "AUTH ") {
			t.Errorf("logging in is not offered:\n%s", p.Output())
		}
		_ = in.Close()
	}
	conf := w.ca.ClientConfig("mx.mail.example")
	conf.NextProtos = []string{"imap"}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		t.Error("client was asked for a certificate")
		return &tls.Certificate{}, nil
	}
	tc, err := tls.Dial("tcp", "127.0.0.1:"+w.secure, conf)
	if err != nil {
		t.Fatal(err)
	}
	tc.Close()
}

// echoWebsockets is a server and a client of the websockets of Python.
const echoWebsockets = `
import asyncio, ssl, sys, websockets
async def echo(ws):
    await ws.send("hello from " + ws.request_headers["X-Forwarded-Proto"])
    async for message in ws:
        await ws.send(message)
async def serve():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[2]), max_size=None):
        print("serving", flush=True)
        await asyncio.Future()
async def ask():
    ctx = ssl.create_default_context(cafile=sys.argv[3])
    async with websockets.connect(sys.argv[2], ssl=ctx, host="127.0.0.1", server_hostname="site.example", max_size=None) as ws:
        print(await ws.recv())
        for message in ["text", b"x" * 3000000]:
            await ws.send(message)
            assert await ws.recv() == message
        await (await ws.ping())
    print("closed", ws.close_code)
asyncio.run({"serve": serve, "ask": ask}[sys.argv[1]]())
`

func TestServeForwardsWebSockets(t *testing.T) {
	t.Parallel()
	python := testkit.Python(t, "websockets")
	port := testkit.FreePort(t)
	p := testkit.Start(t, exec.Command(python, "-c", echoWebsockets, "serve", port))
	p.WaitLine("serving")
	w := startWeb(t, "http://127.0.0.1:"+port)
	out, err := exec.Command(python, "-c", echoWebsockets, "ask", "wss://site.example:"+w.secure+"/app/x", w.cacert).CombinedOutput()
	if got := string(out); err != nil || got != "hello from https\nclosed 1000\n" {
		t.Errorf("got %v\n%s", err, got)
	}
	w.counted(`mox_httpserver_response_duration_seconds_count{code="101",handler="app",method="get",proto="wss"} 1`)
}

// With HTTP-01 alone there are certificates for all names that are served, also for
// those of a domain that is added while the server runs.
func TestServeGetsCertificatesForAllThatItServes(t *testing.T) {
	t.Parallel()
	resolver := testkit.NewDNS(t, testkit.DNSOptions{Zone: "*.mail.example. A 127.0.0.1\nsite.example. A 127.0.0.1\n*.site.example. A 127.0.0.1\n*.new.example. A 127.0.0.1\n"}).Addr
	w := &web{t: t, plain: testkit.FreePort(t), secure: testkit.FreePort(t), monitoring: testkit.FreePort(t)}
	var httpPort int
	if _, err := fmt.Sscan(w.plain, &httpPort); err != nil {
		t.Fatal(err)
	}
	pebble := testkit.StartPebble(t, testkit.PebbleOptions{DNS: resolver, HTTPPort: httpPort, TLSPort: 1})
	text := fmt.Sprintf(webConfig, testkit.FreePort(t), testkit.FreePort(t), w.plain, w.secure, w.monitoring)
	text = strings.Replace(text, "\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: cert.pem\n\t\t\t\t\tKeyFile: key.pem\n", "\t\t\tACME: pebble\n", 1)
	text += fmt.Sprintf("DNSResolver:\n\t- %s\nTLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- ca.pem\nACME:\n\tpebble:\n\t\tDirectoryURL: %s\n\t\tContactEmail: ann@mail.example\n\t\tPort: %s\n", resolver, pebble.Directory, w.secure)
	w.dir = testkit.Dir(t, map[string]string{
		"mox.conf":        text,
		"domains.conf":    fmt.Sprintf(webDomains, "site", "http://127.0.0.1:1"),
		"site/index.html": "<p>home\n",
		"ca.pem":          string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pebble.CA.Cert.Raw})),
	})
	p := testkit.Start(t, exec.Command(testkit.Mox(t), "-config", filepath.Join(w.dir, "mox.conf"), "serve"))
	p.WaitLine("ready to serve")
	t.Cleanup(func() { _ = p.Stop() })
	roots := pebble.Roots(t)
	verified := func(name string) {
		t.Helper()
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name, NextProtos: []string{"h2"}}}
		var err error
		for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			var nc net.Conn
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			nc, err = dialer.DialContext(ctx, "tcp", "127.0.0.1:"+w.secure)
			cancel()
			if err == nil {
				nc.Close()
				return
			}
		}
		t.Errorf("%s: %v", name, err)
	}
	for _, name := range []string{"mx.mail.example", "autoconfig.mail.example", "mta-sts.mail.example", "site.example", "www.site.example"} {
		verified(name)
	}
	if _, err := tls.Dial("tcp", "127.0.0.1:"+w.secure, &tls.Config{RootCAs: roots, ServerName: "autoconfig.other.example"}); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("other name: got %v", err)
	}
	path := filepath.Join(w.dir, "domains.conf")
	conf := strings.Replace(string(testkit.ReadFile(t, path)), "Domains:\n", "Domains:\n\tnew.example: nil\n", 1)
	if err := os.WriteFile(path, []byte(conf), 0600); err != nil {
		t.Fatal(err)
	}
	verified("autoconfig.new.example")
	if out := p.Output(); strings.Contains(out, "panic") {
		t.Error("panic in log")
	}
}
