package smtp

import (
	"errors"
	"fmt"
	"strings"
)

// Error is a failure with the reply that tells the remote about it.
type Error struct {
	// Code is the reply code, 400 to 599.
	Code int

	// Enhanced is the enhanced status code with its class, e.g. "5.1.1". It may be
	// empty: some replies have none.
	Enhanced string

	// Text is for the remote. It has nothing in it that the remote should not know.
	// It may have several lines, separated by "\n".
	Text string

	// Cause is for our log, and may be nil.
	Cause error
}

// Errorf returns an error for a reply code, the subject and detail of an enhanced
// status code (one of the Se constants; empty for none), whose class follows from
// the reply code, and a text for the remote.
func Errorf(code int, subjectDetail, format string, args ...any) *Error {
	return &Error{Code: code, Enhanced: Enhanced(code, subjectDetail), Text: fmt.Sprintf(format, args...)}
}

// WithCause returns a copy of e with a cause for the log.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Error returns code, enhanced code, text and cause, for logs.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d ", e.Code)
	if e.Enhanced != "" {
		s += e.Enhanced + " "
	}
	s += strings.ReplaceAll(e.Text, "\n", " ")
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	return e.Cause
}

// Temporary reports whether the reply is a transient negative one: the same
// command may succeed later, RFC 5321 §4.2.1.
func (e *Error) Temporary() bool {
	return e.Code/100 == 4
}

// Permanent reports whether the reply is a permanent negative one.
func (e *Error) Permanent() bool {
	return e.Code/100 == 5
}

// Reply returns the reply for the remote.
func (e *Error) Reply() Reply {
	return Reply{Code: e.Code, Enhanced: e.Enhanced, Text: e.Text}
}

// AsError returns the first *Error in err's tree, or nil.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
