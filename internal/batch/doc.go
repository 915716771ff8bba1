// Package batch collects what is to be written to a database, so that who adds to it does
// not wait for a transaction, and many additions are one. What is collected, and how it is
// written, is up to its user. What was added and not written is lost in a crash: it is for
// counts and the like, never for mail.
package batch
