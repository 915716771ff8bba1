// Package queue delivers what is in the queue database: it decides when a message
// is tried, by which transport, and what becomes of it after an attempt.
//
// # Scheduling
//
// Messages are in lanes by where they go, and in a lane in flows by account and class,
// see package queuedb. A scheduler has in memory when each flow is due. [Queue.Run]
// starts workers, never more than Options.Concurrent, and each of them picks the flow
// whose turn it is, claims its first message, delivers it and records the result in
// the same commit that claims the next. Accounts take turns; bulk mail waits for all
// else, except for one turn in four; a lane has at most Options.ConcurrentLane
// deliveries at a time. The recipients of a submission at one domain go together. An
// attempt is on stable storage before it is made, with the time of the next one, so a
// crash during an attempt costs that attempt and never makes us try again at once.
//
// The times between attempts are those of a [Schedule], by default 7.5 and 15 and 30
// minutes, and so on, doubling, for up to [DefaultMaxAttempts] attempts within 16
// hours. A message is in one attempt at a time, however long that takes and whatever an
// operator wants meanwhile, and after a long one there is a pause. The intervals vary a little from message to message, and not for a message:
// what a sender is told about the last attempt is when it will be.
//
// By which [Transport] a message goes is decided before each attempt: one that was
// chosen for it, that of this server for its own addresses, that of the first route in
// the configuration that matches, or the one without a name. Recipients on the
// suppression list of the account fail without an attempt.
//
// # Failures
//
// A permanent error, or a temporary one of the last attempt, fails the message: its
// sender gets a delivery status notification in the Inbox. The failure is recorded
// first. So a notification that cannot be stored is tried again later, and the
// message is not; after a while the postmaster gets it. After the fifth failed
// attempt the sender is told that the message is delayed. Messages with a null
// sender fail silently, as RFC 5321 §6.1 wants.
//
// How a message is brought to where it goes is for a [Transport]. [Local] brings
// all of it to accounts of this server. Without transport each attempt fails
// temporarily, and says so.
//
// [Queue.MatchDSN] finds out which message a notification from elsewhere is about, and
// adds what it says to the history of that.
//
// Delivery is at least once: if the process ends between the end of an attempt
// and its recording, the message is tried again.
//
// A [Queue] is safe for concurrent use.
//
// RFCs: 5321 §4.5.4.1 (sending strategy), 3461, 3464 and 6533 (notifications), 4865
// (FUTURERELEASE).
package queue
