package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"mox/dns"
	"mox/imap"
	"mox/smtp"
)

// checkDynamic checks domains.conf and puts what follows from it into s, which has
// what follows from mox.conf already.
func (c *checker) checkDynamic(s *Snapshot) {
	s.domains = make(map[dns.Domain]Domain, len(s.Dynamic.Domains))
	s.clientDomains = map[dns.Domain]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.Dynamic.Domains)) {
		c.addDomain(s, name, s.Dynamic.Domains[name])
	}
	s.accounts = make(map[string]Account, len(s.Dynamic.Accounts))
	s.addresses = make(map[address]Recipient, len(s.Dynamic.Accounts))
	for _, name := range slices.Sorted(maps.Keys(s.Dynamic.Accounts)) {
		c.addAccount(s, name, s.Dynamic.Accounts[name])
	}
	s.Routes = c.routes(s, "Routes", s.Dynamic.Routes)
	s.MonitorDNSBLs = c.domains("MonitorDNSBLs", s.Dynamic.MonitorDNSBLs)
	c.addReports(s)
	c.addAliases(s)
	s.reportsOnly()
	c.webserver(s)
	s.certificateHosts()
}

// staticAccounts checks what mox.conf says about domains.conf.
func (c *checker) staticAccounts(s *Snapshot) {
	if _, ok := s.accounts[s.postmaster.Account]; !ok {
		c.addf("Postmaster.Account", "account %q is not in domains.conf", s.postmaster.Account)
	}
	if s.tlsrpt == nil {
		return
	}
	if _, ok := s.accounts[s.tlsrpt.Account]; !ok {
		c.addf("HostTLSRPT.Account", "account %q is not in domains.conf", s.tlsrpt.Account)
	}
	if r, ok := s.addresses[address{s.tlsrpt.Canonical.Localpart, s.Hostname}]; ok {
		c.addf("HostTLSRPT.Localpart", "address is already %s", r.use())
	}
}

// Limits of separators in localparts.
const maxSeparatorLen = 16

func (c *checker) addDomain(s *Snapshot, name string, f DomainFields) {
	field := join("Domains", name)
	d := Domain{
		Domain:        c.domain(field, name),
		Disabled:      f.Disabled,
		Description:   f.Description,
		CaseSensitive: f.LocalpartCaseSensitive,
		Separators:    slices.Clone(f.LocalpartCatchallSeparators),
	}
	sepField := func(i int) string { return fmt.Sprintf("%s.LocalpartCatchallSeparators[%d]", field, i) }
	if f.LocalpartCatchallSeparator != "" {
		if len(d.Separators) > 0 {
			c.addf(field+".LocalpartCatchallSeparators", "only one of LocalpartCatchallSeparator and LocalpartCatchallSeparators can be set")
		}
		d.Separators = []string{f.LocalpartCatchallSeparator}
		sepField = func(int) string { return field + ".LocalpartCatchallSeparator" }
	}
	for i, sep := range d.Separators {
		switch {
		case sep == "":
			c.addf(sepField(i), "separator is empty")
		case len(sep) > maxSeparatorLen:
			c.addf(sepField(i), "separator is longer than %d bytes", maxSeparatorLen)
		case strings.Contains(sep, "@") || !utf8.ValidString(sep) || !norm.NFC.IsNormalString(sep):
			c.addf(sepField(i), "separator %q is not possible: it cannot have an @ and must be in unicode normal form c", sep)
		case slices.Contains(d.Separators[:i], sep):
			c.addf(sepField(i), "separator %q is listed twice", sep)
		}
	}
	d.Routes = c.routes(s, field+".Routes", f.Routes)
	c.addDKIM(s, field+".DKIM", &d, f.DKIM)
	c.dnsProvider(s, field+".DNSProvider", f.DNSProvider)
	if f.ClientSettingsDomain != "" {
		d.ClientSettingsDomain = c.domain(field+".ClientSettingsDomain", f.ClientSettingsDomain)
		s.clientDomains[d.ClientSettingsDomain] = true
	}
	d.MTASTS = c.mtasts(s, field+".MTASTS", f.MTASTS)
	if !d.Domain.IsZero() {
		s.domains[d.Domain] = d
	}
}

// maxText is the longest text in an error for remote parties, in bytes.
const maxText = 255

// replyText checks a text that becomes part of a reply to a client.
func (c *checker) replyText(field, s string) {
	if len(s) > maxText {
		c.addf(field, "text is longer than %d characters", maxText)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		c.addf(field, "text can only have printable ASCII characters")
	}
}

// perDay returns a limit per day or its default.
func (c *checker) perDay(field string, n, def int) int {
	c.notNegative(field, int64(n))
	if n == 0 {
		return def
	}
	return n
}

