package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"mox/config"
	"mox/dane"
	"mox/dkim"
	"mox/dns"
	"mox/internal/certs"
	"mox/mtasts"
)

// Record is a record that should be in DNS.
type Record struct {
	Name string // In ASCII, without dot at the end.
	Type string
	Data string // As in a zone file, but the text of a TXT record as it is.
}

// Records are records that belong together.
type Records struct {
	Comment string // What they are for, as sentences on lines.
	Records []Record
	Off     bool // They are not to be published as things are. The comment says why.
}

// RecordOptions are for [DNSRecords].
type RecordOptions struct {
	// Signed is whether records of the hostname are verified with DNSSEC. Without that,
	// those for DANE are of no use.
	Signed bool
}

// DNSRecords returns the records that a domain of the configuration needs, from the
// configuration and its key files only. The addresses of the host are not among them.
func DNSRecords(s *config.Snapshot, domain dns.Domain, opts RecordOptions) ([]Records, error) {
	d, ok := s.Domain(domain)
	if !ok {
		return nil, noDomain(domain.Name())
	}
	name, host := domain.ASCII, s.Hostname.ASCII
	l, err := tlsaRecords(s, opts.Signed)
	if err != nil {
		return nil, err
	}
	l = append(l, hostRecords(s, d)...)
	l = append(l, Records{Comment: "Mail for the domain goes to the server.", Records: []Record{{name, "MX", "10 " + host + "."}}})
	sels, err := selectorRecords(d)
	if err != nil {
		return nil, err
	}
	if len(sels) > 0 {
		l = append(l, Records{Comment: "Keys that signatures of messages are checked with. Long texts are in several\nstrings, which count as one.", Records: sels})
	}
	l = append(l, Records{Comment: "Servers that send mail for the domain: this one. Mail from others is suspicious.", Records: []Record{{name, "TXT", spfRecord(s)}}})
	l = append(l, dmarcRecords(d)...)
	l = append(l, policyRecords(d, host)...)
	if d.TLSRPT != nil {
		rua := []string{reportAddress(d.TLSRPT)}
		if t := s.Static.HostTLSRPT; t != nil && host == name {
			rua = append(rua, t.Localpart+"@"+host)
		}
		l = append(l, Records{Comment: "Where other servers report problems with encrypted connections for mail to the\ndomain.", Records: []Record{tlsrptRecord(name, slices.Compact(rua)...)}})
	}
	if !d.ReportsOnly {
		l = append(l, clientRecords(s, d)...)
	}
	return append(l, caaRecords(s, domain)...), nil
}

// tlsaRecords returns the records for keys of hosts that get mail, RFC 7672.
func tlsaRecords(s *config.Snapshot, signed bool) ([]Records, error) {
	l := Records{Comment: "Keys of the server, so that others can verify it (DANE).", Off: !signed}
	if !signed {
		l.Comment += " They only count in a zone that\nis signed (DNSSEC), and are left out because the zone of the server is not, or the\nDNS resolver cannot tell: it must verify signatures."
	}
	hosts, err := hostTLSA(s)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		for _, r := range h.records {
			l.Records = append(l.Records, Record{tlsaName(h.host), "TLSA", r.Record()})
		}
	}
	if len(l.Records) == 0 {
		return nil, nil
	}
	return []Records{l}, nil
}

// tlsaName is where the records for DANE of a host are.
func tlsaName(host dns.Domain) string { return "_25._tcp." + host.ASCII }

// hostKeys are the records for the keys of a host.
type hostKeys struct {
	host    dns.Domain
	records []dane.Record
}

// hostTLSA returns the hosts that get mail and have keys that stay the same.
func hostTLSA(s *config.Snapshot) ([]hostKeys, error) {
	var hosts []hostKeys
	for _, ls := range s.Listeners {
		known := slices.ContainsFunc(hosts, func(h hostKeys) bool { return h.host == ls.Hostname })
		if known || !ls.SMTP.Enabled || ls.TLS == nil || len(ls.TLS.HostKeyFiles) == 0 {
			continue
		}
		l, err := certs.Records(ls.TLS.HostKeyFiles)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, hostKeys{ls.Hostname, l})
	}
	return hosts, nil
}

// hostRecords returns the records of the host that are not among those of a domain that
// is the host.
func hostRecords(s *config.Snapshot, d config.Domain) []Records {
	host := s.Hostname.ASCII
	var l []Records
	if s.Hostname != d.Domain {
		l = append(l, Records{Comment: "The server itself only sends mail from its own addresses, such as notifications\nabout mail that could not be delivered.", Records: []Record{{host, "TXT", "v=spf1 a -all"}}})
	}
	if t := s.Static.HostTLSRPT; t != nil && (s.Hostname != d.Domain || d.TLSRPT == nil) {
		l = append(l, Records{Comment: "Where other servers report problems with encrypted connections to this server.", Records: []Record{tlsrptRecord(host, t.Localpart+"@"+host)}})
	}
	return l
}

