package smtpserver

import (
	"context"
	"errors"
	"fmt"

	"mox/config"
	"mox/internal/identity"
	"mox/internal/safefile"
	"mox/sasl"
	"mox/smtp"
	"mox/store"
)

// errConnection says that the connection cannot be used any more, so that there is
// no reply.
var errConnection = errors.New("connection failed")

// connectionError marks an error of reading or writing.
func connectionError(err error) error {
	return fmt.Errorf("%w: %w", errConnection, err)
}

// errUnknownRecipient is the cause of refusing a recipient that does not exist.
// Such errors have their own limits.
var errUnknownRecipient = errors.New("unknown recipient")

// errRevoked is the last reply to a user who could not log in again.
var errRevoked = smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se70SecurityOther, "log in again: account or credentials have changed")

// errShuttingDown is the last reply of a server that stops.
var errShuttingDown = smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se32NotAccepting, "server is shutting down")

// mapping is a row of the table of errors that lower packages return.
type mapping struct {
	name string // As in source code.
	err  error
	code int
	se   string // Subject and detail of the enhanced status code.
	text string // For the remote.
}

// mappings has all errors of the packages that handlers call. An error that is in
// none of the rows is one of ours. After message data a temporary error is the safe
// answer: the client keeps the message.
var mappings = []mapping{
	{"config.ErrDomainUnknown", config.ErrDomainUnknown, smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "domain not handled here"},
	{"config.ErrAddressUnknown", config.ErrAddressUnknown, smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user here"},
	{"config.ErrDomainDisabled", config.ErrDomainDisabled, smtp.C450MailboxUnavailable, smtp.Se21MailboxDisabled, "domain temporarily disabled"},

	{"store.ErrNoAccount", store.ErrNoAccount, smtp.C451LocalError, smtp.Se30SystemOther, "account not available"},
	{"store.ErrNoMailbox", store.ErrNoMailbox, smtp.C451LocalError, smtp.Se30SystemOther, "mailbox not available"},
	{"store.ErrMailboxExists", store.ErrMailboxExists, smtp.C451LocalError, smtp.Se30SystemOther, "mailbox not available"},
	{"store.ErrMailboxName", store.ErrMailboxName, smtp.C451LocalError, smtp.Se35IncorrectlyConfig, "mailbox not available"},
	{"store.ErrHasChildren", store.ErrHasChildren, smtp.C451LocalError, smtp.Se30SystemOther, "mailbox not available"},
	{"store.ErrInbox", store.ErrInbox, smtp.C451LocalError, smtp.Se30SystemOther, "mailbox not available"},
	{"store.ErrSpecialUse", store.ErrSpecialUse, smtp.C451LocalError, smtp.Se30SystemOther, "mailbox not available"},
	{"store.ErrNotSubscribed", store.ErrNotSubscribed, smtp.C451LocalError, smtp.Se30SystemOther, "mailbox not available"},
	{"store.ErrNoMessage", store.ErrNoMessage, smtp.C451LocalError, smtp.Se30SystemOther, "message not available"},
	{"store.ErrOverQuota", store.ErrOverQuota, smtp.C452InsufficientStorage, smtp.Se22MailboxFull, "mailbox full"},
	{"store.ErrTooLarge", store.ErrTooLarge, smtp.C552ExceededStorage, smtp.Se34MessageTooBig, "message too large"},
	{"store.ErrLimit", store.ErrLimit, smtp.C452InsufficientStorage, smtp.Se20MailboxOther, "mailbox limit reached"},
	{"store.ErrNoSpace", store.ErrNoSpace, smtp.C452InsufficientStorage, smtp.Se31SystemFull, "insufficient storage"},
	{"store.ErrReadOnly", store.ErrReadOnly, smtp.C451LocalError, smtp.Se30SystemOther, "account not available"},
	{"store.ErrClosed", store.ErrClosed, smtp.C451LocalError, smtp.Se32NotAccepting, "account not available"},

	{"safefile.ErrTooLarge", safefile.ErrTooLarge, smtp.C552ExceededStorage, smtp.Se34MessageTooBig, "message too large"},
	{"safefile.ErrNoSpace", safefile.ErrNoSpace, smtp.C452InsufficientStorage, smtp.Se31SystemFull, "insufficient storage"},
	{"safefile.ErrSpoolState", safefile.ErrSpoolState, smtp.C451LocalError, smtp.Se30SystemOther, "local error in processing"},

	{"smtp.ErrBareCR", smtp.ErrBareCR, smtp.C500BadSyntax, smtp.Se52Syntax, "message has a carriage return without line feed"},
	{"smtp.ErrBareLF", smtp.ErrBareLF, smtp.C500BadSyntax, smtp.Se52Syntax, "message has a line feed without carriage return"},
	{"smtp.ErrSmuggling", smtp.ErrSmuggling, smtp.C500BadSyntax, smtp.Se52Syntax, "message has a line that could be taken for its end"},
	{"smtp.ErrTooBig", smtp.ErrTooBig, smtp.C552ExceededStorage, smtp.Se34MessageTooBig, "message too large"},

	{"sasl.ErrProtocol", sasl.ErrProtocol, smtp.C501BadParameters, smtp.Se54InvalidArguments, "malformed response"},
	{"sasl.ErrEncoding", sasl.ErrEncoding, smtp.C535AuthInvalid, smtp.Se70SecurityOther, "malformed response"},
	{"sasl.ErrUsername", sasl.ErrUsername, smtp.C535AuthInvalid, smtp.Se78AuthCredentialsInvalid, "invalid user name"},
	{"sasl.ErrExtension", sasl.ErrExtension, smtp.C535AuthInvalid, smtp.Se70SecurityOther, "unsupported extension of mechanism"},
	{"sasl.ErrInvalidProof", sasl.ErrInvalidProof, smtp.C535AuthInvalid, smtp.Se78AuthCredentialsInvalid, "bad user name or password"},
	{"sasl.ErrChannelBinding", sasl.ErrChannelBinding, smtp.C535AuthInvalid, smtp.Se77IntegrityFailure, "channel bindings do not match, someone may be intercepting the connection"},
	{"sasl.ErrChannelBindingMissing", sasl.ErrChannelBindingMissing, smtp.C535AuthInvalid, smtp.Se70SecurityOther, "channel binding missing"},
	{"sasl.ErrChannelBindingType", sasl.ErrChannelBindingType, smtp.C535AuthInvalid, smtp.Se70SecurityOther, "channel binding type not supported"},
	{"sasl.ErrDowngrade", sasl.ErrDowngrade, smtp.C535AuthInvalid, smtp.Se70SecurityOther, "channel binding is supported, someone may be intercepting the connection"},
	{"sasl.ErrAborted", sasl.ErrAborted, smtp.C501BadParameters, smtp.Se50ProtocolOther, "authentication cancelled"},
	{"sasl.ErrServerRejected", sasl.ErrServerRejected, smtp.C454TempAuthFailure, smtp.Se70SecurityOther, "local error in processing"},
	{"sasl.ErrServerSignature", sasl.ErrServerSignature, smtp.C454TempAuthFailure, smtp.Se70SecurityOther, "local error in processing"},
	{"sasl.ErrWeak", sasl.ErrWeak, smtp.C454TempAuthFailure, smtp.Se70SecurityOther, "local error in processing"},
	{"sasl.ErrMechanism", sasl.ErrMechanism, smtp.C504ParameterNotImpl, smtp.Se54InvalidArguments, "mechanism not supported"},
	{"sasl.ErrHash", sasl.ErrHash, smtp.C454TempAuthFailure, smtp.Se70SecurityOther, "local error in processing"},

	{"identity.ErrCredentials", identity.ErrCredentials, smtp.C535AuthInvalid, smtp.Se78AuthCredentialsInvalid, "bad user name or password"},
	{"identity.ErrNoSecret", identity.ErrNoSecret, smtp.C535AuthInvalid, smtp.Se78AuthCredentialsInvalid, "bad user name or password"},
	{"identity.ErrLoginDisabled", identity.ErrLoginDisabled, smtp.C525AccountDisabled, smtp.Se713AccountDisabled, "login is disabled for this account"},
	{"identity.ErrRateLimited", identity.ErrRateLimited, smtp.C454TempAuthFailure, smtp.Se70SecurityOther, "too many failed logins from your network, try again later"},

	{"context.Canceled", context.Canceled, smtp.C451LocalError, smtp.Se32NotAccepting, "processing was interrupted, try again later"},
	{"context.DeadlineExceeded", context.DeadlineExceeded, smtp.C451LocalError, smtp.Se30SystemOther, "processing took too long, try again later"},
}

// replyError returns the error that the remote is told. A protocol error says that
// itself; others have err as their cause.
func replyError(err error) *smtp.Error {
	if e := smtp.AsError(err); e != nil {
		return e
	}
	if safefile.IsNoSpace(err) {
		err = fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	}
	for _, m := range mappings {
		if errors.Is(err, m.err) {
			text := m.text
			var disabled *identity.LoginDisabledError
			if errors.As(err, &disabled) && disabled.Text != "" {
				text = disabled.Text
			}
			return smtp.Errorf(m.code, m.se, "%s", text).WithCause(err)
		}
	}
	return smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "local error in processing").WithCause(err)
}
