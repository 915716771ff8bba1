package testkit

import (
	"cmp"
	"crypto"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A SignatureFault is a way in which the DNSSEC signatures at a name are wrong.
type SignatureFault int

// Kinds of wrong signatures.
const (
	SignatureForged  SignatureFault = iota + 1 // Not by the key of the zone.
	SignatureExpired                           // Not valid any more.
	SignatureMissing                           // There is none.
)

// A SignedZone is a zone for [NewAuthority].
type SignedZone struct {
	Origin string

	// Records are those of the zone in the format of zone files, with absolute names.
	// SOA and NS records are made, as are NS and DS records for zones below this one
	// that are served too.
	Records string

	// Unsigned makes it a zone without DNSSEC.
	Unsigned bool

	// Faults are for signatures of records at a name. For names that do not exist, they
	// are for the proof of that.
	Faults map[string]SignatureFault
}

// An Authority is an authoritative DNS server for zones with DNSSEC (RFC 4035), with
// NSEC records for what does not exist. It does not have wildcards.
type Authority struct {
	// Addr is the address with port, the same for UDP and TCP.
	Addr string

	zones []*authZone // Those below others first.
}

type authZone struct {
	SignedZone
	origin string
	key    *dns.DNSKEY
	signer crypto.Signer

	mu      sync.RWMutex
	records map[string]map[uint16][]dns.RR // By name and type.
	names   []string                       // In canonical order, without names below other zones.
}

// authTTL is the time to live of made records, in seconds.
const authTTL = 300

// NewAuthority starts a server that stops when the test ends.
func NewAuthority(t testing.TB, zones ...SignedZone) *Authority {
	t.Helper()
	a := &Authority{}
	for _, z := range zones {
		az := &authZone{SignedZone: z, origin: dns.CanonicalName(z.Origin)}
		if !z.Unsigned {
			az.key = &dns.DNSKEY{
				Hdr:   dns.RR_Header{Name: az.origin, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: authTTL},
				Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
			}
			key, err := az.key.Generate(256)
			if err != nil {
				t.Fatalf("generating key of zone: %v", err)
			}
			az.signer = key.(crypto.Signer)
		}
		a.zones = append(a.zones, az)
	}
	slices.SortFunc(a.zones, func(x, y *authZone) int {
		return cmp.Compare(dns.CountLabel(y.origin), dns.CountLabel(x.origin))
	})
	for _, z := range a.zones {
		a.load(t, z, z.Records)
	}
	a.Addr = serveDNS(t, a)
	return a
}

// SetRecords replaces the records of a zone.
func (a *Authority) SetRecords(t testing.TB, origin, records string) {
	t.Helper()
	for _, z := range a.zones {
		if z.origin == dns.CanonicalName(origin) {
			a.load(t, z, records)
			return
		}
	}
	t.Fatalf("no zone %s", origin)
}

// TrustAnchors returns the keys of the topmost signed zones, as records.
func (a *Authority) TrustAnchors() []string {
	var l []string
	for _, z := range a.zones {
		if !z.Unsigned && a.parent(z) == nil {
			l = append(l, z.key.String())
		}
	}
	return l
}

// Origins returns the names of all zones.
func (a *Authority) Origins() []string {
	var l []string
	for _, z := range a.zones {
		l = append(l, z.origin)
	}
	return l
}

// parent returns the zone in which a zone is delegated, or nil.
func (a *Authority) parent(z *authZone) *authZone {
	for _, p := range a.zones {
		if p != z && dns.IsSubDomain(p.origin, z.origin) {
			return p
		}
	}
	return nil
}

// load reads the records of a zone and adds those that are made.
func (a *Authority) load(t testing.TB, z *authZone, text string) {
	t.Helper()
	records := map[string]map[uint16][]dns.RR{}
	add := func(rr dns.RR) {
		h := rr.Header()
		h.Name = dns.CanonicalName(h.Name)
		if records[h.Name] == nil {
			records[h.Name] = map[uint16][]dns.RR{}
		}
		records[h.Name][h.Rrtype] = append(records[h.Name][h.Rrtype], rr)
	}
	header := func(name string, typ uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: authTTL}
	}
	zp := dns.NewZoneParser(strings.NewReader(text), ".", "")
	zp.SetDefaultTTL(authTTL)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if !dns.IsSubDomain(z.origin, dns.CanonicalName(rr.Header().Name)) {
			t.Fatalf("%s is not in zone %s", rr.Header().Name, z.origin)
		}
		add(rr)
	}
	if err := zp.Err(); err != nil {
		t.Fatalf("parsing zone %s: %v", z.origin, err)
	}
	ns := "ns." + z.origin
	add(&dns.SOA{Hdr: header(z.origin, dns.TypeSOA), Ns: ns, Mbox: ns, Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1})
	add(&dns.NS{Hdr: header(z.origin, dns.TypeNS), Ns: ns})
	add(&dns.A{Hdr: header(ns, dns.TypeA), A: net.IPv4(127, 0, 0, 1)})
	if z.key != nil {
		add(z.key)
	}
	for _, child := range a.zones {
		if child == z || a.parent(child) != z {
			continue
		}
		add(&dns.NS{Hdr: header(child.origin, dns.TypeNS), Ns: "ns." + child.origin})
		if child.key != nil {
			add(child.key.ToDS(dns.SHA256))
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = records
	z.names = nil
	for name := range records {
		z.names = append(z.names, name)
	}
	slices.SortFunc(z.names, compareNames)
}

// compareNames is the canonical order of names, RFC 4034 §6.1.
func compareNames(a, b string) int {
	x, y := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}

// ServeDNS answers a question. It implements the handler of the DNS library.
func (a *Authority) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	resp := new(dns.Msg)
	resp.SetReply(req)
	resp.RecursionDesired = false
	if opt := req.IsEdns0(); opt != nil {
		resp.SetEdns0(opt.UDPSize(), opt.Do())
	}
	if len(req.Question) != 1 {
		resp.Rcode = dns.RcodeFormatError
	} else {
		a.answer(resp, req.Question[0])
	}
	writeDNS(w, req, resp)
}