// policyRecords returns the records for MTA-STS, RFC 8461 §3.
func policyRecords(d config.Domain, host string) []Records {
	if d.MTASTS == nil {
		return nil
	}
	return []Records{{Comment: "The policy for encrypted connections of servers with mail for the domain (MTA-STS):\nwhere it is, and an id that changes whenever it does.", Records: []Record{
		{config.Subdomain("mta-sts", d.Domain).ASCII, "CNAME", host + "."},
		{"_mta-sts." + d.Domain.ASCII, "TXT", mtasts.Record{ID: d.MTASTS.PolicyID}.String()},
	}}}
}

// selectorRecords returns the records with the keys of a domain.
func selectorRecords(d config.Domain) ([]Record, error) {
	var l []Record
	for _, selector := range slices.Sorted(maps.Keys(d.Selectors)) {
		sel := d.Selectors[selector]
		r, err := dkim.NewRecord(sel.Key.Public())
		if err != nil {
			return nil, fmt.Errorf("selector %s: %w", selector, err)
		}
		l = append(l, Record{sel.Name.ASCII + "._domainkey." + d.Domain.ASCII, "TXT", r.String()})
	}
	return l, nil
}

// spfRecord names the addresses that the server sends from, as far as they are
// configured, and those of its name.
func spfRecord(s *config.Snapshot) string {
	terms := []string{"v=spf1"}
	ips := publicIPs(s)
	for _, p := range proxyIPs(s) {
		ips = append(ips, p.ip)
	}
	for _, ip := range ips {
		if ip.Is4() {
			terms = append(terms, "ip4:"+ip.String())
		} else {
			terms = append(terms, "ip6:"+ip.String())
		}
	}
	return strings.Join(append(terms, "mx", "~all"), " ")
}

// proxyIP is an address that mail of a transport is sent from.
type proxyIP struct {
	ip   netip.Addr
	host dns.Domain // That the server says it is, there.
}

// proxyIPs returns the addresses of proxies that mail can be sent through.
func proxyIPs(s *config.Snapshot) []proxyIP {
	var l []proxyIP
	for _, name := range slices.Sorted(maps.Keys(s.Transports)) {
		t := s.Transports[name]
		for _, ip := range t.RemoteIPs {
			p := proxyIP{ip.Unmap(), t.Hostname}
			if p.host.IsZero() {
				p.host = s.Hostname
			}
			if !slices.Contains(l, p) {
				l = append(l, p)
			}
		}
	}
	return l
}

// publicIPs returns the addresses that listeners with SMTP are configured with, and that
// others can reach.
func publicIPs(s *config.Snapshot) []netip.Addr {
	var l []netip.Addr
	for _, ls := range s.Listeners {
		for _, ip := range slices.Concat(ls.IPs, ls.NATIPs) {
			ip = ip.Unmap()
			if ls.SMTP.Enabled && ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.Contains(l, ip) {
				l = append(l, ip)
			}
		}
	}
	slices.SortFunc(l, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b)) })
	return l
}

func reportAddress(a *config.ReportAddress) string {
	return a.Localpart.String() + "@" + a.Domain.ASCII
}

// mailto returns the URI of an address in records, where some characters separate URIs
// or have another meaning (RFC 7489 §6.2, RFC 8460 §3).
func mailto(address string) string {
	return "mailto:" + strings.NewReplacer("%", "%25", ",", "%2C", "!", "%21", ";", "%3B").Replace(address)
}

// dmarcRecords returns the policy of a domain, and the agreement of another domain to
// get its reports (RFC 7489 §7.1).
func dmarcRecords(d config.Domain) []Records {
	name := d.Domain.ASCII
	policy := "v=DMARC1;p=reject"
	if d.DMARC == nil {
		return []Records{{Comment: "Mail from the domain that is not proven to be from it is to be refused.", Records: []Record{{"_dmarc." + name, "TXT", policy}}}}
	}
	policy += ";rua=" + mailto(reportAddress(d.DMARC)) + "!10m"
	l := []Records{{Comment: "Mail from the domain that is not proven to be from it is to be refused, and\nreports of at most 10 megabytes about all mail from it go to this address.", Records: []Record{{"_dmarc." + name, "TXT", policy}}}}
	if other := d.DMARC.Domain.ASCII; other != name {
		l = append(l, Records{Comment: "In the other domain: its agreement to get these reports.", Records: []Record{{name + "._report._dmarc." + other, "TXT", "v=DMARC1"}}})
	}
	return l
}

func tlsrptRecord(domain string, addresses ...string) Record {
	uris := make([]string, len(addresses))
	for i, a := range addresses {
		uris[i] = mailto(a)
	}
	return Record{"_smtp._tls." + domain, "TXT", "v=TLSRPTv1;rua=" + strings.Join(uris, ",")}
}
