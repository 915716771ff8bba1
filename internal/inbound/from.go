package inbound

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mox/dmarc"
	"mox/dns"
	"mox/message"
)

// Mail programs do not agree on what a From field shows when it is not as RFC 5322
// §3.6.2 wants it: a message that one of them shows as from a bank must not pass
// because another reading of it has a domain that was authenticated. So all domains
// that some reading gives count, and the strictest of their policies.

// Errors about From: a message with one of them can show what nobody can check.
var (
	errFromNUL   = errors.New("from has a null byte")
	errFromEmpty = errors.New("from has no address that can be understood")
)

// shownFrom returns the domains of the addresses that a mail program could show as
// the author. There are none, and no error, if there is nothing to show. The error
// says that they cannot be told.
func shownFrom(h *message.Header) ([]dns.Domain, error) {
	if h.Cut {
		return nil, fmt.Errorf("%w: the header is too large to be sure", dmarc.ErrFrom)
	}
	var l domainList
	at := false
	for f := range h.All("From") {
		if bytes.IndexByte(f.Value, 0) >= 0 {
			return nil, errFromNUL
		}
		at = at || bytes.IndexByte(f.Value, '@') >= 0
		for _, reading := range readings(f) {
			l.add(message.ParseAddressList(reading))
		}
	}
	switch {
	case l.err != nil:
		return nil, l.err
	case len(l.domains) > dmarc.MaxFromDomains:
		return nil, fmt.Errorf("%w: more than %d domains", dmarc.ErrFrom, dmarc.MaxFromDomains)
	case len(l.domains) == 0 && at:
		return nil, errFromEmpty
	}
	return l.domains, nil
}

// readings returns the values that different mail programs take addresses from: the
// field as it is, and with encoded words decoded first, which RFC 2047 §6.2 says
// must not be done. A carriage return ends a line for some.
func readings(f message.Field) [][]byte {
	l := [][]byte{f.Value}
	if decoded := message.DecodeText(f.Unfolded()); decoded != f.Unfolded() {
		l = append(l, []byte(decoded))
		// Some show the name alone. One that is written as an address was not encoded for
		// want of ASCII.
		for _, a := range message.ParseAddressList(f.Value) {
			if name := a.DisplayName(); name != a.Name && strings.IndexByte(name, '@') > 0 && !strings.ContainsAny(name, " \t") {
				l = append(l, []byte(strings.Trim(name, `<>"'`)))
			}
		}
	}
	for piece := range bytes.SplitSeq(bytes.ReplaceAll(f.Value, []byte("\r\n"), nil), []byte("\r")) {
		if len(piece) < len(f.Value) && bytes.IndexByte(piece, '@') >= 0 {
			l = append(l, piece)
		}
	}
	return l
}

// domainList collects different domains.
type domainList struct {
	domains []dns.Domain
	err     error
}

func (l *domainList) add(addrs []message.Address) {
	for _, a := range addrs {
		if a.Kind != message.KindMailbox || len(l.domains) > dmarc.MaxFromDomains {
			continue
		}
		if a.Host == "" && strings.IndexByte(a.Mailbox, '@') < 0 {
			continue // Shows no domain, as "root".
		}
		d, err := dns.ParseDomainLax(a.Host)
		if err != nil {
			l.err = fmt.Errorf("%w: %w", dmarc.ErrFrom, err)
			continue
		}
		if !slices.Contains(l.domains, d) {
			l.domains = append(l.domains, d)
		}
	}
}
