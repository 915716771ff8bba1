package config

import (
	"time"

	"mox/smtp"
)

// NewAccount returns the fields of a new account with one address, as it is
// configured unless the operator wants it otherwise.
func NewAccount(addr smtp.Address) AccountFields {
	return AccountFields{
		Domain:         addr.Domain.Name(),
		Destinations:   map[string]DestinationFields{addr.String(): {}},
		RejectsMailbox: "Rejects",
		JunkFilter: &JunkFilterFields{
			Threshold: DefaultJunkThreshold,
		},
		AutomaticJunkFlags: NewAutomaticJunkFlags(),
		SubjectPass:        SubjectPassFields{Period: 12 * time.Hour},
	}
}

// NewAutomaticJunkFlags returns the AutomaticJunkFlags section of a new account. What
// is in other mailboxes than those named is not junk: somebody put it there.
func NewAutomaticJunkFlags() AutomaticJunkFlagsFields {
	return AutomaticJunkFlagsFields{
		Enabled:              true,
		JunkMailboxRegexp:    "^(junk|spam)",
		NeutralMailboxRegexp: "^(inbox|introbox|neutral|postmaster|dmarc|tlsrpt|rejects)",
	}
}