// answer fills in an answer.
func (a *Authority) answer(resp *dns.Msg, q dns.Question) {
	name := dns.CanonicalName(q.Name)
	var z *authZone
	for _, c := range a.zones {
		// The delegation of a zone is signed in the zone above, RFC 4035 §3.1.4.1.
		if dns.IsSubDomain(c.origin, name) && (q.Qtype != dns.TypeDS || name != c.origin) {
			z = c
			break
		}
	}
	if z == nil {
		resp.Rcode = dns.RcodeRefused
		return
	}
	z.mu.RLock()
	defer z.mu.RUnlock()
	resp.Authoritative = true
	types := z.records[name]
	for _, typ := range []uint16{q.Qtype, dns.TypeCNAME} {
		if rrs := types[typ]; len(rrs) > 0 {
			resp.Answer = append(resp.Answer, z.sign(rrs, name)...)
			return
		}
	}
	resp.Ns = append(resp.Ns, z.sign(z.records[z.origin][dns.TypeSOA], name)...)
	exists := slices.ContainsFunc(z.names, func(n string) bool { return dns.IsSubDomain(name, n) })
	proofs := []string{name}
	if !exists {
		resp.Rcode = dns.RcodeNameError
		proofs = append(proofs, "*."+z.encloser(name)) // RFC 4035 §3.1.3.2.
	}
	if z.Unsigned {
		return
	}
	seen := map[string]bool{}
	for _, p := range proofs {
		nsec := z.nsec(p)
		if !seen[nsec.Hdr.Name] {
			seen[nsec.Hdr.Name] = true
			resp.Ns = append(resp.Ns, z.sign([]dns.RR{nsec}, name)...)
		}
	}
}

// encloser returns the closest name above one that does not exist that does.
func (z *authZone) encloser(name string) string {
	for name != z.origin {
		i, _ := dns.NextLabel(name, 0)
		name = name[i:]
		if slices.ContainsFunc(z.names, func(n string) bool { return dns.IsSubDomain(name, n) }) {
			break
		}
	}
	return name
}

// nsec returns the NSEC record that is at or before a name.
func (z *authZone) nsec(name string) *dns.NSEC {
	i, found := slices.BinarySearchFunc(z.names, name, compareNames)
	if !found {
		i--
	}
	owner := z.names[max(i, 0)]
	nsec := &dns.NSEC{
		Hdr:        dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: authTTL},
		NextDomain: z.names[(max(i, 0)+1)%len(z.names)],
		TypeBitMap: []uint16{dns.TypeRRSIG, dns.TypeNSEC},
	}
	for typ := range z.records[owner] {
		nsec.TypeBitMap = append(nsec.TypeBitMap, typ)
	}
	slices.Sort(nsec.TypeBitMap)
	return nsec
}

// sign returns records with their signature, for an answer about a name.
func (z *authZone) sign(rrs []dns.RR, name string) []dns.RR {
	h := rrs[0].Header()
	fault := z.fault(h.Name)
	if fault == 0 {
		fault = z.fault(name)
	}
	// Name servers of delegations are not signed, RFC 4035 §2.2.
	if z.Unsigned || fault == SignatureMissing || h.Rrtype == dns.TypeNS && h.Name != z.origin {
		return rrs
	}
	now := time.Now()
	sig := &dns.RRSIG{
		Hdr:        dns.RR_Header{Name: h.Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: h.Ttl},
		Algorithm:  z.key.Algorithm,
		KeyTag:     z.key.KeyTag(),
		SignerName: z.origin,
		Inception:  uint32(now.Add(-48 * time.Hour).Unix()),
		Expiration: uint32(now.Add(24 * time.Hour).Unix()),
	}
	if fault == SignatureExpired {
		sig.Expiration = uint32(now.Add(-24 * time.Hour).Unix())
	}
	signed := rrs
	if fault == SignatureForged {
		// A signature of other records is as wrong as any.
		other := dns.Copy(rrs[0])
		other.Header().Ttl++
		other.Header().Name = "forged." + h.Name
		signed = []dns.RR{other}
	}
	if err := sig.Sign(z.signer, signed); err != nil {
		return rrs // Bogus, which a test notices.
	}
	sig.Hdr.Name = h.Name
	sig.Labels = uint8(dns.CountLabel(h.Name))
	return append(slices.Clone(rrs), sig)
}

func (z *authZone) fault(name string) SignatureFault {
	for n, f := range z.Faults {
		if dns.CanonicalName(n) == name {
			return f
		}
	}
	return 0
}
