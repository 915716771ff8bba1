// Package accountfile keeps a file of each account open that the account can do without
// for a moment, such as its junk filter: it is opened when it is first needed, by however
// many at once, and stays open until too many are. Never is it closed while it is in use.
// Who replaces or removes a file locks it, and those who are using it go on with what they
// have.
//
// What the file is, how it is opened, and what to do if it is damaged is up to the user of
// the package. A [Cache] is safe for concurrent use.
package accountfile
