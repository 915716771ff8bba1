package testkit

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A DNSFault is a way in which a DNS server fails for a name.
type DNSFault int

// Kinds of faults.
const (
	DNSServFail DNSFault = iota + 1 // Server failure.
	DNSRefused                      // The server refuses.
	DNSBogus                        // Server failure with the extended error that DNSSEC verification failed.
	DNSDrop                         // No answer.
)

// DNSOptions are for [NewDNS].
type DNSOptions struct {
	// Zone has records in the format of zone files, RFC 1035 §5. Names without a
	// trailing dot are absolute too, and the TTL can be left out:
	//
	//	example.org MX 10 mail.example.org
	//	*.wild.example.org A 10.0.0.1
	Zone string

	// Authentic sets the AD bit in answers, as a resolver does that has verified them
	// with DNSSEC, except for names that are or are below one in Insecure.
	Authentic bool
	Insecure  []string

	// Faults are for a name ("example.org") or a type at a name ("TXT example.org").
	Faults map[string]DNSFault
}

// A DNSServer is a recursive resolver that knows one zone text. It answers on UDP
// and TCP, and is safe for concurrent use.
type DNSServer struct {
	// Addr is the address with port, the same for UDP and TCP.
	Addr string

	mu      sync.Mutex // Guards what follows.
	opts    DNSOptions
	records map[string][]dns.RR // By lower-case name with trailing dot.
	queries []string
	asked   map[string]bool // Questions, by their client and id.
}

// NewDNS starts a DNS server that stops when the test ends.
func NewDNS(t testing.TB, opts DNSOptions) *DNSServer {
	t.Helper()
	s := &DNSServer{}
	s.Set(t, opts)
	s.Addr = serveDNS(t, s)
	return s
}

// serveDNS serves on UDP and TCP until the test ends, and returns the address.
func serveDNS(t testing.TB, h dns.Handler) string {
	t.Helper()
	pc, ln := listenBoth(t)
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: ln, Handler: h}} {
		started, done := make(chan struct{}), make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(done)
			// The error is about the sockets being closed.
			_ = srv.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			if err := srv.Shutdown(); err != nil {
				t.Errorf("stopping dns server: %v", err)
			}
			<-done
		})
	}
	return pc.LocalAddr().String()
}

// listenTries is how often a port that is free for UDP may be taken for TCP.
const listenTries = 50

// listenBoth returns sockets for UDP and TCP with the same port.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	var err error
	for range listenTries {
		var pc net.PacketConn
		var ln net.Listener
		if pc, ln, err = listenOn(0); err == nil {
			return pc, ln
		}
	}
	t.Fatalf("listening on the same udp and tcp port: %v", err)
	return nil, nil
}

// listenOn listens on a port, with UDP and TCP. Zero is any that is free for UDP.
func listenOn(port int) (net.PacketConn, net.Listener, error) {
	pc, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, nil, err
	}
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		_ = pc.Close() // It was of no use.
		return nil, nil, err
	}
	return pc, ln, nil
}

// Set replaces all that the server knows.
func (s *DNSServer) Set(t testing.TB, opts DNSOptions) {
	t.Helper()
	records := map[string][]dns.RR{}
	zp := dns.NewZoneParser(strings.NewReader(opts.Zone), ".", "")
	zp.SetDefaultTTL(300)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		name := dns.CanonicalName(rr.Header().Name)
		records[name] = append(records[name], rr)
	}
	if err := zp.Err(); err != nil {
		t.Fatalf("parsing zone: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts = opts
	s.records = records
}

// Queries returns the questions so far, such as "TXT example.org.", and forgets
// them. One that a client has sent again, as it does when the answer takes long, is there
// once.
func (s *DNSServer) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queries
	s.queries = nil
	return q
}

// ServeDNS answers a question. It implements the handler of the DNS library.
func (s *DNSServer) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	s.mu.Lock()
	s.note(w.RemoteAddr(), req)
	resp := s.answer(req)
	s.mu.Unlock()
	if resp == nil {
		return
	}
	writeDNS(w, req, resp)
}

// note notes a question for Queries.
func (s *DNSServer) note(client net.Addr, req *dns.Msg) {
	if len(req.Question) != 1 {
		return
	}
	q := dns.TypeToString[req.Question[0].Qtype] + " " + req.Question[0].Name
	id := fmt.Sprintf("%s %s %d %s", client.Network(), client, req.Id, q)
	if s.asked[id] {
		return
	}
	if s.asked == nil {
		s.asked = map[string]bool{}
	}
	s.asked[id] = true
	s.queries = append(s.queries, q)
}

