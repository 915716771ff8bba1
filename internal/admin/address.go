package admin

import (
	"context"
	"errors"
	"strings"

	"mox/config"
	"mox/config/edit"
	"mox/dns"
	"mox/queue/queuedb"
	"mox/smtp"
)

// parseAddress parses an address as an operator writes it.
func parseAddress(s string) (smtp.Address, error) {
	addr, err := smtp.ParseAddress(s, smtp.Lenient)
	if err == nil && addr.Localpart == "" {
		err = errors.New("localpart is empty")
	}
	if err != nil {
		return smtp.Address{}, errorf(ErrInvalid, "address %q: %s", s, err)
	}
	return addr, nil
}

func parseDomain(s string) (dns.Domain, error) {
	d, err := dns.ParseDomain(s)
	if err != nil {
		return dns.Domain{}, errorf(ErrInvalid, "domain %q: %s", s, err)
	}
	return d, nil
}

// destinationKey returns the key for an address, or for a catchall like @example.org, as
// new ones are written.
func destinationKey(s string) (string, error) {
	if domain, ok := strings.CutPrefix(s, "@"); ok {
		d, err := parseDomain(domain)
		return "@" + d.Name(), err
	}
	addr, err := parseAddress(s)
	return addr.String(), err
}

// inDomain reports whether a key of destinations is an address in a domain.
func inDomain(key string, d dns.Domain) bool {
	name := key[strings.LastIndex(key, "@")+1:]
	have, err := dns.ParseDomain(name)
	return err == nil && have == d
}

// findDestination returns the account and key of an address in the configuration, which
// may be written in another way there.
func findDestination(s *config.Snapshot, key string) (account, have string, ok bool) {
	want := canonical(s, key)
	for name, f := range s.Dynamic.Accounts {
		for k := range f.Destinations {
			if canonical(s, k) == want {
				return name, k, true
			}
		}
	}
	return "", "", false
}

// canonical returns an address in the form in which it is looked up, a catchall as it is.
func canonical(s *config.Snapshot, text string) string {
	addr, err := parseAddress(text)
	if err != nil {
		return text
	}
	return canonicalAddress(s, addr).String()
}

func canonicalAddress(s *config.Snapshot, addr smtp.Address) smtp.Address {
	d, _ := s.Domain(addr.Domain) // The zero Domain ignores case, and has no separators.
	addr.Localpart = d.Canonical(addr.Localpart)
	return addr
}

// AddressAccount returns the account that an address belongs to, also by a catchall.
func (a *Admin) AddressAccount(address string) (string, error) {
	addr, err := parseAddress(address)
	if err != nil {
		return "", err
	}
	acc, ok := a.opts.Config.Snapshot().LoginAccount(addr)
	if !ok {
		return "", errorf(ErrNotFound, "no account has address %s", addr)
	}
	return acc.Name, nil
}

// AddAddress adds an address to an account. One without localpart, @example.org, gets all
// mail of the domain that no other address gets.
func (a *Admin) AddAddress(ctx context.Context, address, account string) error {
	key, err := destinationKey(address)
	if err != nil {
		return err
	}
	return a.edit(ctx, "address added", func(doc *edit.Doc, s *config.Snapshot) error {
		if _, ok := s.Account(account); !ok {
			return noAccount(account)
		}
		if owner, _, ok := findDestination(s, key); ok {
			return errorf(ErrExists, "address %s belongs to account %q already", key, owner)
		}
		return doc.Set(edit.At("Accounts", account, "Destinations", key), config.DestinationFields{})
	}, "address", key, "account", account)
}

// RemoveAddress removes an address of an account. It leaves the aliases it is a member
// of, unless it is the last one there. It stays if a client certificate logs in with it,
// or messages from it are in the queue, unless the catchall gets its mail.
func (a *Admin) RemoveAddress(ctx context.Context, address string) error {
	key, err := destinationKey(address)
	if err != nil {
		return err
	}
	if err := a.addressUnused(ctx, a.opts.Config.Snapshot(), key); err != nil {
		return err
	}
	return a.edit(ctx, "address removed", func(doc *edit.Doc, s *config.Snapshot) error {
		account, have, ok := findDestination(s, key)
		if !ok {
			return errorf(ErrNotFound, "no account has address %s", key)
		}
		if len(s.Dynamic.Accounts[account].Destinations) == 1 {
			return errorf(ErrInUse, "address %s is the last one of account %q, remove the account instead", key, account)
		}
		if addr, err := parseAddress(have); err == nil {
			if err := leaveAliases(doc, s, addr); err != nil {
				return err
			}
		}
		return doc.Remove(edit.At("Accounts", account, "Destinations", have))
	}, "address", key)
}

// addressUnused returns an error if an address of an account is needed.
func (a *Admin) addressUnused(ctx context.Context, s *config.Snapshot, key string) error {
	account, have, ok := findDestination(s, key)
	if !ok {
		return nil
	}
	addr, err := parseAddress(have)
	if err != nil {
		return nil // A catchall.
	}
	if owner, _, ok := findDestination(s, "@"+addr.Domain.Name()); ok && owner == account {
		return nil
	}
	addr = canonicalAddress(s, addr)
	keys, err := a.opts.Logins.TLSPublicKeys(ctx, account)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if canonical(s, k.LoginAddress) == addr.String() {
			return errorf(ErrInUse, "client certificate %s logs in with address %s, remove it first", k.Fingerprint, addr)
		}
	}
	// Most filters are for parts of an address: look closer at what they find.
	for page := (queuedb.Page{Max: queuedb.MaxList}); ; {
		l, err := a.opts.Queue.List(ctx, queuedb.Filter{Account: account}, page)
		if err != nil {
			return err
		}
		for _, m := range l {
			page.AfterID = m.ID
			from, err := smtp.ParseAddress(m.SenderLocalpart+"@"+m.SenderDomain, smtp.Lenient)
			if err == nil && canonicalAddress(s, from) == addr {
				return errorf(ErrInUse, "messages from address %s are in the queue", addr)
			}
		}
		if len(l) < page.Max {
			return nil
		}
	}
}
