// Package deliver carries out the decision to accept a message: it puts the trace
// header fields in front and stores the message in the mailbox of the verdict,
// which it creates when it is missing. When it returns nil, the message is on
// stable storage.
//
// It also keeps copies of messages that were refused, for accounts that want them, stores
// what reports about our domains say, and records what DMARC has said of messages. A
// [Members] does all of it for the members of an alias. For addresses that forward, it
// decides whether the message may go on to addresses elsewhere, and has it queued (see
// forward.go); notifications that were stored are matched with what was sent (match.go).
//
// It does not decide (package inbound), and speaks no protocol, but its errors are
// those that an SMTP client is to be told. A message for several recipients is
// delivered to each of them by a call of its own, also when they are one account:
// each address gets its copy, as each may have a mailbox of its own.
//
// A [Deliverer] is safe for concurrent use.
//
// RFCs: 5321 §3.9 (forwarding), §3.9.1 (aliases), §4.4 (trace information, Return-Path) and §6.3 (loops);
// 3461 §5.2.7 (notifications about aliases).
package deliver
