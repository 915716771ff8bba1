package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"mox/sasl"
	"mox/smtp"
	"mox/smtpclient"
)

// queueError returns the error for the queue: a *smtp.Error if a server, or we, have
// said something that has a code; else err, which is temporary.
func queueError(err error) error {
	var e *smtpclient.Error
	if smtp.AsError(err) != nil || !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == 0:
		return localError(e)
	case e.Command == "starttls":
		return smtp.Errorf(smtp.C451LocalError, smtp.Se74FeaturesNotSupported, "TLS is required, and the server does not offer it now").WithCause(e)
	}
	if e.Code/100 != 4 && e.Code/100 != 5 {
		return err // A reply that makes no sense.
	}
	code, enhanced := e.Code, e.Enhanced
	switch {
	case e.Code/100 == 5 && !e.Permanent:
		code -= 100
		enhanced = withClass(enhanced, "4")
	case e.Command == "auth" && e.Permanent:
		// Our password is wrong. That is not the fault of the message, and an operator can
		// repair it.
		code, enhanced = smtp.C454TempAuthFailure, withClass(enhanced, "4")
	}
	return &smtp.Error{Code: code, Enhanced: enhanced, Text: replyText(e.Lines), Cause: e}
}

// localError returns the error for something that a server does not offer, or the
// message does not have. Other failures without reply are those of the network.
func localError(e *smtpclient.Error) error {
	fail := func(code int, detail, text string) error { return smtp.Errorf(code, detail, "%s", text).WithCause(e) }
	switch {
	case errors.Is(e, smtpclient.ErrSize):
		return fail(smtp.C552ExceededStorage, smtp.Se34MessageTooBig, "message is larger than the server accepts")
	case errors.Is(e, smtpclient.ErrSMTPUTF8Unsupported):
		return fail(smtp.C550MailboxUnavailable, smtp.Se67NonASCIIAddressesNotPermitted, "message has internationalised addresses or header fields, which the server does not accept")
	case errors.Is(e, smtpclient.Err8BitMIMEUnsupported), errors.Is(e, smtpclient.ErrBinaryMIMEUnsupported):
		return fail(smtp.C554TransactionFailed, smtp.Se63ConversionNotSupported, "message has content that the server does not accept")
	case errors.Is(e, smtpclient.ErrRequireTLSUnsupported):
		return fail(smtp.C554TransactionFailed, smtp.Se730RequireTLS, "sender requires TLS all the way, which the server does not support")
	case errors.Is(e, smtpclient.ErrAuthUnsupported), errors.Is(e, sasl.ErrMechanism):
		return fail(smtp.C554TransactionFailed, smtp.Se74FeaturesNotSupported, "the relay offers no way to authenticate that is allowed")
	case e.Permanent && errors.Is(e, smtpclient.ErrContent):
		return fail(smtp.C554TransactionFailed, smtp.Se60MediaOther, "message has lines that do not end with CRLF")
	case errors.Is(e, smtpclient.ErrTLS):
		return fail(smtp.C451LocalError, smtp.Se75CryptographicFailure, "TLS failed or the server could not be verified")
	}
	return e
}

// isTLSRefused reports whether there is no TLS, or no valid certificate, for a reason
// that is not about the network or temporary.
func isTLSRefused(err error) bool {
	var e *smtpclient.Error
	var ne net.Error
	switch {
	case !errors.As(err, &e) || !errors.Is(e, smtpclient.ErrTLS):
		return false
	case e.Command == "starttls":
		return e.Code/100 == 5
	case errors.Is(e, io.EOF), errors.Is(e, io.ErrUnexpectedEOF), errors.Is(e, syscall.ECONNRESET), errors.Is(e, syscall.EPIPE), errors.Is(e, context.Canceled):
		return false
	case errors.As(e, &ne) && ne.Timeout():
		return false
	}
	return true
}

func withClass(enhanced, class string) string {
	if len(enhanced) < 2 {
		return ""
	}
	return class + enhanced[1:]
}

// isPermanent reports whether an error for the queue is permanent.
func isPermanent(err error) bool {
	e := smtp.AsError(err)
	return e != nil && e.Permanent()
}

// aboutHost are enhanced codes that are about what a server can do, with which
// another host of the domain may do better.
var aboutHost = []string{"5.3.4", "5.6.3", "5.6.7", "5.7.30"}

// isAboutHost reports whether a permanent error is about the host and not about the
// recipient or the message, so that others are to be tried.
func isAboutHost(e *smtpclient.Error) bool {
	switch e.Command {
	case "connect", "greeting", "ehlo", "helo", "starttls", "tls", "auth", "rset":
		return true
	}
	for _, err := range []error{
		smtpclient.ErrSize, smtpclient.Err8BitMIMEUnsupported, smtpclient.ErrBinaryMIMEUnsupported,
		smtpclient.ErrSMTPUTF8Unsupported, smtpclient.ErrRequireTLSUnsupported,
	} {
		if errors.Is(e, err) {
			return true
		}
	}
	// 521 is a host that takes no mail at all, RFC 7504 §3.
	return e.Code == smtp.C521DoesNotAcceptMail || slices.Contains(aboutHost, e.Enhanced)
}

// replyText returns the text of a reply without its codes.
func replyText(lines []string) string {
	texts := make([]string, 0, len(lines))
	for _, l := range lines {
		if len(l) >= 4 {
			l = l[4:]
		} else {
			l = ""
		}
		if code, rest, ok := strings.Cut(l, " "); ok && isEnhanced(code) {
			l = rest
		}
		texts = append(texts, l)
	}
	return cut(strings.ToValidUTF8(strings.Join(texts, "\n"), "?"), maxReplyText)
}

// isEnhanced reports whether a word looks like an enhanced status code.
func isEnhanced(s string) bool {
	return len(s) >= 5 && len(s) <= 9 && strings.Count(s, ".") == 2 && strings.Trim(s, "0123456789.") == ""
}
