package admin

import (
	"context"
	"maps"
	"slices"

	"mox/config"
	"mox/config/edit"
	"mox/smtp"
)

// AliasInfo is about an alias.
type AliasInfo struct {
	Address string
	Fields  config.AliasFields
}

// Aliases returns the aliases of a domain by localpart.
func (a *Admin) Aliases(domain string) ([]AliasInfo, error) {
	d, err := parseDomain(domain)
	if err != nil {
		return nil, err
	}
	s := a.opts.Config.Snapshot()
	f, ok := s.Dynamic.Domains[d.Name()]
	if !ok {
		return nil, noDomain(d.Name())
	}
	var l []AliasInfo
	for _, localpart := range slices.Sorted(maps.Keys(f.Aliases)) {
		l = append(l, AliasInfo{localpart + "@" + d.Name(), f.Aliases[localpart]})
	}
	return l, nil
}

// Alias returns an alias.
func (a *Admin) Alias(address string) (AliasInfo, error) {
	s := a.opts.Config.Snapshot()
	al, err := findAlias(s, address)
	return AliasInfo{al.localpart + "@" + al.domain, al.fields}, err
}

// alias is an alias as it is in the file.
type alias struct {
	domain, localpart string
	fields            config.AliasFields
}

func (al alias) path() edit.Path {
	return edit.At("Domains", al.domain, "Aliases", al.localpart)
}

// findAlias returns an alias, which may be written in another way in the file.
func findAlias(s *config.Snapshot, address string) (alias, error) {
	addr, err := parseAddress(address)
	if err != nil {
		return alias{}, err
	}
	domain := addr.Domain.Name()
	for localpart, f := range s.Dynamic.Domains[domain].Aliases {
		if canonical(s, localpart+"@"+domain) == canonicalAddress(s, addr).String() {
			return alias{domain, localpart, f}, nil
		}
	}
	return alias{}, errorf(ErrNotFound, "alias %s does not exist", addr)
}

// member returns the index of a member of an alias, or -1.
func (al alias) member(s *config.Snapshot, addr smtp.Address) int {
	return slices.IndexFunc(al.fields.Addresses, func(m string) bool { return canonical(s, m) == canonicalAddress(s, addr).String() })
}

// AddAlias adds an alias.
func (a *Admin) AddAlias(ctx context.Context, address string, f config.AliasFields) error {
	addr, err := parseAddress(address)
	if err != nil {
		return err
	}
	return a.edit(ctx, "alias added", func(doc *edit.Doc, s *config.Snapshot) error {
		domain := addr.Domain.Name()
		if _, ok := s.Dynamic.Domains[domain]; !ok {
			return noDomain(domain)
		}
		if _, err := findAlias(s, address); err == nil {
			return errorf(ErrExists, "alias %s exists already", addr)
		}
		return doc.Set(edit.At("Domains", domain, "Aliases", addr.Localpart.String()), f)
	}, "alias", addr, "members", len(f.Addresses))
}

// AliasChange is what to change in an alias. What is nil stays.
type AliasChange struct {
	PostPublic, ListMembers, AllowMsgFrom *bool
}

// UpdateAlias changes an alias.
func (a *Admin) UpdateAlias(ctx context.Context, address string, c AliasChange) error {
	return a.edit(ctx, "alias changed", func(doc *edit.Doc, s *config.Snapshot) error {
		al, err := findAlias(s, address)
		if err != nil {
			return err
		}
		for _, f := range []struct {
			name  string
			value *bool
		}{{"PostPublic", c.PostPublic}, {"ListMembers", c.ListMembers}, {"AllowMsgFrom", c.AllowMsgFrom}} {
			if f.value == nil {
				continue
			}
			if err := doc.Set(al.path().Key(f.name), *f.value); err != nil {
				return err
			}
		}
		return nil
	}, "alias", address)
}

// RemoveAlias removes an alias.
func (a *Admin) RemoveAlias(ctx context.Context, address string) error {
	return a.edit(ctx, "alias removed", func(doc *edit.Doc, s *config.Snapshot) error {
		al, err := findAlias(s, address)
		if err != nil {
			return err
		}
		return doc.Remove(al.path())
	}, "alias", address)
}

// AddMembers adds members to an alias.
func (a *Admin) AddMembers(ctx context.Context, address string, members ...string) error {
	return a.edit(ctx, "members added to alias", func(doc *edit.Doc, s *config.Snapshot) error {
		al, err := findAlias(s, address)
		if err != nil {
			return err
		}
		for _, m := range members {
			addr, err := parseAddress(m)
			if err != nil {
				return err
			}
			if al.member(s, addr) >= 0 {
				return errorf(ErrExists, "%s is a member of alias %s already", addr, address)
			}
			al.fields.Addresses = append(slices.Clone(al.fields.Addresses), addr.String())
			if err := doc.Add(al.path().Key("Addresses"), addr.String()); err != nil {
				return err
			}
		}
		return nil
	}, "alias", address, "members", members)
}

// RemoveMembers removes members from an alias, of which one must stay.
func (a *Admin) RemoveMembers(ctx context.Context, address string, members ...string) error {
	return a.edit(ctx, "members removed from alias", func(doc *edit.Doc, s *config.Snapshot) error {
		al, err := findAlias(s, address)
		if err != nil {
			return err
		}
		for _, m := range members {
			addr, err := parseAddress(m)
			if err != nil {
				return err
			}
			i := al.member(s, addr)
			if i < 0 {
				return errorf(ErrNotFound, "%s is not a member of alias %s", addr, address)
			}
			if al, err = al.without(doc, i); err != nil {
				return err
			}
		}
		return nil
	}, "alias", address, "members", members)
}

// without removes a member.
func (al alias) without(doc *edit.Doc, i int) (alias, error) {
	if len(al.fields.Addresses) == 1 {
		return al, errorf(ErrInUse, "%s is the last member of alias %s@%s, remove the alias first", al.fields.Addresses[i], al.localpart, al.domain)
	}
	if err := doc.Remove(al.path().Key("Addresses").Item(i)); err != nil {
		return al, err
	}
	al.fields.Addresses = slices.Delete(slices.Clone(al.fields.Addresses), i, i+1)
	return al, nil
}

// leaveAliases removes an address from all aliases. Each must keep a member. s is the
// snapshot that an edit has for itself: it is changed along, for the next address.
func leaveAliases(doc *edit.Doc, s *config.Snapshot, addr smtp.Address) error {
	for domain, f := range s.Dynamic.Domains {
		for localpart, fields := range f.Aliases {
			al := alias{domain, localpart, fields}
			for i := al.member(s, addr); i >= 0; i = al.member(s, addr) {
				var err error
				if al, err = al.without(doc, i); err != nil {
					return err
				}
			}
			s.Dynamic.Domains[domain].Aliases[localpart] = al.fields
		}
	}
	return nil
}
