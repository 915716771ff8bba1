package admin

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"mox/config"
	"mox/dns"
	"mox/internal/certs"
)

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
			c.add(check, Failure, "there is no record for %s: add the one of \"mox config dnsrecords\"", s.name)
		case !slices.ContainsFunc(srvs, ours):
			c.add(check, Failure, "the record for %s leads to %s port %d, and not to %s port %d", s.name, srvs[0].Target, srvs[0].Port, s.host, s.port)
		default:
			c.add(check, OK, "%s is at %s port %d", s.name, s.host, s.port)
		}
	}
}

// leadsHere says whether a name leads to the server, and returns its addresses.
func (c *dnsCheck) leadsHere(ctx context.Context, check string, name dns.Domain) []net.IP {
	ips, _, err := c.Resolver.LookupIP(ctx, "ip", name.ASCII+".")
	switch ours := c.ours(ips); {
	case missing(err):
		c.add(check, Failure, "%s is not in DNS: add the record of \"mox config dnsrecords\"", name)
	case err != nil:
		c.add(check, Failure, "%s: %s", name, err)
	case ours == 0:
		c.add(check, Failure, "%s leads to another server", name)
	case ours < len(ips):
		c.add(check, Failure, "only some of the addresses of %s are those of this server", name)
	default:
		c.add(check, OK, "%s leads to this server", name)
	}
	return ips
}

// client checks what mail programs of users connect to.
func (c *dnsCheck) client(ctx context.Context) {
	const check = "CLIENT"
	if c.d.ReportsOnly {
		return
	}
	known := map[dns.Domain][]net.IP{}
	for _, s := range c.s.ClientServices(c.d) {
		ips, ok := known[s.Host]
		if !ok {
			ips = c.leadsHere(ctx, check, s.Host)
			known[s.Host] = ips
		}
		if c.NoDial || len(ips) == 0 || s.STARTTLS || s.HTTPS {
			continue
		}
		err := c.dialTLS(ctx, s.Host.ASCII, ips, s.Port)
		switch {
		case err != nil && slices.ContainsFunc(ips, c.isLocal):
			c.add(check, Warning, "%s at %s port %d: %s. Behind NAT, that may be so from this machine only", s.Protocol, s.Host, s.Port, err)
		case err != nil:
			c.add(check, Failure, "%s at %s port %d: %s", s.Protocol, s.Host, s.Port, err)
		default:
			c.add(check, OK, "%s at %s port %d works, with a valid certificate", s.Protocol, s.Host, s.Port)
		}
	}
}

// autoconfig checks how mail programs get their settings.
func (c *dnsCheck) autoconfig(ctx context.Context) {
	const check = "AUTOCONFIG"
	if c.d.ReportsOnly || !hasAutoconfig(c.s) {
		return
	}
	name := config.Subdomain("autoconfig", c.d.Domain)
	if ips := c.leadsHere(ctx, check, name); len(ips) > 0 && !c.NoDial {
		err := c.get(ctx, "https://"+name.ASCII+"/mail/config-v1.1.xml?emailaddress=postmaster@"+c.d.Domain.ASCII, ips)
		switch {
		case err != nil && slices.ContainsFunc(ips, c.isLocal):
			c.add(check, Warning, "settings from %s: %s. Behind NAT, that may be so from this machine only", name, err)
		case err != nil:
			c.add(check, Failure, "settings from %s: %s", name, err)
		default:
			c.add(check, OK, "mail programs get their settings from %s", name)
		}
	}
	srvs, _, err := c.Resolver.LookupSRV(ctx, "autodiscover", "tcp", c.d.Domain.ASCII+".")
	switch {
	case missing(err):
		c.add(check, Warning, "there is no SRV record at _autodiscover._tcp.%s, from which Outlook gets its settings: see \"mox config dnsrecords\"", c.d.Domain.ASCII)
		return
	case err != nil:
		c.add(check, Failure, "_autodiscover._tcp.%s: %s", c.d.Domain.ASCII, err)
		return
	}
	for _, srv := range srvs {
		d, err := dns.ParseDomainLax(srv.Target)
		switch {
		case err != nil || srv.Port != 443:
			c.add(check, Failure, "the record for autodiscover leads to %s port %d, and not to this server and port 443", srv.Target, srv.Port)
		default:
			c.leadsHere(ctx, check, d)
		}
	}
}

// get does a request, to see that it works.
func (c *dnsCheck) get(ctx context.Context, url string, ips []net.IP) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return c.Dial(ctx, network, net.JoinHostPort(ips[0].String(), port))
		},
		TLSClientConfig:   &tls.Config{RootCAs: c.Roots},
		DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// caa checks that the authorities may make the certificates that they are asked for.
func (c *dnsCheck) caa(ctx context.Context) {
	if c.CAA == nil {
		return
	}
	for _, a := range authorities(c.s) {
		uri := certs.AccountURI(c.s.DataDir, a.Name)
		var open []string
		names := c.s.CertificateHosts(a.Name)
		names = slices.DeleteFunc(slices.Clone(names), func(d dns.Domain) bool {
			return d != c.s.Hostname && d != c.d.Domain && !strings.HasSuffix(d.ASCII, "."+c.d.Domain.ASCII)
		})
		for _, name := range names[:min(len(names), maxHosts)] {
			l, at, err := relevantCAA(ctx, c.CAA, name.ASCII)
			switch {
			case err != nil:
				c.add("CAA", Failure, "%s: %s; authorities make no certificates then", name, err)
			case len(l) == 0:
				open = append(open, name.String())
			case !permits(l, a.IssuerDomainName, uri, validationMethods(a)):
				c.add("CAA", Failure, "the CAA records at %s do not let %s make certificates for %s: see \"mox config dnsrecords\"", at, a.IssuerDomainName, name)
			default:
				c.add("CAA", OK, "the CAA records at %s let %s make certificates for %s", at, a.IssuerDomainName, name)
			}
		}
		if len(open) > 0 {
			c.add("CAA", OK, "any authority may make certificates for %s; CAA records could say that only %s may", strings.Join(open, ", "), a.IssuerDomainName)
		}
	}
}
