// Package authdb is the database of what users log in with besides passwords, over
// all accounts: public keys of TLS client certificates.
//
// Keys are in a database of the server and not in those of accounts because a client
// with a certificate does not say which account it is for. Who may log in is decided
// in internal/identity; here are records and queries.
//
// A [DB] is the file auth.db in the data directory. It is safe for concurrent use. A
// change is on stable storage when the method returns.
//
// RFCs: 4422 (EXTERNAL), 5280 (certificates), 8446 (client authentication).
package authdb
