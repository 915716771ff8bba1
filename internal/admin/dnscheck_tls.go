package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"mox/config"
	"mox/dane"
	"mox/dns"
	"mox/internal/parallel"
	"mox/mtasts"
	"mox/smtpclient"
)

// tls connects to each address of each host that mail goes to, and looks at its
// certificate as others do.
func (c *dnsCheck) tls(ctx context.Context) {
	const check = "TLS"
	if c.NoDial {
		return
	}
	dest, err := dane.LookupDestination(ctx, c.Log, c.Resolver, c.d.Domain)
	if err != nil {
		return // That is said about MX.
	}
	type target struct {
		host dane.Host
		ip   net.IP
	}
	var targets []target
	for _, name := range dest.Hosts[:min(len(dest.Hosts), maxHosts)] {
		h, err := dane.LookupHost(ctx, c.Log, c.Resolver, dest, name, 25)
		if errors.Is(err, dane.ErrTLSA) {
			c.add(check, Failure, "looking up keys of %s (TLSA): %s; other servers that verify do not deliver then", name, err)
		}
		for _, ip := range h.IPs[:min(len(h.IPs), maxHosts)] {
			targets = append(targets, target{h, ip})
		}
	}
	results := make([][]Finding, len(targets))
	parallel.Do(len(targets), maxParallel, func(i int) {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		sub := &dnsCheck{server: c.server}
		sub.tlsHost(ctx, targets[i].host, targets[i].ip)
		results[i] = sub.findings
	})
	c.findings = append(c.findings, slices.Concat(results...)...)
}

// tlsHost is about one address of a host that mail goes to.
func (c *dnsCheck) tlsHost(ctx context.Context, h dane.Host, ip net.IP) {
	const check = "TLS"
	addr := net.JoinHostPort(ip.String(), "25")
	conn, err := c.Dial(ctx, "tcp", addr)
	if err != nil {
		if c.isLocal(ip) {
			c.add(check, Warning, "%s cannot be reached from here at %s: %s. Behind NAT that may be so from this machine only: run this elsewhere, with a copy of the configuration", h.Name, addr, err)
		} else {
			c.add(check, Failure, "%s cannot be reached at %s: %s. See that the server runs and listens there, and that no firewall is in the way", h.Name, addr, err)
		}
		return
	}
	client, err := smtpclient.New(ctx, conn, smtpclient.Options{
		Hostname: dns.IPDomain{Domain: c.s.Hostname},
		TLS: smtpclient.TLSOptions{
			Mode:       smtpclient.TLSRequired,
			Config:     &tls.Config{RootCAs: c.Roots},
			ServerName: h.Name,
		},
		Log: c.Log,
	})
	if err != nil {
		_ = conn.Close()
		c.add(check, Failure, "no TLS with %s at %s: %s", h.Name, addr, err)
		return
	}
	defer client.Close()
	info := client.TLS()
	var daneErr error
	usesDANE := h.Status == dane.StatusUsable
	if usesDANE {
		if _, daneErr = h.Verify(*info.State); daneErr != nil {
			c.add("DANE", Failure, "the certificate of %s at %s is not what its TLSA records say: %s. Servers that verify do not deliver: see \"mox config tlsarecords\"", h.Name, addr, daneErr)
		}
	}
	switch {
	case info.PKIXErr != nil && usesDANE && daneErr == nil:
		c.add(check, Warning, "the certificate of %s at %s is not valid: %s. It is what the TLSA records say, but not all servers look at those", h.Name, addr, info.PKIXErr)
	case info.PKIXErr != nil:
		c.add(check, Failure, "the certificate of %s at %s is not valid: %s. See the log for why there is no better one, such as of ACME", h.Name, addr, info.PKIXErr)
	case usesDANE:
		c.add(check, OK, "%s at %s has a valid certificate, and one of the keys in its TLSA records", h.Name, addr)
	default:
		c.add(check, OK, "%s at %s has a valid certificate", h.Name, addr)
	}
}

// dane compares the TLSA records of the server with its keys.
func (c *dnsCheck) dane(ctx context.Context) {
	const check = "DANE"
	hosts, err := hostTLSA(c.s)
	if err != nil {
		c.add(check, Failure, "keys of the server: %s", err)
		return
	}
	if len(hosts) == 0 && slices.ContainsFunc(c.s.Listeners, func(l config.Listener) bool { return l.SMTP.Enabled && l.TLS != nil }) {
		if _, r, err := c.Resolver.LookupIP(ctx, "ip", c.s.Hostname.ASCII+"."); err == nil && r.Authentic {
			c.add(check, Warning, "%s has no keys that stay the same, for TLSA records by which others verify it: see \"mox help config ensureacmehostprivatekeys\"", c.s.Hostname)
		}
	}
	for _, h := range hosts {
		c.daneHost(ctx, h)
	}
}

