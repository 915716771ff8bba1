// Package store keeps the mail of accounts: mailboxes, messages, threads,
// subscriptions, quota and password verifiers, in one database and one immutable
// file per message for each account. docs/storage.md specifies what is on disk,
// in which order it is synced, and what holds after a crash.
//
// It is not concerned with any protocol, with where mail comes from, or with who
// may see it.
//
// An Account is changed by Update, which runs a function in one transaction, and
// by Append, which commits together with others that wait. When they return nil,
// the change is on stable storage. Reading needs no lock: Tree is a snapshot of
// the mailboxes, Index one of the messages of a mailbox; both are immutable and
// replaced at each commit. A Session is told of changes in the order in which
// they were committed.
//
// No method holds a database transaction open when it returns, and none waits for
// the network. All types are safe for concurrent use, except Tx.
package store
