package inbound

import (
	"mox/dmarc"
	"mox/dns"
	"mox/publicsuffix"
	"mox/spf"
	"mox/store"
)

// tlsNone is Origin.TLSVersion for a connection without TLS.
const tlsNone = 1

// OriginOf returns what is remembered of where a message came from, for messages that
// are delivered without a decision.
func OriginOf(f Facts) *store.Origin {
	if f.shared == nil {
		f.Share()
	}
	return f.origin()
}

// origin returns what is remembered of a message, as it is before any check.
func (f *Facts) origin() *store.Origin {
	o := &store.Origin{
		EHLODomain:     f.EHLO.Domain.ASCII,
		MailFrom:       f.MailFrom.XString(true),
		MailFromDomain: f.MailFrom.IPDomain.Domain.ASCII,
		RcptTo:         f.Rcpt.XString(true),
		RcptToDomain:   f.Rcpt.IPDomain.Domain.ASCII,
		RequireTLS:     f.RequireTLS,
		IsDSN:          f.Digest.IsDSN(),
	}
	if f.RemoteIP.IsValid() {
		o.RemoteIP = f.RemoteIP.Unmap().String()
		o.TLSVersion = tlsNone
	}
	if f.TLS != nil {
		o.TLSVersion, o.TLSCipherSuite = f.TLS.Version, f.TLS.CipherSuite
	}
	author, err := f.shared.author()
	if err == nil {
		o.MsgFrom, o.MsgFromDomain = author.XString(true), author.Domain.ASCII
		o.MsgFromOrgDomain = store.OrgDomain(author.Domain.ASCII)
	}
	if a := f.Auth; a != nil {
		o.DKIMDomains = a.signers()
		o.EHLO, o.MailFromResult = a.envelopeValidation()
		o.EHLOValidated = o.EHLO == store.ValidationPass
		o.MailFromValidated = o.MailFromResult == store.ValidationPass
		if err == nil {
			o.MsgFromResult = a.fromValidation(author.Domain)
			o.MsgFromValidated = isValidated(o.MsgFromResult)
		}
	}
	return o
}

// sameOrganization reports whether one organization answers for both domains. Those
// below a domain of a company that lets others have names there are not one.
func sameOrganization(a, b dns.Domain) bool {
	x, ok1 := publicsuffix.Organization(a, true)
	y, ok2 := publicsuffix.Organization(b, true)
	return ok1 && ok2 && x == y
}

// isValidated reports whether a domain in From is that of the author.
func isValidated(v store.Validation) bool {
	return v == store.ValidationStrict || v == store.ValidationDMARC || v == store.ValidationRelaxed
}

// spfValidation is SPF results as they are stored.
var spfValidation = map[spf.Status]store.Validation{
	spf.StatusNone:      store.ValidationNone,
	spf.StatusNeutral:   store.ValidationNeutral,
	spf.StatusPass:      store.ValidationPass,
	spf.StatusFail:      store.ValidationFail,
	spf.StatusSoftfail:  store.ValidationSoftfail,
	spf.StatusTemperror: store.ValidationTemperror,
	spf.StatusPermerror: store.ValidationPermerror,
}

// envelopeValidation returns the results of SPF for the two domains, of which it checks
// one: that of EHLO for the null reverse-path.
func (a *Auth) envelopeValidation() (ehlo, mailFrom store.Validation) {
	if a.SPF.Identity == spf.IdentityHELO {
		return spfValidation[a.SPF.Status], store.ValidationUnknown
	}
	return store.ValidationUnknown, spfValidation[a.SPF.Status]
}

// fromValidation returns how it was found out that the message is from the domain in
// From. Domains of the same organization are good enough where the domain does not
// want otherwise.
func (a *Auth) fromValidation(from dns.Domain) store.Validation {
	if a.FromErr != nil || len(a.From) != 1 || a.From[0] != from {
		return store.ValidationFail // A mail program could show another author.
	}
	relaxed := false
	for _, d := range a.Passed() {
		if d == from {
			return store.ValidationStrict
		}
		relaxed = relaxed || sameOrganization(d, from)
	}
	switch a.DMARC.Status {
	case dmarc.StatusPass:
		return store.ValidationDMARC
	case dmarc.StatusFail:
		return store.ValidationFail
	}
	switch {
	case relaxed:
		return store.ValidationRelaxed
	case a.DMARC.Status == dmarc.StatusTemperror:
		return store.ValidationTemperror
	case a.DMARC.Status == dmarc.StatusPermerror:
		return store.ValidationPermerror
	}
	return store.ValidationNone
}