// writeDNS writes an answer, cut to what the client takes over UDP.
func writeDNS(w dns.ResponseWriter, req, resp *dns.Msg) {
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if opt := req.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		resp.Truncate(size)
	}
	// The client may be gone.
	_ = w.WriteMsg(resp)
}

// answer returns the answer, or nil to give none.
func (s *DNSServer) answer(req *dns.Msg) *dns.Msg {
	resp := new(dns.Msg)
	resp.SetReply(req)
	resp.RecursionAvailable = true
	if len(req.Question) != 1 {
		resp.Rcode = dns.RcodeFormatError
		return resp
	}
	q := req.Question[0]
	if opt := req.IsEdns0(); opt != nil {
		resp.SetEdns0(opt.UDPSize(), false)
	}
	switch s.fault(q) {
	case DNSServFail:
		resp.Rcode = dns.RcodeServerFailure
	case DNSRefused:
		resp.Rcode = dns.RcodeRefused
	case DNSBogus:
		resp.Rcode = dns.RcodeServerFailure
		if opt := resp.IsEdns0(); opt != nil {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "test"})
		}
	case DNSDrop:
		return nil
	default:
		secure := s.follow(resp, q)
		// RFC 6840 §5.7 and §5.8: the bit is for those who ask for it.
		asked := req.AuthenticatedData || req.IsEdns0() != nil && req.IsEdns0().Do()
		resp.AuthenticatedData = s.opts.Authentic && secure && asked
	}
	return resp
}

func (s *DNSServer) fault(q dns.Question) DNSFault {
	for key, f := range s.opts.Faults {
		typ, name, ok := strings.Cut(key, " ")
		if !ok {
			typ, name = "", key
		}
		if dns.CanonicalName(name) == dns.CanonicalName(q.Name) && (typ == "" || strings.EqualFold(typ, dns.TypeToString[q.Qtype])) {
			return f
		}
	}
	return 0
}

// maxAliases bounds a chain of CNAME records, which may be a loop.
const maxAliases = 16

// follow adds the records for a question, and those of aliases on the way, and
// reports whether all names were secure.
func (s *DNSServer) follow(resp *dns.Msg, q dns.Question) (secure bool) {
	secure = true
	name := dns.CanonicalName(q.Name)
	for range maxAliases {
		secure = secure && !s.insecure(name)
		rrs, exists := s.lookup(name)
		if !exists {
			resp.Rcode = dns.RcodeNameError
			return secure
		}
		target := ""
		for _, rr := range rrs {
			cname, alias := rr.(*dns.CNAME)
			if rr.Header().Rrtype == q.Qtype || q.Qtype == dns.TypeANY || alias {
				resp.Answer = append(resp.Answer, rr)
			}
			if alias && q.Qtype != dns.TypeCNAME && q.Qtype != dns.TypeANY {
				target = dns.CanonicalName(cname.Target)
			}
		}
		if target == "" {
			return secure
		}
		name = target
	}
	resp.Rcode = dns.RcodeServerFailure
	return secure
}

func (s *DNSServer) insecure(name string) bool {
	for _, n := range s.opts.Insecure {
		if dns.IsSubDomain(dns.CanonicalName(n), name) {
			return true
		}
	}
	return false
}

// lookup returns the records at a name, possibly from a wildcard (RFC 4592), and
// whether the name exists.
func (s *DNSServer) lookup(name string) ([]dns.RR, bool) {
	if s.exists(name) {
		return s.records[name], true
	}
	for parent := name; ; {
		i, end := dns.NextLabel(parent, 0)
		if end {
			return nil, false
		}
		parent = parent[i:]
		if rrs := s.records["*."+parent]; rrs != nil {
			return expand(rrs, name), true
		}
		if s.exists(parent) {
			return nil, false // The closest encloser has no wildcard below it.
		}
	}
}

// exists reports whether there are records at or below a name.
func (s *DNSServer) exists(name string) bool {
	for n := range s.records {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}

// expand returns the records of a wildcard as records of a name.
func expand(rrs []dns.RR, name string) []dns.RR {
	var l []dns.RR
	for _, rr := range rrs {
		c := dns.Copy(rr)
		c.Header().Name = name
		l = append(l, c)
	}
	return l
}
