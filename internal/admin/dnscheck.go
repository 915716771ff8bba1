package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"

	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/iprev"
	"mox/smtp"
	"mox/spf"
	"mox/tlsrpt"
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

// DNSChecker compares DNS with the configuration.
type DNSChecker struct {
	Resolver dns.Resolver
	Log      *slog.Logger
}

// dnsCheck is the check of one domain.
type dnsCheck struct {
	DNSChecker
	s        *config.Snapshot
	d        config.Domain
	ips      []netip.Addr // Of the server, as others see it.
	findings []Finding
}

func (c *dnsCheck) add(check string, sev Severity, format string, args ...any) {
	c.findings = append(c.findings, Finding{check, sev, fmt.Sprintf(format, args...)})
}

// Check looks up what a domain needs in DNS, and returns what it has found, in the order
// of the checks. It does not connect to any mail server.
func (c DNSChecker) Check(ctx context.Context, s *config.Snapshot, domain dns.Domain) ([]Finding, error) {
	d, ok := s.Domain(domain)
	if !ok {
		return nil, noDomain(domain.Name())
	}
	r := &dnsCheck{DNSChecker: c, s: s, d: d}
	for _, check := range []func(context.Context){r.dnssec, r.host, r.reverse, r.mx, r.spf, r.dkim, r.dmarc, r.tlsrpt, r.services} {
		if err := ctx.Err(); err != nil {
			return r.findings, err
		}
		check(ctx)
	}
	return r.findings, nil
}

// missing reports whether an error of a lookup says that there is no record.
func missing(err error) bool { return errors.Is(err, dns.ErrNotFound) }

// signedTLD is a name that is signed, and known to each resolver.
const signedTLD = "com."

