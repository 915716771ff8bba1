package dkim

import (
	"errors"
	"fmt"
	"strings"

	"mox/dns"
	"mox/publicsuffix"
)

// policy returns why a signature is not acceptable to us, whether it verifies or
// not. The error matches ErrPolicy.
func (v *verification) policy(s *Sig) error {
	if v.opts.IsPublicSuffix(s.Domain) {
		return &PolicyError{RulePublicSuffix, fmt.Sprintf("d=%s is a public suffix", s.Domain.ASCII)}
	}
	if s.Length >= 0 && !v.opts.AllowLength {
		return &PolicyError{RuleBodyLength, "only a part of the body is signed, with l="}
	}
	if err := v.covers(s, "From"); err != nil {
		return err
	}
	for _, name := range v.opts.RequireSigned {
		if err := v.covers(s, name); err != nil {
			return err
		}
	}
	if v.opts.Policy == nil {
		return nil
	}
	err := v.opts.Policy(s)
	if err == nil || errors.Is(err, ErrPolicy) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrPolicy, err)
}

// covers returns an error if a signature does not cover all header fields of a
// name that the message has, or at least that there is none. A field beyond those
// that were signed may be the one that is shown (RFC 6376 §8.15).
func (v *verification) covers(s *Sig, name string) error {
	signed := 0
	for _, h := range s.SignedHeaders {
		if strings.EqualFold(h, name) {
			signed++
		}
	}
	lower := strings.ToLower(name)
	have := v.x.Count(lower)
	switch {
	case signed == 0:
		return &PolicyError{"unsigned-" + lower, name + " is not signed"}
	case have > signed:
		return &PolicyError{"unsigned-" + lower, fmt.Sprintf("%d fields %s, of which %d are signed", have, name, signed)}
	}
	return nil
}

// isPublicSuffix is the default of VerifyOptions.IsPublicSuffix. Suffixes that
// belong to one organisation, such as "github.io", can sign: it is that one who
// decides who does.
func isPublicSuffix(d dns.Domain) bool {
	suffix, _ := publicsuffix.Suffix(d, false)
	return suffix.ASCII == d.ASCII
}
