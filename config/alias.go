package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mox/smtp"
)

// MaxAliasMembers is how many members an alias can have: each message to it is
// judged and stored for each of them while the client waits.
const MaxAliasMembers = 1000

// Alias is an address with several members.
type Alias struct {
	Address      smtp.Address // In canonical form.
	Members      []AliasMember
	ForwardTo    []smtp.Address // Members elsewhere.
	PostPublic   bool           // Everyone can write to it, not only members.
	ListMembers  bool           // Members can see who the others are.
	AllowMsgFrom bool           // Members can send from it.
}

// AliasMember is a member of an alias.
type AliasMember struct {
	Address   smtp.Address // In canonical form.
	Recipient Recipient    // Always of an account.
}

// Expands reports whether an address stands for several others.
func (r Recipient) Expands() bool {
	return r.Alias != nil && len(r.Alias.Members)+len(r.Alias.ForwardTo) > 1
}

// HasAccount reports whether an address of an account is a member.
func (a *Alias) HasAccount(account string) bool {
	return slices.ContainsFunc(a.Members, func(m AliasMember) bool { return m.Recipient.Account == account })
}

// addAliases adds the aliases of all domains, after all addresses they can have as
// members.
func (c *checker) addAliases(s *Snapshot) {
	aliases := map[address]Recipient{}
	for _, d := range slices.SortedFunc(maps.Values(s.domains), byName) {
		field := join("Domains", d.Domain.Name()) + ".Aliases"
		fields := s.Dynamic.Domains[d.Domain.Name()].Aliases
		d.Aliases = make(map[smtp.Localpart]*Alias, len(fields))
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if a := c.alias(s, d, join(field, name), name, fields[name]); a != nil && d.Aliases[a.Address.Localpart] != nil {
				c.addf(join(field, name), "address is already an alias (perhaps with other upper and lower case)")
			} else if a != nil {
				d.Aliases[a.Address.Localpart] = a
				aliases[address{a.Address.Localpart, d.Domain}] = Recipient{Alias: a}
			}
		}
		s.domains[d.Domain] = d
	}
	maps.Copy(s.addresses, aliases)
}

func (c *checker) alias(s *Snapshot, d Domain, field, name string, f AliasFields) *Alias {
	canonical, ok := c.localpart(d, field, name)
	if !ok {
		return nil
	}
	a := &Alias{
		Address:      smtp.Address{Localpart: canonical, Domain: d.Domain},
		PostPublic:   f.PostPublic,
		ListMembers:  f.ListMembers,
		AllowMsgFrom: f.AllowMsgFrom,
	}
	if r, ok := s.addresses[address{canonical, d.Domain}]; ok {
		c.addf(field, "address is already %s", r.use())
	}
	switch n := len(f.Addresses); {
	case n == 0:
		c.addf(field+".Addresses", "at least one address is needed")
	case n > MaxAliasMembers:
		c.addf(field+".Addresses", "%d addresses are more than the %d that are possible", n, MaxAliasMembers)
		return a
	}
	a.ForwardTo = c.forwardTo(s, field+".ForwardTo", f.ForwardTo)
	seen := make(map[smtp.Address]bool, len(f.Addresses))
	for i, text := range f.Addresses {
		field := fmt.Sprintf("%s.Addresses[%d]", field, i)
		m, ok := c.aliasMember(s, field, text)
		if !ok {
			continue
		}
		if seen[m.Address] {
			c.addf(field, "address is listed twice")
		}
		seen[m.Address] = true
		a.Members = append(a.Members, m)
	}
	return a
}

// aliasMember returns the member for an address, which must be one of an account, and
// there on its own account: not through a catchall.
func (c *checker) aliasMember(s *Snapshot, field, text string) (AliasMember, bool) {
	addr, err := smtp.ParseAddress(text, smtp.Lenient)
	if err != nil {
		c.addf(field, "%s", trimPkg(err))
		return AliasMember{}, false
	}
	d, ok := s.domains[addr.Domain]
	if !ok {
		c.addf(field, "domain %q of address is not in Domains", addr.Domain.Name())
		return AliasMember{}, false
	}
	canonical := d.folded(addr.Localpart)
	r, ok := s.addresses[address{canonical, d.Domain}]
	if !ok || canonical == "" || r.Report != ReportNone {
		c.addf(field, "%q is not an address of an account", text)
		return AliasMember{}, false
	}
	r.Canonical = smtp.Address{Localpart: canonical, Domain: d.Domain}
	return AliasMember{Address: r.Canonical, Recipient: r}, true
}

// localpart checks a localpart in a domain and returns its canonical form.
func (c *checker) localpart(d Domain, field, text string) (smtp.Localpart, bool) {
	addr, err := smtp.ParseAddress(text+"@"+d.Domain.ASCII, smtp.Lenient)
	switch {
	case err != nil:
		c.addf(field, "%q is not a localpart, write it without @ and domain", text)
		return "", false
	case addr.Localpart == "":
		c.addf(field, "localpart is empty")
		return "", false
	}
	return d.Canonical(addr.Localpart), c.noSeparator(d, field, addr.Localpart)
}

// noSeparator checks that a localpart has no separator of its domain in it.
func (c *checker) noSeparator(d Domain, field string, localpart smtp.Localpart) bool {
	for _, sep := range d.Separators {
		if strings.Contains(string(localpart), sep) {
			c.addf(field, "address has the separator %q of its domain in it, so it cannot be reached", sep)
			return false
		}
	}
	return true
}

// sendsAs reports whether an account may send as an alias.
func (a *Alias) sendsAs(account string) bool {
	return a.AllowMsgFrom && a.HasAccount(account)
}
