package certs

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mox/config"
	"mox/internal/testkit"
)

// tsigName and tsigKey are those of a key for updates of DNS.
const (
	tsigName = "mox-key."
	tsigKey  = "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="
)

// updateDNS is a name server that takes signed updates with TXT records.
type updateDNS struct {
	t  *testing.T
	mu sync.Mutex

	txt     map[string][]string // By name.
	updates int
}

func (u *updateDNS) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	u.mu.Lock()
	defer u.mu.Unlock()
	resp := new(dns.Msg)
	resp.SetReply(req)
	resp.Authoritative, resp.RecursionAvailable = true, true
	switch {
	case req.Opcode == dns.OpcodeUpdate && (req.IsTsig() == nil || w.TsigStatus() != nil):
		resp.Rcode = dns.RcodeRefused
	case req.Opcode == dns.OpcodeUpdate:
		for _, rr := range req.Ns {
			txt, ok := rr.(*dns.TXT)
			name := strings.ToLower(rr.Header().Name)
			if ok && txt.Hdr.Class == dns.ClassINET {
				u.txt[name] = append(u.txt[name], strings.Join(txt.Txt, ""))
			} else {
				delete(u.txt, name)
			}
		}
		u.updates++
	default:
		u.answer(resp, req.Question[0])
	}
	if ts := req.IsTsig(); ts != nil {
		resp.SetTsig(ts.Hdr.Name, ts.Algorithm, 300, time.Now().Unix())
	}
	if err := w.WriteMsg(resp); err != nil {
		u.t.Logf("writing dns response: %v", err)
	}
}

func (u *updateDNS) answer(resp *dns.Msg, q dns.Question) {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: testHost + ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns." + testHost + ".", Mbox: "x."}
	switch {
	case q.Qtype == dns.TypeTXT:
		for _, s := range u.txt[strings.ToLower(q.Name)] {
			resp.Answer = append(resp.Answer, &dns.TXT{Hdr: h, Txt: []string{s}})
		}
	case q.Qtype == dns.TypeSOA && strings.EqualFold(q.Name, testHost+"."):
		resp.Answer = []dns.RR{soa}
	}
	if len(resp.Answer) == 0 {
		resp.Ns = []dns.RR{soa}
	}
}

// startUpdateDNS starts a name server that takes updates.
func startUpdateDNS(t *testing.T) (*updateDNS, string) {
	t.Helper()
	u := &updateDNS{t: t, txt: map[string][]string{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*dns.Server{{Listener: ln, Handler: u}, {PacketConn: pc, Handler: u}} {
		srv.TsigSecret = map[string]string{tsigName: tsigKey}
		srv.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() { _ = srv.ActivateAndServe() }() // The error is that of closing.
		<-started
		t.Cleanup(func() { _ = srv.Shutdown() })
	}
	return u, ln.Addr().String()
}

func TestCertificateWithDNS01AndUpdatesOfRFC2136(t *testing.T) {
	t.Parallel()
	u, addr := startUpdateDNS(t)
	keyFile := filepath.Join(t.TempDir(), "tsig")
	if err := os.WriteFile(keyFile, []byte(tsigKey+"\n"), 0600); err != nil {
		t.Fatal(err)
	}
	s := newSetup(t, setupOptions{
		pebble: testkit.PebbleOptions{DNS: addr},
		acme:   config.ACME{DNS01: &config.DNS01{Provider: config.ProviderRFC2136, Server: addr, KeyName: "mox-key", KeyAlgorithm: "hmac-sha256", KeyFile: keyFile}},
		noTLS:  true,
	})
	s.Start()
	s.obtained(t, P256)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.updates < 2 || len(u.txt) != 0 {
		t.Errorf("%d updates, records left: %v", u.updates, u.txt)
	}
}

func TestProvidersTakeTheirSecretFromAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("secret\n"), 0600); err != nil {
		t.Fatal(err)
	}
	for name, secrets := range map[string]int{
		config.ProviderCloudflare: 1, config.ProviderDeSEC: 1, config.ProviderGandi: 1, config.ProviderHetzner: 1,
		config.ProviderPorkbun: 2, config.ProviderRoute53: 2, config.ProviderOVH: 4,
	} {
		file := filepath.Join(t.TempDir(), name)
		for n := 1; n <= 4; n++ {
			if err := os.WriteFile(file, []byte(strings.Repeat("secret\n", n)), 0600); err != nil {
				t.Fatal(err)
			}
			if p, err := NewDNSProvider(config.DNS01{Provider: name, TokenFile: file}, os.ReadFile); (err == nil && p != nil) != (n == secrets) {
				t.Errorf("%s with %d secrets: %v, %v", name, n, p, err)
			}
		}
	}
	if _, err := NewDNSProvider(config.DNS01{Provider: "other", TokenFile: path}, os.ReadFile); err == nil {
		t.Error("unknown provider: no error")
	}
	if _, err := NewDNSProvider(config.DNS01{Provider: config.ProviderGandi, TokenFile: path + "x"}, os.ReadFile); err == nil {
		t.Error("missing file: no error")
	}
}
