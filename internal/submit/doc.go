// Package submit is the one way out for messages: what users submit, and what the
// system sends. It checks that the user may send the message as it is,
// completes its header, signs it with the keys of the domain in From, applies the
// limits on what an account sends, and puts it in the queue. When
// [Submitter.Submit] returns nil, the message is on stable storage for all
// recipients, which share one file. Other packages that queue messages of the system
// have them signed by [Submitter.SignSystem].
//
// What an address forwards goes out by [Submitter.Forward], as it is and with a
// reverse-path that leads back here; what comes back to that, by [Submitter.Bounce]. Senders
// elsewhere are notified by [Submitter.Notify] and those that compose for it.
//
// Errors are *smtp.Error values, with text for the user; one about a limit names
// the setting to raise. Their kind, as in metrics, is told by [Kind].
//
// Who the user is, and whether the reverse-path is theirs, was checked before.
// Delivery is for package queue, also to accounts of this server.
//
// A [Submitter] is safe for concurrent use.
//
// RFCs: 6409 (submission), 5322 (header fields), 4865 (FUTURERELEASE), 6531
// (SMTPUTF8), 8689 §5 (TLS-Required), 6376 (DKIM).
package submit
