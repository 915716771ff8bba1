// Package authdb is the database of what users log in with besides the passwords of
// their accounts, public keys of TLS client certificates and app passwords, and of the
// attempts to log in.
//
// They are in a database of the server and not in those of accounts because a client
// with a certificate does not say which account it is for, because most failed attempts
// belong to no account, and because the last use of an app password is written with the
// attempts: logins do not wait for a disk. Who may log in is decided in
// internal/identity; here are records and queries.
//
// A [DB] is the file auth.db in the data directory. It is safe for concurrent use. A
// change is on stable storage when the method returns, except for attempts: those go
// through a short queue to a goroutine that writes them in batches, and when there are
// too many, some are dropped, so that nobody can slow down logins with them.
//
// RFCs: 4422 (EXTERNAL), 5280 (certificates), 5802 (keys of SCRAM), 8446 (client
// authentication).
package authdb