func (c *dnsCheck) daneHost(ctx context.Context, h hostKeys) {
	const check = "DANE"
	have, r, err := c.Resolver.LookupTLSA(ctx, 25, "tcp", h.host.ASCII)
	switch {
	case missing(err) && !r.Authentic:
		c.add(check, Warning, "there are no TLSA records at %s. They would be of no use, since the zone is not signed with DNSSEC", tlsaName(h.host))
		return
	case missing(err):
		c.add(check, Warning, "there are no TLSA records at %s, by which others could verify the server: add those of \"mox config dnsrecords\"", tlsaName(h.host))
		return
	case err != nil:
		c.add(check, Failure, "%s: %s", tlsaName(h.host), err)
		return
	case !r.Authentic:
		c.add(check, Warning, "the TLSA records at %s do not count, since they are not signed with DNSSEC", tlsaName(h.host))
	}
	texts := func(l []dane.Record) (s []string) {
		for _, r := range l {
			s = append(s, strings.ToLower(r.Record()))
		}
		return s
	}
	want, got := texts(h.records), texts(have)
	bad := false
	for _, s := range want {
		if !slices.Contains(got, s) {
			bad = true
			c.add(check, Failure, "the TLSA record %q is not at %s: servers that verify do not deliver while its key is used", s, tlsaName(h.host))
		}
	}
	for _, s := range got {
		if !slices.Contains(want, s) {
			bad = true
			c.add(check, Warning, "the TLSA record %q at %s is of no key of this server: remove it, unless it is of another program there", s, tlsaName(h.host))
		}
	}
	if !bad && r.Authentic {
		c.add(check, OK, "the TLSA records of %s are those of its keys", h.host)
	}
}

// mtasts compares the policy as others get it with the configuration.
func (c *dnsCheck) mtasts(ctx context.Context) {
	const check = "MTA-STS"
	rec, _, err := mtasts.LookupRecord(ctx, c.Log, c.Resolver, c.d.Domain)
	none := errors.Is(err, mtasts.ErrNoRecord)
	switch m := c.d.MTASTS; {
	case m == nil && none:
		c.add(check, Warning, "there is no policy that mail for %s must come with verified TLS: see MTASTS in domains.conf", c.d.Domain)
		return
	case m == nil:
		c.add(check, Failure, "there is a record at _mta-sts.%s, but no policy in domains.conf: others may refuse to deliver", c.d.Domain.ASCII)
		return
	case none:
		c.add(check, Failure, "there is no TXT record at _mta-sts.%s, without which the policy is not looked at: see \"mox config dnsrecords\"", c.d.Domain.ASCII)
		return
	case err != nil:
		c.add(check, Failure, "record at _mta-sts.%s: %s", c.d.Domain.ASCII, err)
		return
	case rec.ID != m.PolicyID:
		c.add(check, Failure, "the record at _mta-sts.%s has the id %s, and PolicyID in domains.conf is %s: others do not see that the policy was changed", c.d.Domain.ASCII, rec.ID, m.PolicyID)
	default:
		c.add(check, OK, "the record has the id of the policy")
	}
	c.policyMX(ctx, c.d.MTASTS.Policy)
	if c.NoDial {
		return
	}
	p, _, err := mtasts.Fetch(ctx, c.Log, c.Resolver, c.d.Domain, mtasts.FetchOptions{RootCAs: c.Roots, Dial: c.Dial})
	if err != nil {
		c.add(check, Failure, "the policy cannot be fetched from %s: %s", mtasts.PolicyURL(c.d.Domain), err)
		return
	}
	if p.String() != c.d.MTASTS.Policy.String() {
		c.add(check, Failure, "the policy at %s is not the one in domains.conf: another server answers, or one that was not reloaded", mtasts.PolicyURL(c.d.Domain))
	} else {
		c.add(check, OK, "the policy can be fetched, and is the one in domains.conf")
	}
}

// policyMX compares a policy with MX records.
func (c *dnsCheck) policyMX(ctx context.Context, p mtasts.Policy) {
	const check = "MTA-STS"
	if p.Mode != mtasts.ModeEnforce {
		c.add(check, Warning, "the mode of the policy is %s: others deliver without verified TLS too", p.Mode)
	}
	if p.MaxAge < 24*time.Hour {
		c.add(check, Warning, "the policy holds for %s only: with less than a day it protects little", p.MaxAge)
	}
	mxs, _, err := c.Resolver.LookupMX(ctx, c.d.Domain.ASCII+".")
	if err != nil {
		return // That is said about MX.
	}
	var hosts []string
	for _, mx := range mxs {
		d, err := dns.ParseDomainLax(mx.Host)
		if err != nil {
			continue
		}
		hosts = append(hosts, d.ASCII)
		if !p.Matches(d) {
			c.add(check, Failure, "mail goes to %s by its MX record, which is not in the policy: others will not deliver there", d)
		}
	}
	for _, mx := range p.MX {
		if !mx.Wildcard && !slices.Contains(hosts, mx.Domain.ASCII) {
			c.add(check, Warning, "%s is in the policy, and in no MX record", mx.Domain)
		}
	}
}

// dialTLS connects with TLS from the start, and verifies the certificate for a name.
func (c *dnsCheck) dialTLS(ctx context.Context, name string, ips []net.IP, port int) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var errs []error
	for _, ip := range ips[:min(len(ips), maxHosts)] {
		conn, err := c.Dial(ctx, "tcp", net.JoinHostPort(ip.String(), strconv.Itoa(port)))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		tc := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: c.Roots})
		if err := tc.HandshakeContext(ctx); err != nil {
			errs = append(errs, err)
		}
		_ = conn.Close()
	}
	return errors.Join(errs...)
}
