package admin

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/smtp"
	"mox/spf"
	"mox/tlsrpt"
)

func (c *dnsCheck) spf(ctx context.Context) {
	for _, name := range []dns.Domain{c.d.Domain, c.s.Hostname} {
		for _, p := range c.senders() {
			if name == c.s.Hostname && p.host != name {
				continue // Notifications of the server are sent directly, and say so.
			}
			r := spf.Check(ctx, c.Log, c.Resolver, spf.Args{
				RemoteIP:      p.ip.AsSlice(),
				MailFrom:      smtp.Path{Localpart: "postmaster", IPDomain: dns.IPDomain{Domain: name}},
				HELO:          dns.IPDomain{Domain: p.host},
				LocalHostname: c.s.Hostname,
			})
			const advice = "correct the TXT record there, as \"mox config dnsrecords\" has it"
			switch {
			case r.Status == spf.StatusPass:
				c.add("SPF", OK, "%s may send mail from %s", p.ip, name)
			case r.Err != nil:
				c.add("SPF", Failure, "mail from %s sent by %s: %s: %s; %s", name, p.ip, r.Status, r.Err, advice)
			default:
				c.add("SPF", Failure, "mail from %s sent by %s: %s; %s", name, p.ip, r.Status, advice)
			}
		}
		if c.s.Hostname == c.d.Domain {
			break
		}
	}
}

func (c *dnsCheck) dkim(ctx context.Context) {
	const check = "DKIM"
	if len(c.d.Sign) == 0 && !c.d.ReportsOnly {
		c.add(check, Failure, "no keys sign mail of %s: make some with \"mox dkim genrsa\" or \"mox dkim gened25519\", and name them in section DKIM of the domain", c.d.Domain)
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
			c.add(check, Failure, "there is no TXT record at %s: add the one of \"mox config dnsrecords\"", w.Name)
		case err != nil:
			c.add(check, Failure, "%s: %s", w.Name, err)
		case len(l) != 1:
			c.add(check, Failure, "%d TXT records are at %s, where there must be one", len(l), w.Name)
		case !sameKey(l[0], w.Data):
			c.add(check, Failure, "the record at %s has another key than the configuration: signatures with ours are not valid", w.Name)
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
		c.add(check, Failure, "%d DMARC records are at %s, where there must be one: see \"mox config dnsrecords\"", len(l), name)
		return
	}
	r, err := dmarc.ParseRecord(l[0])
	if err != nil {
		c.add(check, Failure, "%s", err)
		return
	}
	bad := len(c.findings)
	if r.Policy == dmarc.PolicyNone {
		c.add(check, Warning, "the policy is none: mail from the domain that others made up is delivered. Use quarantine or reject when all servers that send for it are known")
	}
	if r.SubdomainPolicy == dmarc.PolicyNone {
		c.add(check, Warning, "the policy for names below the domain is none")
	}
	if c.d.DMARC == nil {
		c.add(check, Warning, "no address for reports is configured")
	} else if want := mailto(reportAddress(c.d.DMARC)); !slices.ContainsFunc(r.RUA, func(u dmarc.URI) bool { return sameURI(string(u), want) }) {
		c.add(check, Failure, "reports do not go to %s", want)
	}
	c.destinations(ctx, r)
	if len(c.findings) == bad {
		c.add(check, OK, "the policy is %s", r.Policy)
	}
}

// destinations checks that each address for reports is one that reports are sent to: other
// organizations must agree to get them (RFC 9990 §4).
func (c *dnsCheck) destinations(ctx context.Context, r dmarc.Record) {
	w := dmarc.NewWalker(c.Log, c.Resolver)
	check := func(uris []dmarc.URI, kind dmarc.ReportKind) {
		for _, u := range uris {
			d := w.CheckDestination(ctx, c.d.Domain, u, kind)
			switch {
			case errors.Is(d.Err, dmarc.ErrUnauthorized):
				c.add("DMARC", Failure, "%s does not agree to get reports: there must be a TXT record %q at %s", d.Host, d.Record, d.Name)
			case d.Err != nil:
				c.add("DMARC", Failure, "reports cannot be sent to %s: %s", u, d.Err)
			}
		}
	}
	check(r.RUA, dmarc.Aggregate)
	check(r.FailureURIs(), dmarc.Failure)
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
