//go:build linux

package internet

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
)

// patience is how long a test waits for what should come at once.
const patience = 60 * time.Second

// needInternet skips the test, or fails it in CI, if there cannot be an internet here.
func needInternet(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out of the short tests")
	}
	netns.Need(t)
	for _, tool := range []string{"unbound", "postfix", "exim4", "microsocks"} {
		testkit.Tool(t, tool)
	}
}

// Networks of the internet. A host has the same number in both.
const (
	network4 = "10.77.0."
	network6 = "fd77::"
)

// Numbers of hosts.
const (
	numberAlpha      = 10
	numberBeta       = 20
	numberBetaPlain  = 21 // Of mox beta too, without STARTTLS.
	numberBetaOld    = 22 // Of mox beta too, without REQUIRETLS.
	numberPostfix    = 30
	numberExim       = 40
	numberDNS        = 53
	numberWeb        = 80
	numberSocks      = 108
	numberAbsent     = 199 // Of nobody.
	dnsPort          = "53"
	zoneSigned       = "example"  // With DNSSEC.
	zoneUnsigned     = "unsigned" // Without.
	zoneReverse      = "arpa"
	postmasterNobody = "nobody" // A localpart that no server knows.
)

// A world is the internet. All but its constructor can be used at the same time.
type world struct {
	ca      *testkit.CA
	cable   *netns.Cable
	alpha   *mox // Sends in most tests.
	beta    *mox // Receives in most tests.
	postfix *peer
	exim    *peer
	web     *netns.Host

	mu        sync.Mutex
	authority *testkit.Authority
	records   map[string]string // By zone.
	policies  map[string]string // MTA-STS policies, by name of the policy host.
	certs     map[string]*tls.Certificate
	wanted    []wantedResults
}

// newWorld makes the internet, with all its servers running.
func newWorld(t *testing.T) *world {
	t.Helper()
	needInternet(t)
	w := &world{
		ca:       testkit.NewCA(t),
		cable:    netns.NewCable(t, network4, network6),
		records:  map[string]string{},
		policies: map[string]string{},
		certs:    map[string]*tls.Certificate{},
	}
	w.startDNS(t)
	w.startWeb(t)
	socks := w.cable.Host(t, numberSocks)
	socks.Start(t, exec.Command(testkit.Tool(t, "microsocks"), "-i", socks.IP4(), "-p", "1080", "-u", "mail", "-P", "through the proxy"))
	w.postfix = w.startPostfix(t)
	w.exim = w.startExim(t)
	w.beta = w.startMox(t, "beta", numberBeta, numberBetaPlain, numberBetaOld)
	w.alpha = w.startMox(t, "alpha", numberAlpha)
	return w
}

// startDNS starts a resolver, and the server it asks, on the same host.
func (w *world) startDNS(t *testing.T) {
	t.Helper()
	h := w.cable.Host(t, numberDNS)
	h.Do(t, func() {
		w.authority = testkit.NewAuthority(t,
			testkit.SignedZone{Origin: zoneSigned, Faults: map[string]testkit.SignatureFault{"_25._tcp.mx.dane-bogus.example": testkit.SignatureForged}},
			testkit.SignedZone{Origin: zoneReverse},
			testkit.SignedZone{Origin: zoneUnsigned, Unsigned: true})
		testkit.StartUnbound(t, testkit.UnboundOptions{Authority: w.authority, Addrs: []string{h.IP4(), h.IP6()}})
	})
	for _, server := range []struct {
		name   string
		number int
	}{{"alpha", numberAlpha}, {"beta", numberBeta}, {"postfix", numberPostfix}, {"exim", numberExim}} {
		domain := server.name + ".example"
		w.publish(t, fmt.Sprintf("%s MX 10 mx.%s", domain, domain), fmt.Sprintf(`%s TXT "v=spf1 mx -all"`, domain), fmt.Sprintf(`mx.%s TXT "v=spf1 a -all"`, domain))
		w.publishHost(t, "mx."+domain, server.number)
		w.publishReverse(t, "mx."+domain, server.number)
	}
	w.publishReverse(t, "proxy.example", numberSocks)
	w.publishHost(t, "proxy.example", numberSocks)
}

