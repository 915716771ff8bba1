// Package queue delivers what is in the queue database: it decides when a message
// is tried, by which transport, and what becomes of it after an attempt.
//
// # Scheduling
//
// [Queue.Run] is one loop. It wakes when something was queued ([Queue.Kick]), when
// the next message is due, and when a delivery has ended. It takes what is due
// first, at most [DefaultConcurrent] deliveries at a time and one for each
// recipient domain. The recipients of a submission at one domain go together. An
// attempt is on stable storage before it is made, with the time of the next one,
// so a crash during an attempt costs that attempt and never makes us try again at
// once.
//
// Attempts are made 7.5 and 15 and 30 minutes apart, and so on, doubling, for up to
// [DefaultMaxAttempts] attempts within 16 hours. The intervals vary a little from
// message to message, and not for a message: what a sender is told about the last
// attempt is when it will be.
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
// Delivery is at least once: if the process ends between the end of an attempt
// and its recording, the message is tried again.
//
// A [Queue] is safe for concurrent use.
//
// RFCs: 5321 §4.5.4.1 (sending strategy), 3464 (notifications), 4865
// (FUTURERELEASE).
package queue
