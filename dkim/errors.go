package dkim

import (
	"errors"
	"fmt"
)

// Errors in a [Result], to be matched with errors.Is. The comments say which status
// they come with.
var (
	// ErrSyntax means that a signature is malformed: neutral.
	ErrSyntax = errors.New("dkim: malformed signature")
	// ErrTooMany means that a message has more signatures, or more of a header
	// section, than is looked at: policy for signatures, neutral for the header.
	ErrTooMany = errors.New("dkim: more than is looked at")

	// ErrFromUnsigned means that field From is not signed: permerror.
	ErrFromUnsigned = errors.New("dkim: From is not signed")
	// ErrExpired means that a signature has expired: permerror.
	ErrExpired = errors.New("dkim: signature has expired")
	// ErrAlgorithm means that the algorithm is unknown, or historic as rsa-sha1 is
	// (RFC 8301 §3.1): permerror.
	ErrAlgorithm = errors.New("dkim: unsupported algorithm")
	// ErrCanonicalization means that the canonicalisation is unknown: permerror.
	ErrCanonicalization = errors.New("dkim: unknown canonicalization")
	// ErrQueryMethod means that the key is not to be found in DNS: permerror.
	ErrQueryMethod = errors.New("dkim: unknown query method")

	// ErrNoRecord means that there is no key record: permerror.
	ErrNoRecord = errors.New("dkim: no key record")
	// ErrRecordSyntax means that a key record is malformed: permerror.
	ErrRecordSyntax = errors.New("dkim: malformed key record")
	// ErrMultipleRecords means that there are several key records: temperror, since
	// they may be about to be replaced.
	ErrMultipleRecords = errors.New("dkim: several key records")
	// ErrLookup means that the lookup failed in a way that may pass: temperror.
	ErrLookup = errors.New("dkim: lookup of key record")
	// ErrRevoked means that the key was revoked: permerror.
	ErrRevoked = errors.New("dkim: key was revoked")
	// ErrKey means that the key does not fit the signature, or is too weak or too
	// large: permerror.
	ErrKey = errors.New("dkim: unsuitable key")

	// ErrSignature means that the signature over the header does not verify: fail.
	ErrSignature = errors.New("dkim: signature does not verify")
	// ErrBodyHash means that the hash of the body is not that of the signature: fail.
	ErrBodyHash = errors.New("dkim: body hash differs")

	// ErrPolicy means that a signature may verify, and is not acceptable to us. The
	// error is a *[PolicyError] that says why: policy.
	ErrPolicy = errors.New("dkim: signature not acceptable")
)

// A PolicyError says which local rule a signature does not keep to. It matches
// [ErrPolicy].
type PolicyError struct {
	// Rule is the name of the rule for Authentication-Results, for property
	// policy.dkim-rules (RFC 8601 §2.4), such as "unsigned-subject".
	Rule string
	// Text says what is wrong.
	Text string
}

// Rules of a [PolicyError]. For other header fields than the subject, the rule is
// "unsigned-" and the name of the field in lower case.
const (
	RuleUnsignedSubject = "unsigned-subject"
	RuleBodyLength      = "body-length"
	RulePublicSuffix    = "public-suffix"
)

// Error returns the text.
func (e *PolicyError) Error() string {
	return fmt.Sprintf("%s: %s", ErrPolicy, e.Text)
}

// Unwrap returns ErrPolicy.
func (e *PolicyError) Unwrap() error { return ErrPolicy }
