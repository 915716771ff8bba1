package admin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/parallel"
	"mox/iprev"
)

// Severity is how bad a finding is.
type Severity string

// Severities.
const (
	OK      Severity = "ok"
	Warning Severity = "warning" // Something could be better.
	Failure Severity = "error"   // Mail gets lost, or is refused or suspected.
)

// Finding is a result of a check.
type Finding struct {
	Check    string // "MX", "SPF" and so on.
	Severity Severity
	Text     string
}

// add adds a finding to those of a check.
func add(l *[]Finding, check string, sev Severity, format string, args ...any) {
	*l = append(*l, Finding{check, sev, fmt.Sprintf(format, args...)})
}

const (
	// checkTime is how long a check may take: each is done at the same time as others.
	checkTime = 45 * time.Second
	// dialTime is how long a connection may take, with what is said over it.
	dialTime = 15 * time.Second
	// maxParallel is how many checks, and how many connections, there are at the same time.
	maxParallel = 8
	// maxHosts is how many hosts in MX records, or names of certificates, are looked at.
	maxHosts = 20
)

// DNSChecker compares DNS, and what is reached by it, with the configuration.
type DNSChecker struct {
	Resolver dns.Resolver
	Log      *slog.Logger

	// CAA looks up the CAA records at a name; see [CAALookup]. Nil: they are not looked at.
	CAA func(ctx context.Context, name string) ([]CAARecord, error)

	// NoDial makes it connect to nothing but the resolver.
	NoDial bool
	// Roots are the authorities to trust. Nil is those of the system.
	Roots *x509.CertPool
	// Dial connects to an IP address with port. Nil is a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// server is what is known of the server before its checks.
type server struct {
	DNSChecker
	s      *config.Snapshot
	d      config.Domain
	ips    []netip.Addr // Of the server, as others see it.
	behind []netip.Addr // Those of ips that are behind NAT.
}

// dnsCheck is one check of a domain.
type dnsCheck struct {
	*server
	findings []Finding
}

func (c *dnsCheck) add(check string, sev Severity, format string, args ...any) {
	add(&c.findings, check, sev, format, args...)
}

// Check looks up what a domain needs in DNS, and unless told otherwise connects to the
// servers that it leads to. It returns what it has found, in the order of the checks. An
// error is that the domain does not exist, or that of ctx, with what was found until then.
func (c DNSChecker) Check(ctx context.Context, s *config.Snapshot, domain dns.Domain) ([]Finding, error) {
	d, ok := s.Domain(domain)
	if !ok {
		return nil, noDomain(domain.Name())
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	srv := &server{DNSChecker: c, s: s, d: d}
	first := &dnsCheck{server: srv}
	first.dnssec(ctx)
	first.host(ctx)
	checks := []func(*dnsCheck, context.Context){
		(*dnsCheck).reverse, (*dnsCheck).mx, (*dnsCheck).tls, (*dnsCheck).dane, (*dnsCheck).mtasts,
		(*dnsCheck).spf, (*dnsCheck).dkim, (*dnsCheck).dmarc, (*dnsCheck).tlsrpt,
		(*dnsCheck).services, (*dnsCheck).client, (*dnsCheck).autoconfig, (*dnsCheck).caa,
	}
	results := make([][]Finding, len(checks))
	parallel.Do(len(checks), maxParallel, func(i int) {
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		c := &dnsCheck{server: srv}
		checks[i](c, ctx)
		results[i] = c.findings
	})
	return slices.Concat(first.findings, slices.Concat(results...)), ctx.Err()
}

// missing reports whether an error of a lookup says that there is no record.
func missing(err error) bool { return errors.Is(err, dns.ErrNotFound) }

// signedTLD is a name that is signed, and known to each resolver.
const signedTLD = "com."

func (c *dnsCheck) dnssec(ctx context.Context) {
	const check = "DNSSEC"
	// That there is none is signed as well, as in a network without a way out.
	if _, r, err := c.Resolver.LookupNS(ctx, signedTLD); err != nil && !missing(err) {
		c.add(check, Failure, "looking up name servers of %s %s", signedTLD, err)
		return
	} else if !r.Authentic {
		c.add(check, Warning, "the resolver does not verify DNSSEC, so that nothing is known about signatures: use one that does, such as unbound on this machine, with DNSResolver in mox.conf")
		return
	}
	_, r, err := c.Resolver.LookupNS(ctx, c.d.Domain.ASCII+".")
	switch {
	case err != nil && !missing(err):
		c.add(check, Failure, "looking up the name servers of %s: %s", c.d.Domain, err)
	case !r.Authentic:
		c.add(check, Warning, "the zone of %s is not signed: mail to it can be sent astray by who changes answers of DNS. Turn on DNSSEC where the domain has its DNS", c.d.Domain)
	default:
		c.add(check, OK, "the zone of %s is signed", c.d.Domain)
	}
}

// host looks up the addresses of the server.
func (c *dnsCheck) host(ctx context.Context) {
	const check = "HOST"
	ips, _, err := c.Resolver.LookupIP(ctx, "ip", c.s.Hostname.ASCII+".")
	if err != nil {
		c.add(check, Failure, "addresses of %s: %s", c.s.Hostname, err)
	}
	want := publicIPs(c.s)
	c.ips = want
	for _, l := range c.s.Listeners {
		c.behind = append(c.behind, l.NATIPs...)
	}
	for _, ip := range ips {
		a, _ := netip.AddrFromSlice(ip)
		a = a.Unmap()
		switch {
		case a.IsLoopback():
			c.add(check, Failure, "%s has the address %s, at which nobody else reaches it (perhaps from /etc/hosts)", c.s.Hostname, a)
		case len(want) > 0 && !slices.Contains(want, a):
			c.add(check, Failure, "%s has the address %s, which no listener with SMTP is configured with: correct the record, or IPs or NATIPs of the listener", c.s.Hostname, a)
		default:
			c.add(check, OK, "%s has the address %s", c.s.Hostname, a)
			if len(want) == 0 {
				c.ips = append(c.ips, a)
			}
		}
	}
	for _, a := range want {
		if err == nil && !slices.ContainsFunc(ips, func(ip net.IP) bool { return ip.Equal(a.AsSlice()) }) {
			c.add(check, Failure, "%s does not have the address %s of a listener: add a record for it", c.s.Hostname, a)
		}
	}
}

// ours says how many of some addresses are those of the server.
func (c *dnsCheck) ours(ips []net.IP) (n int) {
	for _, ip := range ips {
		if a, _ := netip.AddrFromSlice(ip); slices.Contains(c.ips, a.Unmap()) {
			n++
		}
	}
	return n
}

// isLocal reports whether this machine may not reach one of its own addresses, behind NAT.
func (c *dnsCheck) isLocal(ip net.IP) bool {
	a, _ := netip.AddrFromSlice(ip)
	return slices.Contains(c.behind, a.Unmap())
}

// senders returns the addresses that mail is sent from, and the name that each should have.
func (c *dnsCheck) senders() []proxyIP {
	var l []proxyIP
	for _, ip := range c.ips {
		l = append(l, proxyIP{ip, c.s.Hostname})
	}
	return append(l, proxyIPs(c.s)...)
}

// reverse checks that each address leads to the name of the server.
func (c *dnsCheck) reverse(ctx context.Context) {
	const check = "IPREV"
	for _, p := range c.senders() {
		r := iprev.Check(ctx, c.Log, c.Resolver, p.ip.AsSlice())
		switch {
		case slices.ContainsFunc(r.Names, func(d dns.Domain) bool { return d.ASCII == "localhost" }):
			c.add(check, Failure, "reverse name of %s is localhost: ask who gave you the address to set %s", p.ip, p.host)
		case r.Status != iprev.StatusPass:
			c.add(check, Failure, "reverse name of %s: %s; many servers refuse mail from it: ask who gave you the address to set %s", p.ip, r.Status, p.host)
		case !slices.Contains(r.Names, p.host):
			c.add(check, Warning, "reverse name of %s is %s, and not %s: ask who gave you the address to change it", p.ip, r.Name, p.host)
		case len(r.Names) > 1:
			c.add(check, Warning, "%s has %d reverse names: some servers want just one, %s", p.ip, len(r.Names), p.host)
		default:
			c.add(check, OK, "%s has the reverse name %s", p.ip, p.host)
		}
	}
}

func (c *dnsCheck) mx(ctx context.Context) {
	const check = "MX"
	l, _, err := c.Resolver.LookupMX(ctx, c.d.Domain.ASCII+".")
	switch {
	case missing(err):
		c.add(check, Failure, "there is no MX record at %s: add the one of \"mox config dnsrecords\"", c.d.Domain)
		return
	case err != nil:
		c.add(check, Failure, "%s", err)
		return
	case len(l) == 1 && l[0].Host == ".":
		c.add(check, Failure, "the MX record says that the domain takes no mail")
		return
	}
	for _, mx := range l {
		if strings.EqualFold(strings.TrimSuffix(mx.Host, "."), c.s.Hostname.ASCII) {
			c.add(check, OK, "mail goes to %s", c.s.Hostname)
			continue
		}
		c.otherMX(ctx, mx.Host)
	}
}

// otherMX is about a host in an MX record with another name than the server.
func (c *dnsCheck) otherMX(ctx context.Context, host string) {
	const check = "MX"
	ips, _, err := c.Resolver.LookupIP(ctx, "ip", host)
	switch ours := c.ours(ips); {
	case err != nil:
		c.add(check, Failure, "mail goes to %s, which has no addresses: %s", host, err)
	case ours == 0:
		c.add(check, Warning, "mail goes to %s, which is not this server: fine for a backup only", host)
	case ours < len(ips):
		c.add(check, Failure, "mail goes to %s, only some of whose addresses are those of this server", host)
	default:
		c.add(check, Warning, "mail goes to %s, with addresses of this server, but its name is %s", host, c.s.Hostname)
	}
}
