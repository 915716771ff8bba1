package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Causes of an Error, for errors.Is.
var (
	// ErrTLS is for failed handshakes, and certificates that do not verify.
	ErrTLS = errors.New("smtpclient: tls")

	// ErrProtocol is for servers that do not speak SMTP.
	ErrProtocol = errors.New("smtpclient: protocol error")

	// ErrSize is for a message that is larger than the server announces to take.
	ErrSize = errors.New("smtpclient: message larger than server accepts")

	// Errors for what the message needs and the server does not offer.
	Err8BitMIMEUnsupported      = errors.New("smtpclient: server does not support 8BITMIME")
	ErrBinaryMIMEUnsupported    = errors.New("smtpclient: server does not support BINARYMIME with CHUNKING")
	ErrSMTPUTF8Unsupported      = errors.New("smtpclient: server does not support SMTPUTF8")
	ErrRequireTLSUnsupported    = errors.New("smtpclient: server does not support REQUIRETLS")
	ErrFutureReleaseUnsupported = errors.New("smtpclient: server does not support FUTURERELEASE")
	ErrAuthUnsupported          = errors.New("smtpclient: server does not support AUTH")

	// ErrLimit is for recipients that were not tried, because the server announces
	// that it does not take more transactions, or more domains, on one connection.
	ErrLimit = errors.New("smtpclient: limit of server reached")

	// ErrContent is for content that cannot be read or not be sent.
	ErrContent = errors.New("smtpclient: message content")

	// ErrBotched is for using a client after an error that left the connection in an
	// unknown state, or after Close.
	ErrBotched = errors.New("smtpclient: connection not usable")
)

// Error is a failure of a command, or of the connection while it was used.
type Error struct {
	// Command is what failed, in lower case: "connect", "greeting", "ehlo", "helo",
	// "starttls", "tls", "auth", "mail", "rcpt", "data" (the command), "content" (what
	// follows until the reply after the final dot, or all of BDAT), "rset" or "quit".
	Command string

	// Permanent is set if the same command would fail again.
	Permanent bool

	// Code is the reply code, 0 if there was no reply. Enhanced is the enhanced status
	// code, e.g. "5.1.1", if there was one; without a reply it is the one that fits the
	// failure, or empty.
	Code     int
	Enhanced string

	// Lines are the lines of the reply as sent, without line ends.
	Lines []string

	// Err is the cause, nil if that is the reply.
	Err error

	// Unanswered is set if all of the content was sent and no reply to it came: the
	// server may have taken the message, so trying again may deliver it twice, RFC 1047.
	Unanswered bool
}

// Error returns a text for logs, with all lines of the reply.
func (e *Error) Error() string {
	s := e.Command + ": "
	if e.Code != 0 {
		s += strings.Join(e.Lines, " / ")
		if e.Err != nil {
			s += ": "
		}
	}
	if e.Err != nil {
		s += e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	return e.Err
}

// replyError returns the error for a reply that is not what command wants.
func replyError(command string, r Reply) *Error {
	e := &Error{Command: command, Permanent: r.Code/100 == 5, Code: r.Code, Enhanced: r.Enhanced, Lines: r.Lines}
	if r.Code/100 != 4 && r.Code/100 != 5 {
		e.Err = fmt.Errorf("%w: unexpected reply code", ErrProtocol)
	}
	return e
}

// ioError returns the error for a connection that failed during command.
func ioError(ctx context.Context, command string, err error) *Error {
	end, ok := ctx.Deadline()
	switch {
	case ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)):
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	case ctx.Err() == nil && ok && !time.Now().Before(end) && errors.Is(err, os.ErrDeadlineExceeded):
		// The connection has noticed before the context.
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return &Error{Command: command, Err: err}
}
