// Package textindex keeps the text indexes of accounts (mox/internal/fts) up to date, and
// says what the text of a message is.
//
// The store tells [Indexer.Wake] that messages came or were erased, which only takes note
// of that. In the background, messages between the mark of the index and that of the
// account are read and added in batches, in the order of their content ids; the commit of
// a batch also moves the mark, so that each message is added exactly once whatever crashes
// in between. What was erased is found by comparing ids, and removed. Nothing waits for
// an index: messages that it does not have yet are read by those who search.
//
// An index is opened when it is first needed, and stays open until too many are; never
// is it closed while it is in use. Its file fts.db is in the directory of the account.
// A file that is missing, damaged, of another version or of another past of the account
// is made anew. Nothing depends on it, and it may be removed while the server is stopped.
//
// The text of a message is what SEARCH looks at: [Each].
//
// An [Indexer] is safe for concurrent use.
//
// RFCs: 9051 §6.4.4.
package textindex
