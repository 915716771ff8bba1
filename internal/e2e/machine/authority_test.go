//go:build linux

package machine

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"testing"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
)

// A certAuthority is a pebble under the name of the authority that quickstart configures.
type certAuthority struct {
	*netns.Host
	ca      *testkit.CA
	pebble  *testkit.Pebble
	trusted string // Certificates of authorities, in PEM: of what pebble makes, and of its HTTPS.
}

func (w *world) startAuthority(t *testing.T, h *netns.Host) *certAuthority {
	t.Helper()
	a := &certAuthority{Host: h, ca: testkit.NewCA(t)}
	dial := func(_ context.Context, _, addr string) (net.Conn, error) { return h.Dial(t, addr) }
	h.Do(t, func() {
		a.pebble = testkit.StartPebble(t, testkit.PebbleOptions{DNS: w.resolver() + ":53", HTTPPort: 80, TLSPort: 443})
		a.trusted = string(a.pebble.RootsPEM(t, dial))
	})
	a.trusted += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.ca.Cert.Raw}))

	// What it answers with has the name that it was asked under, so nothing else is to be
	// changed for it to be at the URL of another authority.
	target, err := url.Parse(a.pebble.Directory)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			if r.In.URL.Path == "/directory" {
				r.Out.URL.Path = target.Path
			}
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DialContext: dial, TLSClientConfig: a.pebble.CA.ClientConfig("localhost")},
		ErrorLog:  log.New(io.Discard, "", 0), // The client has the error.
	}
	cert := a.ca.Issue(t, testkit.ECDSA, authority)
	srv := &http.Server{Handler: proxy, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{}, 2)
	for _, ip := range []string{h.IP4(), h.IP6()} {
		l := h.Listen(t, net.JoinHostPort(ip, "443"))
		go func() {
			_ = srv.ServeTLS(l, "", "") // Until it is closed.
			done <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		<-done
	})
	return a
}

// block keeps the authority from connecting to a port, or lets it again.
func (a *certAuthority) block(t testing.TB, port int, blocked bool) {
	t.Helper()
	verb := "add"
	if !blocked {
		verb = "del"
	}
	for _, family := range []string{"-4", "-6"} {
		cmd := exec.Command("ip", family, "rule", verb, "priority", fmt.Sprint(port), "ipproto", "tcp", "dport", fmt.Sprint(port), "prohibit")
		a.Do(t, func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("ip rule: %v\n%s", err, out)
			}
		})
	}
}
