package config

import (
	"fmt"
	"slices"

	"mox/dns"
	"mox/smtp"
)

// MaxForwardTo is how many addresses elsewhere mail for one address can be forwarded to.
const MaxForwardTo = 20

// forwardTo checks addresses elsewhere that mail is forwarded to. Those of this server
// cannot be among them: from these it could come back here without end.
func (c *checker) forwardTo(s *Snapshot, field string, texts []string) []smtp.Address {
	if n := len(texts); n > MaxForwardTo {
		c.addf(field, "%d addresses are more than the %d that are possible", n, MaxForwardTo)
		return nil
	}
	var l []smtp.Address
	for i, text := range texts {
		field := fmt.Sprintf("%s[%d]", field, i)
		addr, err := smtp.ParseAddress(text, smtp.Strict)
		switch {
		case err != nil:
			c.addf(field, "%s", trimPkg(err))
		case s.isOwn(addr.Domain):
			c.addf(field, "%q is an address of this server, for which an alias can be made", text)
		case slices.Contains(l, addr):
			c.addf(field, "address is listed twice")
		default:
			l = append(l, addr)
		}
	}
	return l
}

// isOwn reports whether a domain is one of this server.
func (s *Snapshot) isOwn(d dns.Domain) bool {
	_, ok := s.domains[d]
	return ok || d == s.Hostname || s.hostnames[d]
}
