package dane

import (
	"errors"
	"fmt"
	"strings"
)

// Errors, for errors.Is. Failed lookups have in addition one of the errors of package
// dns.
var (
	// ErrNoRecords means that there are no TLSA records that are authentic, so that DANE
	// cannot be used.
	ErrNoRecords = errors.New("dane: no authentic tlsa records")

	// ErrUnusable means that a TLSA record, or each of them, cannot be used: parameters
	// that are unknown or not allowed, or data of the wrong length or form.
	ErrUnusable = errors.New("dane: unusable tlsa record")

	// ErrVerify means that the certificates of a server do not match any usable TLSA
	// record, or match and are not valid.
	ErrVerify = errors.New("dane: server not verified")

	// ErrAddresses means that the addresses of a host cannot be found out. With
	// dns.ErrNotFound it has none.
	ErrAddresses = errors.New("dane: lookup of addresses failed")

	// ErrTLSA means that the lookup of TLSA records failed. The host must not be
	// connected to: someone may be hiding the records (RFC 7672 §2.1.2).
	ErrTLSA = errors.New("dane: lookup of tlsa records failed")

	// ErrMX means that the hosts for a domain cannot be found out.
	ErrMX = errors.New("dane: lookup of mx records failed")

	// ErrNullMX means that a domain does not accept mail, RFC 7505.
	ErrNullMX = errors.New("dane: domain does not accept mail")

	// ErrAliases means that a chain of aliases is too long, or a loop.
	ErrAliases = errors.New("dane: too many aliases")
)

// A RecordError is about one TLSA record.
type RecordError struct {
	Record Record
	Err    error // What is wrong. It matches ErrUnusable if the record is.
}

// Error names the record, in the form of a zone file. Long data is cut.
func (e *RecordError) Error() string {
	return fmt.Sprintf("tlsa record %q: %s", clip(e.Record.Record()), e.Err)
}

// Unwrap returns Err.
func (e *RecordError) Unwrap() error { return e.Err }

// maxShown is enough for a record with SHA2-512.
const maxShown = 6 + 128

func clip(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}

// A VerifyError is the result of verifying a server in vain. It matches ErrVerify.
type VerifyError struct {
	// Records are what came of records that match a certificate of which something is
	// wrong then, such as its name.
	Records []*RecordError

	// Unmatched is how many usable records do not match any certificate.
	Unmatched int
}

// Error returns what is wrong per record.
func (e *VerifyError) Error() string {
	var l []string
	for _, r := range e.Records {
		l = append(l, r.Error())
	}
	if e.Unmatched > 0 {
		l = append(l, fmt.Sprintf("no certificate matches %d usable tlsa records", e.Unmatched))
	}
	return ErrVerify.Error() + ": " + strings.Join(l, "; ")
}

// Unwrap returns ErrVerify and the errors of records.
func (e *VerifyError) Unwrap() []error {
	l := []error{ErrVerify}
	for _, r := range e.Records {
		l = append(l, r)
	}
	return l
}
