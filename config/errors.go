package config

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of [Snapshot.LookupAddress].
var (
	// ErrDomainUnknown: mail for this domain is not handled here.
	ErrDomainUnknown = errors.New("domain not configured")
	// ErrAddressUnknown: the domain is ours, and has no such address.
	ErrAddressUnknown = errors.New("address not configured")
	// ErrDomainDisabled: the domain is ours, and does not take or send mail now.
	ErrDomainDisabled = errors.New("domain disabled")
)

// Error is one thing that is wrong in a configuration file.
type Error struct {
	File  string // Path as it was given. Empty for a configuration that is not from a file.
	Line  int    // From 1; 0 if it is not known.
	Field string // Like "Listeners.public.IPs[0]". Empty if the file as a whole is meant.
	Text  string // What is wrong, and where it helps what to write instead.
}

// Error returns "file:line: field: text", without what is not known.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Errors are all errors found in a configuration. It has at least one element.
type Errors []*Error

// Error returns the errors joined by "; ".
func (l Errors) Error() string {
	s := make([]string, len(l))
	for i, e := range l {
		s[i] = e.Error()
	}
	return strings.Join(s, "; ")
}

// err returns l as an error, nil if it is empty.
func (l Errors) err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}
