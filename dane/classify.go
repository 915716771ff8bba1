package dane

import (
	"errors"

	"mox/dns"
	"mox/tlsrpt"
)

// Classify returns the result type for TLS reports and a reason code for an error of
// this package, or of a TLS connection with it, RFC 8460 §4.3.2.1.
func Classify(err error) (tlsrpt.ResultType, string) {
	var verr *VerifyError
	switch {
	case errors.Is(err, ErrTLSA) && errors.Is(err, dns.ErrBogus):
		return tlsrpt.ResultDNSSECInvalid, "tlsa-bogus"
	case errors.Is(err, ErrTLSA):
		return tlsrpt.ResultDNSSECInvalid, "tlsa-lookup-failed"
	case errors.Is(err, ErrNoRecords):
		return tlsrpt.ResultDANERequired, ""
	case errors.As(err, &verr):
		if len(verr.Records) > 0 {
			return tlsrpt.Classify(err)
		}
		return tlsrpt.ResultValidationFailure, "dane-no-match"
	case errors.Is(err, ErrUnusable):
		return tlsrpt.ResultTLSAInvalid, "tlsa-unusable"
	}
	return tlsrpt.Classify(err)
}
