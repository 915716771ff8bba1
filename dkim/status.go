package dkim

// A Status is the result of verifying one signature, in the words of RFC 8601
// §2.7.1.
type Status string

// Results, RFC 8601 §2.7.1.
const (
	StatusNone      Status = "none"      // Not signed.
	StatusPass      Status = "pass"      // The signature verifies, and is acceptable to us.
	StatusFail      Status = "fail"      // The signature is well-formed and does not verify.
	StatusPolicy    Status = "policy"    // It may verify, and is not acceptable to us.
	StatusNeutral   Status = "neutral"   // It could not be processed, such as for its syntax.
	StatusTemperror Status = "temperror" // A lookup failed in a way that may pass.
	StatusPermerror Status = "permerror" // It cannot ever verify: no key, or one that does not fit.
)
