package mtasts

import (
	"errors"
	"fmt"
)

// Errors about the record in DNS, for errors.Is. The domain is to be taken as one
// without MTA-STS, apart from a policy that was kept earlier (RFC 8461 §3.1).
var (
	// ErrNoRecord means that there is no record, or none that says it is about MTA-STS.
	ErrNoRecord = errors.New("mtasts: no record")

	// ErrMultipleRecords means that there are several, which count as none.
	ErrMultipleRecords = errors.New("mtasts: multiple records")

	// ErrRecordSyntax means that there is one and it is malformed.
	ErrRecordSyntax = errors.New("mtasts: malformed record")

	// ErrDNS means that the lookup of the record failed. It comes with one of the errors
	// of package dns.
	ErrDNS = errors.New("mtasts: lookup of record failed")
)

// Errors about the policy, for errors.Is. There is a record, which is returned with
// them. In TLS reports (RFC 8460 §4.3.2.2) they are "sts-policy-fetch-error",
// "sts-webpki-invalid" and "sts-policy-invalid".
var (
	// ErrFetch means that the policy could not be fetched: the host is not found or
	// cannot be reached, or its answer is not one with a policy.
	ErrFetch = errors.New("mtasts: fetching policy failed")

	// ErrCertificate means that the policy host has no valid certificate.
	ErrCertificate = errors.New("mtasts: certificate of policy host not valid")

	// ErrPolicySyntax means that the policy was fetched and is malformed.
	ErrPolicySyntax = errors.New("mtasts: malformed policy")
)

// A StatusError is the cause of an ErrFetch if the policy host answered with another
// HTTP status than 200, also for redirects, which are not followed (RFC 8461 §3.3).
type StatusError struct {
	Code int
}

// Error returns a text that can be the reason code in a TLS report.
func (e *StatusError) Error() string {
	if e.Code/100 == 3 {
		return fmt.Sprintf("http status %d, a redirect, which is not followed", e.Code)
	}
	return fmt.Sprintf("http status %d", e.Code)
}
