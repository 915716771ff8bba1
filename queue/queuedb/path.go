package queuedb

import (
	"mox/dns"
	"mox/smtp"
)

// splitPath returns the stored form of a path. Local-parts are kept decoded and
// domains in ASCII: the other forms follow from those.
func splitPath(p smtp.Path) (localpart, domain string) {
	if p.IPDomain.IsZero() {
		return string(p.Localpart), ""
	}
	return string(p.Localpart), smtp.FormatDomain(p.IPDomain, false)
}

// joinPath is the reverse of splitPath.
func joinPath(localpart, domain string) smtp.Path {
	p := smtp.Path{Localpart: smtp.Localpart(localpart)}
	if domain == "" {
		return p
	}
	ehlo, err := smtp.ParseEHLO(domain, smtp.Lenient)
	if err != nil {
		// It was parsed before it was stored, by rules that may have become stricter.
		ehlo = dns.IPDomain{Domain: dns.Domain{ASCII: domain}}
	}
	p.IPDomain = ehlo
	return p
}

// Sender returns the reverse-path, zero for the null reverse-path.
func (m Message) Sender() smtp.Path {
	return joinPath(m.SenderLocalpart, m.SenderDomain)
}

// Recipient returns the forward-path.
func (m Message) Recipient() smtp.Path {
	return joinPath(m.RecipientLocalpart, m.RecipientDomain)
}

// lane returns the lane of the message: how many deliveries are made at a time is
// a matter of where they go, and notices for an account are a lane of their own.
func (m Message) lane() string {
	if m.Failed {
		return "@" + m.Account
	}
	return m.RecipientDomain
}

// bulk reports whether the message waits with bulk mail. Notices do not.
func (m Message) bulk() bool { return m.Bulk && !m.Failed }

// flow returns the name of the flow of the message. Neither domains nor names of
// accounts have a tab.
func (m Message) flow() string {
	class := "n"
	if m.bulk() {
		class = "b"
	}
	return m.lane() + "\t" + class + "\t" + m.Account
}
