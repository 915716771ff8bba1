// Package search compiles search keys into programs and runs them over a mailbox:
// for IMAP SEARCH, and for whoever else asks for messages.
//
// A [Program] is made by [Compile] for one version of a mailbox, a *store.Index, and
// gives positions in it. Conditions have a cost: flags, UIDs, dates, sizes and keywords
// stand in the index, which is in memory; addresses, subject, sent date and the usual
// header fields stand in digests, which are read in batches and cached; only BODY, TEXT
// and unusual header fields open message files. A message is asked the cheap ones
// first, with three-valued logic, so that a dear one is only looked at when the result
// depends on it. All texts that are looked for in a body are looked for in one pass
// over it, which ends when the result is known.
//
// Text is compared decoded (RFC 2047, RFC 2045, charsets) and folded as message.Fold
// does. A message that cannot be read does not match what asks for its text, and is
// reported apart; it never fails the search.
//
// The work of a search is bounded by the mailbox and by the limits on programs in
// package imap. The context is looked at for every batch of messages and while a file
// is read. Memory does not grow with the mailbox. A Program is not safe for concurrent
// use; many can run on one Index.
//
// [Keys] sorts messages and puts them into threads. What they are sorted by is taken from
// digests once, in the form in which it is compared, and kept in bounded memory as a table
// for each mailbox: with each message the rank of its date, subject or address among all
// (columns), and its Message-ID and references as numbers (links). Sorting is then a radix
// sort of ranks; new messages are merged into a table, and none changes what others have
// but their ranks. A few messages of a mailbox whose table is not there are read as they
// are. Tables are immutable, so that commands share them. The work of threading is bounded
// also for messages that were made to refer to each other in a bad way.
//
// It is not for the syntax of SEARCH (mox/imap/wire) or its responses (mox/imapserver).
//
// RFCs: 9051 §6.4.4, 3501 §6.4.4, 5032, 8474 §6, 8514 §4.3, 7162 §3.1.5, 5256 §2 and §3, 5957 §3, 5051.
package search
