package imapserver

import (
	"context"
	"errors"

	"mox/imap"
	"mox/internal/lex"
	"mox/internal/safefile"
	"mox/sasl"
	"mox/store"
)

// mapped is how an error of a lower package is answered.
type mapped struct {
	err  error
	code imap.Code
	text string
}

// statusOf has the answers, all of type NO, for the errors that mean something to a
// client. A test checks that all sentinels of the packages are here. RFC 9051 §7.1,
// RFC 5530 §3
var statusOf = []mapped{
	{store.ErrNoMailbox, imap.CodeNonExistent, "no such mailbox"},
	{store.ErrMailboxExists, imap.CodeAlreadyExists, "mailbox already exists"},
	{store.ErrMailboxName, imap.CodeCannot, "mailbox name is not allowed"},
	{store.ErrHasChildren, imap.CodeHasChildren, "mailbox has children"},
	{store.ErrInbox, imap.CodeCannot, "not possible for inbox"},
	{store.ErrSpecialUse, imap.CodeUseAttr, "special-use attribute is not supported"},
	{store.ErrNotSubscribed, imap.CodeNonExistent, "not subscribed to that name"},
	{store.ErrNoMessage, imap.CodeExpungeIssued, "message is gone"},
	{store.ErrOverQuota, imap.CodeOverQuota, "over quota"},
	{store.ErrTooLarge, imap.CodeTooBig, "too large"},
	{store.ErrLimit, imap.CodeLimit, "a limit is reached"},
	{store.ErrNoSpace, imap.CodeUnavailable, "no disk space for new mail"},
	{store.ErrReadOnly, imap.CodeUnavailable, "mail cannot be changed now after a disk failure, try again later"},
	{store.ErrClosed, imap.CodeUnavailable, "server is shutting down"},
	{store.ErrNoAccount, imap.CodeUnavailable, "account has no mail store"},
	{safefile.ErrTooLarge, imap.CodeTooBig, "message is too large"},
	{context.Canceled, imap.CodeUnavailable, "server is shutting down"},
	{context.DeadlineExceeded, imap.CodeUnavailable, "took too long"},
	{sasl.ErrMechanism, "", "authentication mechanism is not available"},
}

// protocolError returns the answer to an error of a command: itself if it is one, else
// the one that the table has, else SERVERBUG. The error is its cause, for the log.
func protocolError(err error) *imap.Error {
	var e *imap.Error
	if errors.As(err, &e) {
		return e
	}
	for _, m := range statusOf {
		if errors.Is(err, m.err) {
			return imap.No(m.code, m.text).With(err)
		}
	}
	return imap.No(imap.CodeServerBug, "internal error").With(err)
}

// result returns how a command that failed with e is counted.
func result(e *imap.Error) string {
	switch {
	case e.Type == imap.TypeBAD:
		return resultBad
	case e.Code == imap.CodeServerBug || e.Code == imap.CodeCorruption:
		return resultServer
	}
	return resultNo
}

// syntaxDetail returns where and why parsing failed, which is shown to users who have
// logged in. There is nothing of their input in it.
func syntaxDetail(e *imap.Error) string {
	var le *lex.Error
	if errors.As(e.Cause, &le) {
		return ": " + le.Error()
	}
	return ""
}

// tryCreate returns err with the code that tells the client to create the mailbox, if
// that is what is missing. RFC 9051 §6.3.12, §6.4.7
func tryCreate(err error) error {
	if errors.Is(err, store.ErrNoMailbox) {
		return imap.No(imap.CodeTryCreate, "no such mailbox").With(err)
	}
	return err
}