func (c *dnsCheck) dnssec(ctx context.Context) {
	const check = "DNSSEC"
	if _, r, err := c.Resolver.LookupNS(ctx, signedTLD); err != nil {
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
		c.add(check, Warning, "the zone of %s is not signed: mail to it can be sent astray by who changes answers of DNS", c.d.Domain)
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
	for _, ip := range ips {
		a, _ := netip.AddrFromSlice(ip)
		a = a.Unmap()
		switch {
		case a.IsLoopback():
			c.add(check, Failure, "%s has the address %s, at which nobody else reaches it (perhaps from /etc/hosts)", c.s.Hostname, a)
		case len(want) > 0 && !slices.Contains(want, a):
			c.add(check, Failure, "%s has the address %s, which no listener with SMTP is configured with", c.s.Hostname, a)
		default:
			c.add(check, OK, "%s has the address %s", c.s.Hostname, a)
			if len(want) == 0 {
				c.ips = append(c.ips, a)
			}
		}
	}
	for _, a := range want {
		if err == nil && !slices.ContainsFunc(ips, func(ip net.IP) bool { return ip.Equal(a.AsSlice()) }) {
			c.add(check, Failure, "%s does not have the address %s of a listener", c.s.Hostname, a)
		}
	}
}

// reverse checks that each address leads to the name of the server.
func (c *dnsCheck) reverse(ctx context.Context) {
	const check = "IPREV"
	for _, ip := range c.ips {
		r := iprev.Check(ctx, c.Log, c.Resolver, ip.AsSlice())
		if r.Status != iprev.StatusPass {
			c.add(check, Failure, "reverse name of %s: %s; many servers refuse mail from it: ask who gave you the address to set %s", ip, r.Status, c.s.Hostname)
		} else if !slices.Contains(r.Names, c.s.Hostname) {
			c.add(check, Warning, "reverse name of %s is %s, and not %s", ip, r.Name, c.s.Hostname)
		} else {
			c.add(check, OK, "%s has the reverse name %s", ip, c.s.Hostname)
		}
	}
}

func (c *dnsCheck) mx(ctx context.Context) {
	const check = "MX"
	l, _, err := c.Resolver.LookupMX(ctx, c.d.Domain.ASCII+".")
	switch {
	case missing(err):
		c.add(check, Failure, "there is no MX record at %s", c.d.Domain)
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
	ours := 0
	for _, ip := range ips {
		if a, _ := netip.AddrFromSlice(ip); slices.Contains(c.ips, a.Unmap()) {
			ours++
		}
	}
	switch {
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

func (c *dnsCheck) spf(ctx context.Context) {
	for _, name := range []dns.Domain{c.d.Domain, c.s.Hostname} {
		for _, ip := range c.ips {
			r := spf.Check(ctx, c.Log, c.Resolver, spf.Args{
				RemoteIP:      ip.AsSlice(),
				MailFrom:      smtp.Path{Localpart: "postmaster", IPDomain: dns.IPDomain{Domain: name}},
				HELO:          dns.IPDomain{Domain: c.s.Hostname},
				LocalHostname: c.s.Hostname,
			})
			switch {
			case r.Status == spf.StatusPass:
				c.add("SPF", OK, "%s may send mail from %s", ip, name)
			case r.Err != nil:
				c.add("SPF", Failure, "mail from %s sent by %s: %s: %s", name, ip, r.Status, r.Err)
			default:
				c.add("SPF", Failure, "mail from %s sent by %s: %s", name, ip, r.Status)
			}
		}
	}
}

func (c *dnsCheck) dkim(ctx context.Context) {
	const check = "DKIM"
	if len(c.d.Sign) == 0 && !c.d.ReportsOnly {
		c.add(check, Failure, "no keys sign mail of %s", c.d.Domain)
	}
	want, err := selectorRecords(c.d)
	if err != nil {
		c.add(check, Failure, "%s", err)
		return
	}
	for _, w := range want {
		l, _, err := c.Resolver.LookupTXT(ctx, w.Name+".")
		switch {
		case missing(err):
			c.add(check, Failure, "there is no TXT record at %s", w.Name)
		case err != nil:
			c.add(check, Failure, "%s: %s", w.Name, err)
		case len(l) != 1:
			c.add(check, Failure, "%d TXT records are at %s, where there must be one", len(l), w.Name)
		case !sameKey(l[0], w.Data):
			c.add(check, Failure, "the record at %s has another key than the configuration", w.Name)
		default:
			c.add(check, OK, "the key at %s is that of the configuration", w.Name)
		}
	}
}

// sameKey reports whether two DKIM records have the same key.
func sameKey(a, b string) bool {
	ra, _, erra := dkim.ParseRecord(a)
	rb, _, errb := dkim.ParseRecord(b)
	if erra != nil || errb != nil {
		return false
	}
	return len(ra.KeyData) > 0 && ra.KeyType == rb.KeyType && bytes.Equal(ra.KeyData, rb.KeyData)
}

func (c *dnsCheck) dmarc(ctx context.Context) {
	const check = "DMARC"
	name := "_dmarc." + c.d.Domain.ASCII
	l, _, err := c.Resolver.LookupTXT(ctx, name+".")
	if err != nil && !missing(err) {
		c.add(check, Failure, "%s: %s", name, err)
		return
	}
	l = slices.DeleteFunc(l, func(s string) bool { return !strings.HasPrefix(s, "v=DMARC1") })
	if len(l) != 1 {
		c.add(check, Failure, "%d DMARC records are at %s, where there must be one", len(l), name)
		return
	}
	r, err := dmarc.ParseRecord(l[0])
	if err != nil {
		c.add(check, Failure, "%s", err)
		return
	}
	bad := len(c.findings)
	if r.Policy == dmarc.PolicyNone {
		c.add(check, Warning, "the policy is none: mail from the domain that others made up is delivered")
	}
	if r.SubdomainPolicy == dmarc.PolicyNone {
		c.add(check, Warning, "the policy for names below the domain is none")
	}
	if c.d.DMARC == nil {
		c.add(check, Warning, "no address for reports is configured")
	} else if want := mailto(reportAddress(c.d.DMARC)); !slices.ContainsFunc(r.RUA, func(u dmarc.URI) bool { return sameURI(string(u), want) }) {
		c.add(check, Failure, "reports do not go to %s", want)
	} else {
		c.agreement(ctx)
	}
	if len(c.findings) == bad {
		c.add(check, OK, "the policy is %s", r.Policy)
	}
}

// agreement checks that another domain agrees to get the reports.
func (c *dnsCheck) agreement(ctx context.Context) {
	for _, rs := range dmarcRecords(c.d)[1:] {
		for _, r := range rs.Records {
			l, _, err := c.Resolver.LookupTXT(ctx, r.Name+".")
			if err != nil || !slices.ContainsFunc(l, func(s string) bool { return strings.HasPrefix(s, r.Data) }) {
				c.add("DMARC", Failure, "%s does not agree to get reports: there is no TXT record %q at %s", c.d.DMARC.Domain, r.Data, r.Name)
			}
		}
	}
}

// sameURI compares addresses for reports, without a limit of size.
func sameURI(a, b string) bool {
	a, _, _ = strings.Cut(a, "!")
	return strings.EqualFold(a, b)
}

func (c *dnsCheck) tlsrpt(ctx context.Context) {
	if t := c.s.Static.HostTLSRPT; t != nil {
		c.tlsrptAt(ctx, c.s.Hostname, mailto(t.Localpart+"@"+c.s.Hostname.ASCII))
	}
	if c.d.TLSRPT != nil {
		c.tlsrptAt(ctx, c.d.Domain, mailto(reportAddress(c.d.TLSRPT)))
	} else {
		c.add("TLSRPT", Warning, "no address for reports about %s is configured", c.d.Domain)
	}
}

func (c *dnsCheck) tlsrptAt(ctx context.Context, domain dns.Domain, want string) {
	const check = "TLSRPT"
	r, _, _, err := tlsrpt.Lookup(ctx, c.Log, c.Resolver, domain)
	switch {
	case errors.Is(err, tlsrpt.ErrNoRecord):
		c.add(check, Failure, "there is no record at _smtp._tls.%s", domain.ASCII)
	case err != nil:
		c.add(check, Failure, "%s: %s", domain, err)
	case !slices.ContainsFunc(r.RUA, func(u tlsrpt.RUA) bool { return sameURI(string(u), want) }):
		c.add(check, Failure, "reports about %s do not go to %s", domain, want)
	default:
		c.add(check, OK, "reports about %s go to %s", domain, want)
	}
}

// services checks the records by which programs of users find the server.
func (c *dnsCheck) services(ctx context.Context) {
	const check = "SRV"
	if c.d.ReportsOnly {
		return
	}
	l := clientServices(c.s, c.d)
	none := !slices.ContainsFunc(l, func(s srvService) bool { return s.port != 0 })
	for _, s := range l {
		srvs, _, err := c.Resolver.LookupSRV(ctx, s.name, "tcp", c.d.Domain.ASCII+".")
		ours := func(srv *net.SRV) bool {
			return int(srv.Port) == s.port && strings.EqualFold(strings.TrimSuffix(srv.Target, "."), s.host.ASCII)
		}
		switch nowhere := len(srvs) == 1 && srvs[0].Target == "."; {
		case err != nil && !missing(err):
			c.add(check, Failure, "%s: %s", s.name, err)
		case s.port == 0 && none:
		case s.port == 0 && len(srvs) == 0:
			c.add(check, Warning, "no record says that there is no service %s", s.name)
		case s.port == 0 && !nowhere:
			c.add(check, Failure, "the record for %s leads to %s port %d, but the service is not there", s.name, srvs[0].Target, srvs[0].Port)
		case s.port == 0:
			c.add(check, OK, "%s is not offered", s.name)
		case len(srvs) == 0:
			c.add(check, Failure, "there is no record for %s", s.name)
		case !slices.ContainsFunc(srvs, ours):
			c.add(check, Failure, "the record for %s leads to %s port %d, and not to %s port %d", s.name, srvs[0].Target, srvs[0].Port, s.host, s.port)
		default:
			c.add(check, OK, "%s is at %s port %d", s.name, s.host, s.port)
		}
	}
}
