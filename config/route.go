package config

import (
	"fmt"
	"slices"
	"strings"

	"mox/dns"
)

// RouteFields is one element of Routes in domains.conf: of the file, of a domain, or
// of an account.
type RouteFields struct {
	FromDomain []string `sconf:"optional" sconf-doc:"Domains of senders. One with a dot before it stands for the domains below it too; a dot alone is any. If absent, the sender does not matter."`

	ToDomain []string `sconf:"optional" sconf-doc:"Domains of recipients, as in FromDomain."`

	MinimumAttempts int `sconf:"optional" sconf-doc:"How many attempts to deliver must have failed before. For a transport that is used when others do not work."`

	Transport string `sconf-doc:"Name of one of Transports in mox.conf."`
}

// Route says by which transport messages are sent.
type Route struct {
	From, To        []RouteDomain // Empty for any.
	MinimumAttempts int
	Transport       string
}

// RouteDomain is a domain, or with Below set also those below it. The zero domain
// with Below set is any.
type RouteDomain struct {
	Domain dns.Domain
	Below  bool
}

// Match reports whether d is meant.
func (r RouteDomain) Match(d dns.Domain) bool {
	if r.Below && r.Domain.IsZero() {
		return true
	}
	return !d.IsZero() && (d == r.Domain || r.Below && strings.HasSuffix(d.ASCII, "."+r.Domain.ASCII))
}

// Match reports whether the route is for messages from one domain to another, of which
// either may be zero for an address without one, after a number of failed attempts.
func (r Route) Match(from, to dns.Domain, attempts int) bool {
	match := func(l []RouteDomain, d dns.Domain) bool {
		return len(l) == 0 || slices.ContainsFunc(l, func(rd RouteDomain) bool { return rd.Match(d) })
	}
	return attempts >= r.MinimumAttempts && match(r.From, from) && match(r.To, to)
}

// Route returns the first route for messages of an account from one domain to
// another after a number of failed attempts: of those of the account, then of the
// domain of the sender, then of all.
func (s *Snapshot) Route(account string, from, to dns.Domain, attempts int) (Route, bool) {
	for _, l := range [][]Route{s.accounts[account].Routes, s.domains[from].Routes, s.Routes} {
		for _, r := range l {
			if r.Match(from, to, attempts) {
				return r, true
			}
		}
	}
	return Route{}, false
}

// routes checks routes.
func (c *checker) routes(s *Snapshot, field string, l []RouteFields) []Route {
	var routes []Route
	for i, f := range l {
		field := fmt.Sprintf("%s[%d]", field, i)
		c.notNegative(field+".MinimumAttempts", int64(f.MinimumAttempts))
		if _, ok := s.Static.Transports[f.Transport]; !ok {
			c.addf(field+".Transport", "transport %q is not in Transports in mox.conf", f.Transport)
		}
		routes = append(routes, Route{
			From:            c.routeDomains(field+".FromDomain", f.FromDomain),
			To:              c.routeDomains(field+".ToDomain", f.ToDomain),
			MinimumAttempts: f.MinimumAttempts,
			Transport:       f.Transport,
		})
	}
	return routes
}

func (c *checker) routeDomains(field string, names []string) []RouteDomain {
	var l []RouteDomain
	for i, name := range names {
		domain, below := strings.CutPrefix(name, ".")
		r := RouteDomain{Below: below}
		if domain != "" || !below {
			r.Domain = c.domain(fmt.Sprintf("%s[%d]", field, i), domain)
		}
		l = append(l, r)
	}
	return l
}
