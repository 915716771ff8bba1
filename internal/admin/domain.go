package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"mox/config"
	"mox/config/edit"
	"mox/dns"
	"mox/mtasts"
	"mox/smtp"
)

// Defaults of new domains.
const (
	separator       = "+"
	dmarcLocalpart  = "dmarcreports"
	dmarcMailbox    = "DMARC"
	tlsrptLocalpart = "tlsreports"
	tlsrptMailbox   = "TLSRPT"

	// policyMaxAge is for how long others keep a policy of MTA-STS: short, so that a
	// mistake does not last.
	policyMaxAge = 24 * time.Hour
)

func noDomain(name string) error {
	return errorf(ErrNotFound, "domain %s does not exist", name)
}

// ClientDomain returns the name that programs of users of a new domain connect to.
func ClientDomain(domain dns.Domain) dns.Domain { return config.Subdomain("mail", domain) }

// DomainFields returns the fields of a new domain with keys, of which an account gets
// reports. Policy is whether there is a listener for policies of MTA-STS, for which host gets mail.
func DomainFields(domain, host dns.Domain, dkim *config.DKIMFields, account string, policy bool, now time.Time) config.DomainFields {
	f := config.DomainFields{
		LocalpartCatchallSeparator: separator,
		DKIM:                       dkim,
		DMARC:                      &config.ReportFields{Localpart: dmarcLocalpart, Account: account, Mailbox: dmarcMailbox},
		TLSRPT:                     &config.ReportFields{Localpart: tlsrptLocalpart, Account: account, Mailbox: tlsrptMailbox},
	}
	if d := ClientDomain(domain); d != host {
		f.ClientSettingsDomain = d.Name()
	}
	if policy {
		f.MTASTS = &config.MTASTSFields{
			PolicyID: now.UTC().Format("20060102T150405"),
			Mode:     string(mtasts.ModeEnforce),
			MaxAge:   policyMaxAge,
			MX:       []string{host.Name()},
		}
	}
	return f
}

// NewDomain are options for [Admin.AddDomain].
type NewDomain struct {
	Domain   string
	Account  string // Gets reports about the domain.
	Disabled bool   // Mail for it is not taken yet.

	// Localpart is that of the address of Account if that is to be made too, and
	// otherwise empty.
	Localpart string
}

// AddDomain adds a domain, with new DKIM keys, and addresses for reports about it. It is
// of no use before its records, those of [DNSRecords], exist.
func (a *Admin) AddDomain(ctx context.Context, n NewDomain) (rerr error) {
	d, err := parseDomain(n.Domain)
	if err != nil {
		return err
	}
	var addr smtp.Address
	if n.Localpart != "" {
		if addr, err = parseAddress(n.Localpart + "@" + d.Name()); err != nil {
			return err
		}
	}
	// Before keys are made.
	if err := checkNewDomain(a.opts.Config.Snapshot(), d, n); err != nil {
		return err
	}
	dkim, err := config.NewDKIM(a.dir(), d, a.opts.Now())
	if err != nil {
		return err
	}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, a.removeKeys(dkim))
		}
	}()
	return a.edit(ctx, "domain added", func(doc *edit.Doc, s *config.Snapshot) error {
		if err := checkNewDomain(s, d, n); err != nil {
			return err
		}
		policy := slices.ContainsFunc(s.Listeners, func(l config.Listener) bool { return l.MTASTSHTTPS.Enabled })
		f := DomainFields(d, s.Hostname, dkim, n.Account, policy, a.opts.Now())
		f.Disabled = n.Disabled
		err := doc.Set(edit.At("Domains", d.Name()), f)
		if err != nil || n.Localpart == "" {
			return err
		}
		return addAccount(doc, s, n.Account, addr)
	}, "domain", d, "account", n.Account)
}

func checkNewDomain(s *config.Snapshot, d dns.Domain, n NewDomain) error {
	if _, ok := s.Dynamic.Domains[d.Name()]; ok {
		return errorf(ErrExists, "domain %s exists already", d)
	}
	_, ok := s.Account(n.Account)
	switch {
	case ok && n.Localpart != "":
		return errorf(ErrExists, "account %q exists already: leave out the localpart, and add its addresses in the domain one by one", n.Account)
	case !ok && n.Localpart == "":
		return errorf(ErrNotFound, "account %q does not exist: add the localpart of its address, so that it is made", n.Account)
	}
	return nil
}

// SetDomainDisabled makes mail for and from a domain be refused for the time being, or
// ends that.
func (a *Admin) SetDomainDisabled(ctx context.Context, domain string, disabled bool) error {
	d, err := parseDomain(domain)
	if err != nil {
		return err
	}
	return a.edit(ctx, "domain disabled or enabled", func(doc *edit.Doc, s *config.Snapshot) error {
		if _, ok := s.Dynamic.Domains[d.Name()]; !ok {
			return noDomain(d.Name())
		}
		return doc.Set(edit.At("Domains", d.Name(), "Disabled"), disabled)
	}, "domain", d, "disabled", disabled)
}

// RemoveDomain removes a domain without addresses. Its DKIM keys are moved to a directory
// "old" beside them, if no other domain has them. Client certificates that log in with an
// address of the domain, and accounts and reports that use it, are in the way.
func (a *Admin) RemoveDomain(ctx context.Context, domain string) error {
	d, err := parseDomain(domain)
	if err != nil {
		return err
	}
	keys, err := a.opts.Logins.TLSPublicKeys(ctx, "")
	if err != nil {
		return err
	}
	for _, k := range keys {
		if addr, err := parseAddress(k.LoginAddress); err == nil && addr.Domain == d {
			return errorf(ErrInUse, "client certificate %s of account %q logs in with address %s, remove it first", k.Fingerprint, k.Account, addr)
		}
	}
	var files []string
	err = a.edit(ctx, "domain removed", func(doc *edit.Doc, s *config.Snapshot) error {
		f, ok := s.Dynamic.Domains[d.Name()]
		if !ok {
			return noDomain(d.Name())
		}
		if len(s.Dynamic.Domains) == 1 {
			return errorf(ErrInUse, "%s is the last domain", d)
		}
		for _, acc := range accountInfos(s) {
			if slices.ContainsFunc(acc.Addresses, func(key string) bool { return inDomain(key, d) }) {
				return errorf(ErrInUse, "account %q has addresses in domain %s, remove them first", acc.Name, d)
			}
		}
		files = keyFiles(f.DKIM)
		return doc.Remove(edit.At("Domains", d.Name()))
	}, "domain", d)
	if err != nil {
		return err
	}
	return a.retireKeys(files)
}
