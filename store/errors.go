package store

import "errors"

// The closed set of errors that servers map to replies (errors.go of each
// server). Anything else that comes out of this package is an internal error.
var (
	// ErrNoAccount: there is no account of that name on disk.
	ErrNoAccount = errors.New("no such account")
	// ErrNoMailbox: the named or numbered mailbox does not exist (any more).
	ErrNoMailbox = errors.New("no such mailbox")
	// ErrMailboxExists: a mailbox of that name exists already.
	ErrMailboxExists = errors.New("mailbox already exists")
	// ErrMailboxName: the name breaks the rules for mailbox names.
	ErrMailboxName = errors.New("invalid mailbox name")
	// ErrHasChildren: a mailbox with children cannot be deleted.
	ErrHasChildren = errors.New("mailbox has children")
	// ErrInbox: the operation is not possible on the Inbox.
	ErrInbox = errors.New("not possible for inbox")
	// ErrSpecialUse: the special-use attribute is unknown or cannot be set.
	ErrSpecialUse = errors.New("special-use attribute not supported")
	// ErrNotSubscribed: unsubscribe of a name that is neither subscribed nor exists.
	ErrNotSubscribed = errors.New("not subscribed")
	// ErrNoMessage: the message does not exist (any more).
	ErrNoMessage = errors.New("no such message")
	// ErrOverQuota: the account would exceed a limit on the number or sizes of messages.
	ErrOverQuota = errors.New("over quota")
	// ErrTooLarge: a single message, or a list in a request, is larger than allowed.
	ErrTooLarge = errors.New("too large")
	// ErrLimit: a limit on the number of mailboxes, subscriptions or keywords is reached.
	ErrLimit = errors.New("limit reached")
	// ErrNoSpace: free disk space is below the floor, or the disk is full.
	ErrNoSpace = errors.New("no disk space")
	// ErrReadOnly: the account refuses changes after a failed write, until it
	// has been reopened and verified.
	ErrReadOnly = errors.New("account is read-only after a disk failure")
	// ErrClosed: the account or the store is closed.
	ErrClosed = errors.New("account closed")
)
