package spf

// A Status is the result of a check, in the words of RFC 7208 §2.6.
type Status string

// Results, RFC 7208 §2.6.
const (
	StatusNone      Status = "none"      // No domain to check, or no record.
	StatusNeutral   Status = "neutral"   // The domain says nothing about the address.
	StatusPass      Status = "pass"      // The address may send for the domain.
	StatusFail      Status = "fail"      // The address may not send for the domain.
	StatusSoftfail  Status = "softfail"  // The address probably may not.
	StatusTemperror Status = "temperror" // A lookup failed in a way that may pass.
	StatusPermerror Status = "permerror" // The records cannot be understood.
)
