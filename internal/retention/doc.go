// Package retention deletes messages that are older than their account wants them in a
// mailbox, and has accounts that nobody uses erase what was deleted long ago, and end what
// was begun and does not go on.
//
// Messages are expunged as by a user: sessions are told, and messages can be undeleted for
// as long as others. What is erased, and when, is a matter of package store.
//
// A Keeper works in one goroutine, and is safe for concurrent use.
package retention
