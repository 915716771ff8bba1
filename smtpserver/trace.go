package smtpserver

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"mox/dns"
	"mox/message"
	"mox/smtp"
)

// receivedField returns the Received field for a message, RFC 5321 §4.4:
//
//	Time-stamp-line = "Received:" FWS Stamp <CRLF>
//	Stamp           = From-domain By-domain Opt-info [CFWS] ";" FWS date-time
//	Opt-info        = [Via] [With] [ID] [For] [Additional-Registered-Clauses]
//
// For a message that a user submits, it does not tell where the user is. A
// recipient is named only if there is one: others are not to know of it
// (RFC 5321 §7.2).
func (s *session) receivedField(t *transaction, now time.Time, clientName string) []byte {
	var w message.HeaderWriter
	utf8 := t.mail.SMTPUTF8
	w.Field("Received")
	if s.lis.Kind == Submission {
		w.Add("from", s.lis.Hostname.XName(utf8))
	} else {
		w.Add("from", s.heloName(utf8))
		w.Add(s.clientInfo(clientName, utf8)...)
	}
	w.Add("by", s.lis.Hostname.XName(utf8))
	if s.localIP.IsValid() {
		w.Add("(" + literal(s.localIP.AsSlice()) + ")")
	}
	w.Add("via", "tcp")
	w.Add("with", s.protocol(utf8))
	if t.mail.RequireTLS {
		w.Add("(requiretls)")
	}
	last := []string{"id", s.id}
	if s.tls != nil {
		last = append(last, "("+strings.ReplaceAll(tls.VersionName(s.tls.Version), " ", ""), tls.CipherSuiteName(s.tls.CipherSuite)+")")
	}
	if len(t.recipients) == 1 {
		last = append(last, "for", "<"+t.recipients[0].path.XString(utf8)+">")
	}
	last[len(last)-1] += ";"
	w.Add(last...)
	w.AddText(message.FormatDate(now))
	return w.Bytes()
}

// heloName returns what the client calls itself.
func (s *session) heloName(utf8 bool) string {
	if s.hello.name.IsZero() {
		return "unknown" // Neither a name nor an IP address, as on a unix socket.
	}
	return smtp.FormatDomain(s.hello.name, utf8)
}

// clientInfo returns the words of a comment with what is known of the client from
// its connection: TCP-info of RFC 5321 §4.4, and the name in ASCII if the client
// gave another form.
func (s *session) clientInfo(clientName string, utf8 bool) []string {
	var words []string
	if clientName != "" && !strings.EqualFold(clientName, s.hello.name.Domain.ASCII) {
		words = append(words, clientName)
	}
	if s.remoteIP.IsValid() {
		words = append(words, literal(s.remoteIP.AsSlice()))
	}
	if len(words) > 0 {
		words[0] = "(" + words[0]
		words[len(words)-1] += ")"
	}
	if d := s.hello.name.Domain; utf8 && d.Unicode != "" {
		words = append(words, "("+d.ASCII+")")
	}
	return words
}

// literal returns an address literal.
func literal(ip net.IP) string {
	return smtp.FormatDomain(dns.IPDomain{IP: ip}, false)
}

// protocol returns the name for the with clause, RFC 3848 and RFC 6531 §4.3.
func (s *session) protocol(utf8 bool) string {
	if !s.hello.esmtp {
		return "SMTP"
	}
	p := "ESMTP"
	switch lmtp := s.lis.Kind == LMTP; {
	case lmtp && utf8:
		p = "UTF8LMTP"
	case lmtp:
		p = "LMTP"
	case utf8:
		p = "UTF8SMTP"
	}
	if s.tls != nil {
		p += "S"
	}
	if s.login != nil {
		p += "A"
	}
	return p
}

// lookupClientName begins to look up the name of the client's address, while the
// message is received. The function it returns waits for the name, which is empty
// unless it leads back to the address (RFC 8601 §3).
func (s *session) lookupClientName(ctx context.Context) func() string {
	r := s.srv.opts.Resolver
	if r == nil || s.lis.Kind != Delivery || !s.remoteIP.IsValid() {
		return func() string { return "" }
	}
	if s.clientName != nil {
		return s.clientName // Known from an earlier message.
	}
	ctx, cancel := context.WithTimeout(ctx, reverseTimeout)
	names := make(chan string, 1)
	s.srv.wg.Add(1)
	go func() {
		defer s.srv.wg.Done()
		defer cancel()
		names <- reverseName(ctx, r, net.IP(s.remoteIP.AsSlice()))
	}()
	name, known := "", false
	s.clientName = func() string {
		if !known {
			name, known = <-names, true
		}
		return name
	}
	return s.clientName
}

// reverseName returns a name of an address that leads back to it.
func reverseName(ctx context.Context, r dns.Resolver, ip net.IP) string {
	names, _, err := r.LookupAddr(ctx, ip)
	if err != nil {
		return ""
	}
	for i, name := range names {
		if i == maxReverseNames {
			break
		}
		d, err := dns.ParseDomainLax(strings.TrimSuffix(name, "."))
		if err != nil {
			continue
		}
		ips, _, err := r.LookupIP(ctx, "ip", d.ASCII+".")
		if err != nil {
			continue
		}
		for _, x := range ips {
			if x.Equal(ip) {
				return d.ASCII
			}
		}
	}
	return ""
}
