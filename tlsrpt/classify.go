package tlsrpt

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"reflect"

	"mox/mtasts"
)

// Classify returns the result type for an error of a TLS handshake, of verifying a
// certificate, or of package mtasts, and a reason code for it, which may be empty.
// The reason does not have texts that come from the other side.
func Classify(err error) (ResultType, string) {
	switch {
	case errors.Is(err, mtasts.ErrFetch):
		var serr *mtasts.StatusError
		if errors.As(err, &serr) {
			return ResultSTSPolicyFetchError, fmt.Sprintf("http-status-%d", serr.Code)
		}
		return ResultSTSPolicyFetchError, ""
	case errors.Is(err, mtasts.ErrCertificate):
		_, reason := classifyCertificate(err)
		return ResultSTSWebPKIInvalid, reason
	case errors.Is(err, mtasts.ErrPolicySyntax):
		return ResultSTSPolicyInvalid, ""
	}
	if typ, reason := classifyCertificate(err); typ != "" {
		return typ, reason
	}
	if n, ok := alert(err); ok {
		return ResultValidationFailure, fmt.Sprintf("tls-remote-alert-%d", n)
	}
	return ResultValidationFailure, ""
}

// classifyCertificate returns the result type for an error of package x509, or
// nothing.
func classifyCertificate(err error) (ResultType, string) {
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var constraint x509.ConstraintViolationError
	var critical x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &host):
		return ResultCertificateHostMismatch, ""
	case errors.As(err, &unknown):
		return ResultCertificateNotTrusted, "unknown-authority"
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return ResultCertificateExpired, ""
		}
		return ResultCertificateNotTrusted, invalidReason(invalid.Reason)
	case errors.As(err, &constraint):
		return ResultCertificateNotTrusted, "constraint-violation"
	case errors.As(err, &critical):
		return ResultCertificateNotTrusted, "unhandled-critical-extension"
	}
	return "", ""
}

func invalidReason(r x509.InvalidReason) string {
	switch r {
	case x509.NotAuthorizedToSign:
		return "not-authorized-to-sign"
	case x509.CANotAuthorizedForThisName, x509.CANotAuthorizedForExtKeyUsage:
		return "ca-not-authorized"
	case x509.TooManyIntermediates:
		return "too-many-intermediates"
	case x509.IncompatibleUsage:
		return "incompatible-key-usage"
	case x509.NameMismatch:
		return "issuer-name-mismatch"
	case x509.NameConstraintsWithoutSANs, x509.UnconstrainedName, x509.TooManyConstraints:
		return "name-constraints"
	}
	return "invalid-certificate"
}

// alert returns the number of the alert that the other side sent, RFC 8446 §6.
// Package tls has it as an integer of a type that it does not export.
func alert(err error) (uint64, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}
