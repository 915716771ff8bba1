// Package training keeps the junk filters of accounts open, and has them learn what
// users say is junk.
//
// The store writes a row in the journal of an account when the user flags or moves a
// message, and tells [Trainer.Wake], which only takes note of that. In the background,
// rows are taken in batches: the messages are read, the filter takes what they teach in
// one commit together with the number of the last row, and then the rows are removed.
// Whatever crashes in between, each row counts exactly once, for the filter leaves out
// rows that it has taken before.
//
// A filter is opened when it is first needed, and stays open until too many are;
// never is it closed while it is in use. Its file junkfilter.db is in the directory of
// the account. A file that is missing, damaged, of another version or of another past
// of the account is made anew from the messages that are judged: first junkfilter.db.new
// is made, then the journal is written anew, and then the file gets its name. When
// that is interrupted, junkfilter.db.new is still there, and all begins again. Mail is
// judged meanwhile by the old filter, or if there is none by the new one with what
// it knows so far.
//
// The package does not decide what happens to a message. A [Trainer] is safe for
// concurrent use.
package training