// publish adds records, in the format of zone files.
func (w *world) publish(t testing.TB, lines ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := map[string]bool{}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		zone := name[strings.LastIndexByte(name, '.')+1:]
		w.records[zone] += line + "\n"
		changed[zone] = true
	}
	for zone := range changed {
		w.authority.SetRecords(t, zone, w.records[zone])
	}
}

// replace replaces a text in the records of a zone. It must be in there once.
func (w *world) replace(t testing.TB, zone, from, to string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Count(w.records[zone], from) != 1 {
		t.Fatalf("%q is not once in the records of %s", from, zone)
	}
	w.records[zone] = strings.Replace(w.records[zone], from, to, 1)
	w.authority.SetRecords(t, zone, w.records[zone])
}

// publishHost adds the addresses of a host under a name.
func (w *world) publishHost(t testing.TB, name string, number int) {
	t.Helper()
	w.publish(t, fmt.Sprintf("%s A %s%d", name, network4, number), fmt.Sprintf("%s AAAA %s%d", name, network6, number))
}

// publishReverse adds the name for the addresses of a host.
func (w *world) publishReverse(t testing.TB, name string, number int) {
	t.Helper()
	ip := net.ParseIP(fmt.Sprintf("%s%d", network6, number)).To16()
	reverse := ""
	for _, b := range ip {
		reverse = fmt.Sprintf("%x.%x.", b&15, b>>4) + reverse
	}
	w.publish(t, fmt.Sprintf("%d.0.77.10.in-addr.arpa PTR %s", number, name), fmt.Sprintf("%sip6.arpa PTR %s", reverse, name))
}

// publishSite adds the usual records of a domain whose mail is for mox beta. Others, with
// addresses, take the place of those of its only host.
func (w *world) publishSite(t testing.TB, domain string, others ...string) {
	t.Helper()
	w.publish(t, fmt.Sprintf("%s MX 10 mx.%s", domain, domain))
	if len(others) == 0 {
		w.publishHost(t, "mx."+domain, numberBeta)
	}
	w.publish(t, others...)
}

// certificate returns a certificate for names, the same for the same names.
func (w *world) certificate(t testing.TB, names ...string) *tls.Certificate {
	t.Helper()
	key := strings.Join(names, " ")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.certs[key] == nil {
		c := w.ca.Issue(t, testkit.ECDSA, names...)
		w.certs[key] = &c
	}
	return w.certs[key]
}

// startWeb starts the web server for MTA-STS policies.
func (w *world) startWeb(t *testing.T) {
	t.Helper()
	w.web = w.cable.Host(t, numberWeb)
	l := w.web.Listen(t, net.JoinHostPort(w.web.IP4(), "443"))
	srv := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			text := w.policies[r.Host]
			w.mu.Unlock()
			if r.URL.Path != "/.well-known/mta-sts.txt" || text == "" {
				http.NotFound(rw, r)
				return
			}
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = rw.Write([]byte(text)) // The client checks it.
		}),
		TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if c := w.certs[hello.ServerName]; c != nil {
				return c, nil
			}
			return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
		}},
		ReadHeaderTimeout: patience,
		ErrorLog:          log.New(io.Discard, "", 0), // Handshakes fail, on purpose.
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ServeTLS(l, "", "") // Until it is closed.
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
}

// publishPolicy adds an MTA-STS record for a domain, and the policy, which lacks the
// version. An empty one is not there.
func (w *world) publishPolicy(t testing.TB, domain, policy string) {
	t.Helper()
	name := "mta-sts." + domain
	w.certificate(t, name)
	if policy != "" {
		w.mu.Lock()
		w.policies[name] = "version: STSv1\r\n" + policy + "max_age: 86400\r\n"
		w.mu.Unlock()
	}
	w.publish(t, fmt.Sprintf("%s A %s", name, w.web.IP4()), fmt.Sprintf(`_mta-sts.%s TXT "v=STSv1; id=1;"`, domain))
}

// poll calls fn until it returns true, for what has no event to wait for.
func poll(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !fn(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// traceInterval is how long to wait before a command is run again.
const traceInterval = 200 * time.Millisecond

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	t.Cleanup(cancel)
	return ctx
}
