// Package tracedb is the database of what became of messages: for every message in or
// out the steps it has made, so that an operator can say what happened to it.
//
// A step has what is on the envelope, and what was done and why: addresses, Message-ID,
// size, servers, replies, reasons. Nothing of the content is kept, not even the subject.
//
// Steps are tied together by a [Ref], which goes with the context from the SMTP
// transaction through judging, storing and queueing, and by the id in the queue from
// then on. So a message that a user here sends to a user here is one message with the
// steps of both ways. One that goes out and comes in again by SMTP is two, with the
// same Message-ID.
//
// A [DB] is the file trace.db in the data directory. It is safe for concurrent use.
// [DB.Step] does not wait for anything: steps go through a bounded channel to one
// goroutine that writes them in batches, and what is too much is dropped and counted.
// Steps of the last second are lost in a crash. All that is kept is bounded, in time by
// an option and in size by constants; the oldest messages go first.
package tracedb
