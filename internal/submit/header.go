package submit

import (
	"errors"
	"fmt"
	"strings"

	"mox/dns"
	"mox/message"
	"mox/smtp"
)

// ErrFrom says that a header does not have exactly one From field with exactly one
// address.
var ErrFrom = errors.New("need exactly one From header field with exactly one address")

// From returns the address of the author of a message. The error matches ErrFrom.
func From(h *message.Header) (smtp.Address, error) {
	n := 0
	for range h.All("From") {
		n++
	}
	if n != 1 {
		return smtp.Address{}, fmt.Errorf("%w: found %d fields", ErrFrom, n)
	}
	var addrs []message.Address
	for _, a := range h.Addresses("From") {
		if a.Kind == message.KindMailbox {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) != 1 {
		return smtp.Address{}, fmt.Errorf("%w: found %d addresses", ErrFrom, len(addrs))
	}
	a := addrs[0]
	localpart, err := smtp.NewLocalpart(a.Mailbox, smtp.Lenient)
	if err != nil {
		return smtp.Address{}, fmt.Errorf("%w: %w", ErrFrom, err)
	}
	domain, err := dns.ParseDomain(a.Host)
	if err != nil {
		return smtp.Address{}, fmt.Errorf("%w: %w", ErrFrom, err)
	}
	return smtp.NewAddress(localpart, domain), nil
}

const extraPrefix = "X-Mox-Extra-"

// extra returns the key/value data in X-Mox-Extra-<key> fields.
func extra(h *message.Header) (map[string]string, error) {
	var m map[string]string
	for _, f := range h.Fields {
		if len(f.Name) <= len(extraPrefix) || !strings.EqualFold(string(f.Name[:len(extraPrefix)]), extraPrefix) {
			continue
		}
		key := canonicalKey(string(f.Name[len(extraPrefix):]))
		if _, ok := m[key]; ok {
			return nil, smtp.Errorf(smtp.C554TransactionFailed, smtp.Se60MediaOther, "duplicate header field %s%s", extraPrefix, key)
		}
		if m == nil {
			m = map[string]string{}
		}
		m[key] = message.DecodeText(f.Unfolded())
	}
	return m, nil
}

// canonicalKey returns the form in which keys are the same that are spelled
// differently: "Some-Key".
func canonicalKey(s string) string {
	b := []byte(strings.ToLower(s))
	up := true
	for i, c := range b {
		if up && 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
		up = c == '-'
	}
	return string(b)
}

// requireTLS returns false, for delivery also without verified TLS, if the message
// says "TLS-Required: No", and otherwise nil. RFC 8689 §5: a field with another
// value is ignored.
func requireTLS(h *message.Header) *bool {
	n := 0
	for f := range h.All("TLS-Required") {
		if !strings.EqualFold(f.Unfolded(), "no") {
			return nil
		}
		n++
	}
	if n == 0 {
		return nil
	}
	no := false
	return &no
}
