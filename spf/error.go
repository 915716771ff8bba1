package spf

import (
	"errors"
	"fmt"

	"mox/dns"
)

// Causes of results that are no verdict, to be matched with errors.Is. Failed
// lookups match the errors of package dns, malformed records [ErrSyntax].
var (
	ErrNoDomain        = errors.New("not a domain name with several labels")
	ErrNoRecord        = errors.New("no spf record")
	ErrMultipleRecords = errors.New("several spf records")
	ErrTooManyTerms    = fmt.Errorf("more than %d terms that need dns lookups", MaxTerms)
	ErrTooManyVoid     = fmt.Errorf("more than %d terms with dns lookups that find nothing", MaxVoidTerms)
	ErrTooManyMX       = fmt.Errorf("more than %d mx hosts", MaxMX)
)

// An Error says why there is no verdict.
type Error struct {
	Status Status // StatusNone, StatusTemperror or StatusPermerror.
	Domain string // Whose record it is about.
	Term   string // In that record. Empty if it is about all of it.
	Cause  error
}

// Error returns for example `record of example.org: term "mx": more than 10 mx
// hosts`.
func (e *Error) Error() string {
	s := fmt.Sprintf("record of %s: ", clip(e.Domain))
	if e.Term != "" {
		s += fmt.Sprintf("term %q: ", clip(e.Term))
	}
	return s + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	return e.Cause
}

// permerror returns an error about a term.
func permerror(f *frame, term string, cause error) error {
	return &Error{StatusPermerror, f.domain, term, cause}
}

// statusOf returns the result for an error.
func statusOf(err error) Status {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return StatusTemperror
}

// A lookupKind is what came of a lookup that did not fail.
type lookupKind int

const (
	found   lookupKind = iota
	void               // The name or the records do not exist, RFC 7208 §4.6.4.
	invalid            // There can be no such name, or no record was well-formed.
)

// sortLookup tells kinds of outcomes of a lookup. An error that remains is a
// temperror: RFC 7208 §5 for servers that fail. Records that do not pass DNSSEC
// verification have the same cause for a resolver that does not tell them apart.
func sortLookup(n int, err error) (lookupKind, error) {
	switch {
	case err == nil && n == 0, errors.Is(err, dns.ErrNotFound):
		return void, nil
	case errors.Is(err, dns.ErrInvalid):
		return invalid, nil
	}
	return found, err
}
