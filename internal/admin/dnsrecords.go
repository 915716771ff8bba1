package admin

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mox/config"
	"mox/dkim"
	"mox/dns"
)

// recordTTL is for how long records are kept by resolvers, in seconds: short, so that a
// mistake does not last.
const recordTTL = 300

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
}

// DNSRecords returns the records that a domain of the configuration needs, from what is
// configured only. The addresses of the host are not among them.
func DNSRecords(s *config.Snapshot, domain dns.Domain) ([]Records, error) {
	d, ok := s.Domain(domain)
	if !ok {
		return nil, noDomain(domain.Name())
	}
	name, host := domain.ASCII, s.Hostname.ASCII
	l := []Records{
		{"The server itself only sends mail from its own addresses, such as notifications\nabout mail that could not be delivered.", []Record{{host, "TXT", "v=spf1 a -all"}}},
	}
	if t := s.Static.HostTLSRPT; t != nil {
		l = append(l, Records{"Where other servers report problems with encrypted connections to this server.", []Record{tlsrptRecord(host, t.Localpart+"@"+host)}})
	}
	l = append(l, Records{"Mail for the domain goes to the server.", []Record{{name, "MX", "10 " + host + "."}}})
	sels, err := selectorRecords(d)
	if err != nil {
		return nil, err
	}
	if len(sels) > 0 {
		l = append(l, Records{"Keys that signatures of messages are checked with. Long texts are in several\nstrings, which count as one.", sels})
	}
	l = append(l, Records{"Servers that send mail for the domain: this one. Mail from others is suspicious.", []Record{{name, "TXT", spfRecord(s)}}})
	l = append(l, dmarcRecords(d)...)
	if d.TLSRPT != nil {
		l = append(l, Records{"Where other servers report problems with encrypted connections for mail to the\ndomain.", []Record{tlsrptRecord(name, reportAddress(d.TLSRPT))}})
	}
	if !d.ReportsOnly {
		l = append(l, clientRecords(s, name)...)
	}
	return l, nil
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
	for _, ip := range publicIPs(s) {
		if ip.Is4() {
			terms = append(terms, "ip4:"+ip.String())
		} else {
			terms = append(terms, "ip6:"+ip.String())
		}
	}
	return strings.Join(append(terms, "mx", "~all"), " ")
}

// publicIPs returns the addresses that listeners with SMTP are configured with, and that
// others can reach.
func publicIPs(s *config.Snapshot) []netip.Addr {
	var l []netip.Addr
	for _, ls := range s.Listeners {
		for _, ip := range ls.IPs {
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
		return []Records{{"Mail from the domain that is not proven to be from it is to be refused.", []Record{{"_dmarc." + name, "TXT", policy}}}}
	}
	policy += ";rua=" + mailto(reportAddress(d.DMARC)) + "!10m"
	l := []Records{{"Mail from the domain that is not proven to be from it is to be refused, and\nreports of at most 10 megabytes about all mail from it go to this address.", []Record{{"_dmarc." + name, "TXT", policy}}}}
	if other := d.DMARC.Domain.ASCII; other != name {
		l = append(l, Records{"In the other domain: its agreement to get these reports.", []Record{{name + "._report._dmarc." + other, "TXT", "v=DMARC1"}}})
	}
	return l
}

func tlsrptRecord(domain, address string) Record {
	return Record{"_smtp._tls." + domain, "TXT", "v=TLSRPTv1;rua=" + mailto(address)}
}

// clientService is a service that programs of users find with SRV records (RFC 6186, RFC
// 8314 §5.1).
type clientService struct {
	name string
	port int // Zero: not there.
}

// clientServices returns the services for users, those with TLS from the start first.
func clientServices(s *config.Snapshot) []clientService {
	var imaps, submissions, imap, submission int
	for _, l := range s.Listeners {
		if !slices.ContainsFunc(l.IPs, func(ip netip.Addr) bool { return !ip.IsLoopback() }) {
			continue
		}
		first := func(dst *int, enabled bool, port int) {
			if enabled && *dst == 0 {
				*dst = port
			}
		}
		first(&imaps, l.IMAPS.Enabled, l.IMAPS.Port)
		first(&submissions, l.Submissions.Enabled, l.Submissions.Port)
		first(&imap, l.IMAP.Enabled && !l.IMAP.NoRequireSTARTTLS, l.IMAP.Port)
		first(&submission, l.Submission.Enabled && !l.Submission.NoRequireSTARTTLS, l.Submission.Port)
	}
	if imaps != 0 {
		imap = 0 // The better way only.
	}
	if submissions != 0 {
		submission = 0
	}
	return []clientService{{"imaps", imaps}, {"submissions", submissions}, {"imap", imap}, {"submission", submission}, {"pop3", 0}, {"pop3s", 0}}
}

// clientRecords returns the records by which programs of users find the server.
func clientRecords(s *config.Snapshot, domain string) []Records {
	there := Records{Comment: "How programs of users find the server."}
	missing := Records{Comment: "Services that do not exist, so that nobody looks for them. These records can be left\nout."}
	for _, c := range clientServices(s) {
		name := "_" + c.name + "._tcp." + domain
		if c.port != 0 {
			there.Records = append(there.Records, Record{name, "SRV", "0 1 " + strconv.Itoa(c.port) + " " + s.Hostname.ASCII + "."})
		} else {
			missing.Records = append(missing.Records, Record{name, "SRV", "0 0 0 ."})
		}
	}
	if len(there.Records) == 0 {
		return nil
	}
	return []Records{there, missing}
}

// WriteZone writes records as lines for a zone file.
func WriteZone(w io.Writer, l []Records) error {
	var b strings.Builder
	fmt.Fprintf(&b, "; Resolvers keep the records for %d seconds. Raise that when all works.\n$TTL %d\n", recordTTL, recordTTL)
	for _, rs := range l {
		b.WriteString("\n")
		for line := range strings.SplitSeq(rs.Comment, "\n") {
			b.WriteString("; " + line + "\n")
		}
		for _, r := range rs.Records {
			data := r.Data
			if r.Type == "TXT" {
				data = zoneText(data)
			}
			fmt.Fprintf(&b, "%-40s %s %s\n", r.Name+".", r.Type, data)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// zoneText returns a text as the strings of a TXT record, each of at most 255 octets (RFC
// 1035 §3.3.14). It is in ASCII.
func zoneText(s string) string {
	const size = 255
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	if len(s) <= size {
		return quote(s)
	}
	var b strings.Builder
	b.WriteString("(")
	for part := range slices.Chunk([]byte(s), size) {
		b.WriteString("\n\t" + quote(string(part)))
	}
	return b.String() + " )"
}
