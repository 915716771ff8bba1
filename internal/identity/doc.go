// Package identity checks who logs in: one place for SMTP, IMAP and HTTP that
// looks up the account, checks its credentials, limits failed attempts per
// network, and logs and counts each attempt.
//
// A [Checker] checks a user name and password at once, or does a SASL exchange
// step by step. What a remote party learns, from the answer or from how long it
// takes, does not tell whether a user exists: for a user without password the
// same work is done, SCRAM continues with a salt that is the same each time, and
// answers that come before any costly computation are delayed to a fixed time.
//
// Passwords are kept as argon2id hash and as the stored keys of SCRAM, neither of
// which can be used to log in. CRAM-MD5 needs the equivalent of the password, so
// it works only for accounts whose configuration asks for it. For the others it
// fails as for an unknown user. EXTERNAL is for client certificates whose key is
// registered, in internal/authdb.
//
// Each attempt gives one line at level info, made for tools that block addresses:
//
//	m="login attempt" result=badcreds remote=192.0.2.1 protocol=imap mechanism=PLAIN username=...
//
// Results are ok, badcreds, badchanbind, badprotocol, logindisabled, ratelimited,
// error and aborted.
//
// The package speaks no protocol: servers do the base64 and the replies. A Checker
// is safe for concurrent use; an [Exchange] belongs to one connection.
//
// RFCs: 4616 (PLAIN), 2195 (CRAM-MD5), 5802 and 7677 (SCRAM), 4422 (EXTERNAL),
// 8265 (preparation of passwords).
package identity