func (c *checker) addAccount(s *Snapshot, name string, f AccountFields) {
	field := join("Accounts", name)
	c.accountName(field, name)
	c.replyText(field+".LoginDisabled", f.LoginDisabled)
	a := Account{
		Name:          name,
		Domain:        c.domain(field+".Domain", f.Domain),
		Description:   f.Description,
		LoginDisabled: f.LoginDisabled,
		Destinations:  make(map[string]Destination, len(f.Destinations)),

		QuotaMessageSize:             max(cmp.Or(f.QuotaMessageSize, s.quota), 0),
		QuotaMessages:                max(cmp.Or(f.QuotaMessages, s.quotaMessages), 0),
		MaxOutgoingMessagesPerDay:    c.perDay(field+".MaxOutgoingMessagesPerDay", f.MaxOutgoingMessagesPerDay, DefaultMaxOutgoingPerDay),
		MaxFirstTimeRecipientsPerDay: c.perDay(field+".MaxFirstTimeRecipientsPerDay", f.MaxFirstTimeRecipientsPerDay, DefaultMaxFirstTimeRcptPerDay),
		CRAMMD5:                      f.CRAMMD5,
	}
	if f.RejectsMailbox != "" {
		a.RejectsMailbox, a.KeepRejects = c.otherMailbox(field+".RejectsMailbox", f.RejectsMailbox), f.KeepRejects
	} else if f.KeepRejects {
		c.addf(field+".KeepRejects", "needs RejectsMailbox")
	}
	c.accountJunk(field, &a, f)
	s.crammd5 = s.crammd5 || a.CRAMMD5
	if _, ok := s.domains[a.Domain]; !ok && !a.Domain.IsZero() {
		c.addf(field+".Domain", "domain %q is not in Domains", f.Domain)
	}
	for _, key := range slices.Sorted(maps.Keys(f.Destinations)) {
		df := join(field+".Destinations", key)
		d := c.destination(s, df, f.Destinations[key])
		a.Destinations[key] = d
		c.addAddress(s, df, key, Recipient{Account: name, Destination: d})
	}
	c.accountKeep(field, &a, f)
	c.accountQueue(s, field, &a, f)
	s.accounts[name] = a
}

func (c *checker) destination(s *Snapshot, field string, f DestinationFields) Destination {
	d := Destination{Mailbox: imap.Inbox}
	if f.Mailbox != "" {
		d.Mailbox = c.mailbox(field+".Mailbox", f.Mailbox)
	}
	d.Rulesets = c.rulesets(field+".Rulesets", f.Rulesets)
	if text := f.MessageAuthRequiredSMTPError; text != "" {
		c.replyText(field+".MessageAuthRequiredSMTPError", text)
		d.MessageAuthRequired = &smtp.Error{Code: 550, Enhanced: "5.7.26", Text: text}
	}
	d.ForwardTo, d.ForwardOnly = c.forwardTo(s, field+".ForwardTo", f.ForwardTo), f.ForwardOnly
	if f.ForwardOnly && len(f.ForwardTo) == 0 {
		c.addf(field+".ForwardOnly", "needs ForwardTo")
	}
	if f.SMTPError == "" {
		return d
	}
	if f.Mailbox != "" || len(f.Rulesets) > 0 || len(f.ForwardTo) > 0 {
		c.addf(field+".SMTPError", "cannot be set together with Mailbox, Rulesets or ForwardTo")
	}
	d.SMTPError = c.smtpError(field+".SMTPError", f.SMTPError)
	return d
}

// smtpError returns the reply for a destination that refuses mail. The code for a
// temporary error in the file is 421, which as a reply would mean that the
// connection is closed (RFC 5321 §4.2.3), so 451 is sent.
func (c *checker) smtpError(field, s string) *smtp.Error {
	c.replyText(field, s)
	code, text, _ := strings.Cut(s, " ")
	switch code {
	case "421":
		e := &smtp.Error{Code: 451, Enhanced: "4.3.0", Text: text}
		if text == "" {
			e.Text = "mail for this address is not accepted at the moment"
		}
		return e
	case "550":
		e := &smtp.Error{Code: 550, Enhanced: "5.1.1", Text: text}
		if text == "" {
			e.Text = "no such address"
		}
		return e
	}
	c.addf(field, "must start with 421 or 550, optionally followed by a space and a text")
	return nil
}

// addAddress adds a destination to the addresses that are looked up.
func (c *checker) addAddress(s *Snapshot, field, key string, r Recipient) {
	local, domain, ok := cutLast(key, "@")
	if !ok {
		c.addf(field, "address %q has no domain, write it as %s@domain", key, key)
		return
	}
	dom, ok := s.domains[c.domain(field, domain)]
	if !ok {
		if _, err := dns.ParseDomain(domain); err == nil {
			c.addf(field, "domain %q of address is not in Domains", domain)
		}
		return
	}
	var canonical smtp.Localpart
	if local == "" {
		r.CatchAll = true
	} else {
		addr, err := smtp.ParseAddress(key, smtp.Lenient)
		if err != nil {
			c.addf(field, "%s", trimPkg(err))
			return
		}
		if addr.Localpart == "" {
			c.addf(field, "localpart is empty, write the catchall as @%s", domain)
			return
		}
		if !c.noSeparator(dom, field, addr.Localpart) {
			return
		}
		canonical = dom.Canonical(addr.Localpart)
	}
	k := address{canonical, dom.Domain}
	if other, ok := s.addresses[k]; ok {
		c.addf(field, "address is already %s (perhaps with other upper and lower case)", other.use())
		return
	}
	s.addresses[k] = r
}

// cutLast is strings.Cut around the last separator: a quoted localpart can have an
// @ too.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
