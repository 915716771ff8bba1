package smtpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"mox/dns"
	"mox/internal/lex"
	"mox/smtp"
)

// EHLO and HELO, RFC 5321 §4.1.1.1. What a client calls itself is not compared with
// its address or with anything else (RFC 5321 §4.1.4: "the server MUST NOT refuse to
// accept a message for this reason").

// hello is what is known since EHLO or HELO.
type hello struct {
	done  bool
	esmtp bool            // EHLO.
	name  dns.IPDomain    // What the client calls itself. Its address for submission clients.
	ext   smtp.Extensions // Offered. None for HELO.
}

// helloRequest is the argument of EHLO or HELO. The name is zero if it does not
// matter.
type helloRequest struct {
	name dns.IPDomain
}

// parseEHLO parses:
//
//	ehlo = "EHLO" SP ( Domain / address-literal ) CRLF
//
// Mail programs of users often call themselves something that is no name, and
// nothing depends on it, so that at a submission listener anything is taken.
func parseEHLO(g grammar, args string) (helloRequest, error) {
	if g.kind == Submission && g.mode == smtp.Lenient {
		return helloRequest{}, nil
	}
	name, err := smtp.ParseEHLO(args, g.mode)
	if err != nil {
		return helloRequest{}, smtp.Errorf(smtp.C501BadParameters, smtp.Se54InvalidArguments, "%s", err)
	}
	return helloRequest{name}, nil
}

// parseHELO parses:
//
//	helo = "HELO" SP Domain CRLF
func parseHELO(g grammar, args string) (helloRequest, error) {
	req, err := parseEHLO(g, args)
	if err == nil && req.name.IsIP() {
		err = smtp.Errorf(smtp.C501BadParameters, smtp.Se54InvalidArguments, "HELO needs a domain name, not an address")
	}
	return req, err
}

func runEHLO(_ context.Context, s *session, req helloRequest) (smtp.Reply, error) {
	s.greet(req, true)
	return smtp.Reply{Code: smtp.C250Completed, Text: strings.Join(s.capabilities(time.Now()), "\n")}, nil
}

// runHELO also checks that the name exists: those who cannot speak ESMTP and do not
// know their name are not mail servers.
func runHELO(ctx context.Context, s *session, req helloRequest) (smtp.Reply, error) {
	if r := s.srv.opts.Resolver; r != nil && req.name.IsDomain() {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		_, _, err := r.LookupIP(ctx, "ip", req.name.Domain.ASCII+".")
		if errors.Is(err, dns.ErrNotFound) {
			return smtp.Reply{}, smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se50ProtocolOther, "your HELO domain does not exist").WithCause(err)
		}
	}
	s.greet(req, false)
	return smtp.Reply{Code: smtp.C250Completed, Text: s.lis.Hostname.ASCII}, nil
}

// greet begins a new session for the client, in which it stays logged in.
func (s *session) greet(req helloRequest, esmtp bool) {
	s.abandon()
	s.hello = hello{done: true, esmtp: esmtp, name: req.name}
	if req.name.IsZero() && s.remoteIP.IsValid() {
		s.hello.name.IP = net.IP(s.remoteIP.AsSlice())
	}
	if esmtp {
		s.hello.ext = s.extensions()
	}
}

// extensions returns what is offered at this moment.
func (s *session) extensions() smtp.Extensions {
	ext := smtp.ExtPipelining | smtp.ExtSize | smtp.ExtEnhancedStatusCodes | smtp.Ext8BITMIME | smtp.ExtChunking | smtp.ExtLimits | smtp.ExtSMTPUTF8
	if s.canStartTLS() {
		ext |= smtp.ExtStartTLS
	}
	if s.tls != nil && s.lis.offersRequireTLS() {
		ext |= smtp.ExtRequireTLS // RFC 8689 §2: with TLS only.
	}
	if s.lis.Kind != LMTP {
		// Without it, an LMTP client tells senders itself: a delivery is a delivery.
		ext |= smtp.ExtDSN
	}
	if s.lis.Kind != Submission {
		// What users send goes on to servers that do not take binary messages, with very few
		// exceptions; their programs can encode better than we could afterwards.
		ext |= smtp.ExtBinaryMIME
	} else {
		// RFC 4865 §4.2: not "on any port other than the submission port".
		ext |= smtp.ExtFutureRelease
		if len(s.mechanisms()) > 0 {
			ext |= smtp.ExtAuth
		}
	}
	return ext
}

// offersRequireTLS reports whether REQUIRETLS is offered with TLS.
func (l *listener) offersRequireTLS() bool {
	return !l.NoRequireTLS && l.Kind != LMTP
}

// canStartTLS reports whether STARTTLS is possible.
func (s *session) canStartTLS() bool {
	return s.tls == nil && s.lis.TLSConfig != nil && !s.lis.NoSTARTTLS && s.lis.Kind != LMTP
}

// capabilities returns the lines of the reply to EHLO.
func (s *session) capabilities(now time.Time) []string {
	lines := []string{s.lis.Hostname.ASCII, "PIPELINING", fmt.Sprintf("SIZE %d", s.lis.MaxMessageSize)}
	ext := s.hello.ext
	if ext.Has(smtp.ExtStartTLS) {
		lines = append(lines, "STARTTLS")
	}
	if ext.Has(smtp.ExtRequireTLS) {
		lines = append(lines, "REQUIRETLS")
	}
	if ext.Has(smtp.ExtAuth) {
		lines = append(lines, "AUTH "+strings.Join(s.mechanisms(), " "))
	}
	if ext.Has(smtp.ExtFutureRelease) {
		until := now.Add(maxFutureRelease).UTC().Format(time.RFC3339)
		lines = append(lines, fmt.Sprintf("FUTURERELEASE %d %s", maxFutureRelease/time.Second, until))
	}
	lines = append(lines, "ENHANCEDSTATUSCODES", "8BITMIME", "CHUNKING")
	if ext.Has(smtp.ExtBinaryMIME) {
		lines = append(lines, "BINARYMIME")
	}
	if ext.Has(smtp.ExtDSN) {
		lines = append(lines, "DSN")
	}
	return append(lines, fmt.Sprintf("LIMITS RCPTMAX=%d", maxRecipients), "SMTPUTF8")
}

// trimmed returns a scanner over what trailing white space leaves.
func trimmed(g grammar, args string) *lex.Scanner {
	if g.mode == smtp.Lenient {
		args = strings.TrimRight(args, " \t")
	}
	return lex.New(args)
}
