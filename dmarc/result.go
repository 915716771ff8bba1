package dmarc

import (
	"mox/dkim"
	"mox/dns"
	"mox/spf"
)

// A Status is the result for a message, in the words of RFC 9989 §9.
type Status string

// Results.
const (
	StatusNone      Status = "none"      // The domain has no policy record.
	StatusPass      Status = "pass"      // A domain was authenticated that is aligned with the From domain.
	StatusFail      Status = "fail"      // There was none.
	StatusTemperror Status = "temperror" // A lookup failed in a way that may pass. No policy applies.
	StatusPermerror Status = "permerror" // A lookup cannot succeed, or the record is of no use. No policy applies.
)

// An SPFIdentifier is the result of SPF for the MAIL FROM identity, which for a
// null reverse-path is the HELO name (RFC 7208 §2.4). A result for HELO alone must
// not be given.
type SPFIdentifier struct {
	Domain dns.Domain // Zero if there was none to check.
	Status spf.Status
}

// A DKIMIdentifier is the result for one signature.
type DKIMIdentifier struct {
	Domain   dns.Domain // Tag d.
	Selector string     // Tag s.
	Status   dkim.Status
}

// Args are what is known about a message.
type Args struct {
	From dns.Domain
	SPF  SPFIdentifier
	DKIM []DKIMIdentifier // At most MaxIdentifiers are looked at.
}

// An Alignment is how alike a domain is to the From domain, RFC 9989 §4.4.
type Alignment int

// Alignments, in order.
const (
	Unaligned      Alignment = iota
	AlignedRelaxed           // The same organizational domain.
	AlignedStrict            // The same domain.
)

// String returns "none", "relaxed" or "strict".
func (a Alignment) String() string {
	switch a {
	case AlignedRelaxed:
		return "relaxed"
	case AlignedStrict:
		return "strict"
	}
	return "none"
}

// A DKIMEvaluation is a signature and what it is worth.
type DKIMEvaluation struct {
	DKIMIdentifier

	// Alignment is set for signatures that passed. Whether domains that differ are
	// aligned is not looked up if the record wants strict alignment, so if it is not
	// Unaligned, the signature makes the message pass.
	Alignment Alignment
}

// An Override is a reason not to do what the policy says, for aggregate reports
// (RFC 9990 §3.1.6).
type Override struct {
	Type    OverrideType
	Comment string
}

// An OverrideType is a kind of reason.
type OverrideType string

// Kinds of reasons. Those after the first are for the caller to add.
const (
	OverrideTestMode         OverrideType = "policy_test_mode" // The record has t=y.
	OverrideLocalPolicy      OverrideType = "local_policy"
	OverrideMailingList      OverrideType = "mailing_list"
	OverrideTrustedForwarder OverrideType = "trusted_forwarder"
	OverrideOther            OverrideType = "other"
)

// A Result is all that a delivery decision, the Authentication-Results field and
// an aggregate report need to know.
type Result struct {
	Status Status
	From   dns.Domain

	// Domain is where the record was found that applies: the From domain, its
	// organizational domain, or the public suffix above that. The record is nil if
	// there is none, and may be of no use if Status is StatusPermerror.
	Domain dns.Domain
	Record *Record

	// OrgDomain is the organizational domain of From. It is zero if it did not matter:
	// if From has a record, and there was no authenticated domain to compare with.
	OrgDomain dns.Domain

	// Policy is what the record says for the From domain, in the tag PolicyTag: "p",
	// "sp" or "np". Applied is what is to be done with messages that fail, after t=y
	// has made it milder. It is the policy.dmarc of Authentication-Results (RFC 9989
	// §9.1). They are empty if there is no policy.
	Policy    Policy
	PolicyTag string
	Applied   Policy

	AlignedSPF  bool // SPF passed for a domain that is aligned as the record wants it.
	AlignedDKIM bool // Such a signature passed.
	DKIM        []DKIMEvaluation
	SPF         SPFIdentifier

	// Overrides is set if the message failed and Applied is not Policy.
	Overrides []Override

	// Authentic is set if all answers that led to the record, or to there being none,
	// were verified with DNSSEC.
	Authentic bool

	// Err says why Status is StatusTemperror or StatusPermerror. For other results, it
	// is about lookups that did not matter in the end.
	Err error
}

// Requested returns what the owner of the From domain asks for this message:
// nothing, unless it failed.
func (r Result) Requested() Policy {
	if r.Status != StatusFail || r.Applied == "" {
		return PolicyNone
	}
	return r.Applied
}
