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
// An account has one password, and app passwords, which the server makes: each for one
// program and the protocols that it needs, in internal/authdb. They cannot be guessed, so
// they are kept as a fast hash and tried before the costly check of the password. All of
// an account have the same salt for SCRAM, so that the challenge is good for each of them.
// To the remote, one that is not for the protocol is a wrong password.
//
// Each attempt is recorded in internal/authdb, and gives one line at level info, made for
// tools that block addresses (packaging/fail2ban):
//
//	m="login attempt" result=badpassword remote=192.0.2.1 protocol=imap mechanism=PLAIN account=... username=...
//
// Results are ok, baduser, badpassword, badcreds, badchanbind, badprotocol, logindisabled,
// ratelimited, error and aborted. With badcreds there is a reason: nosecret, scope, authzid,
// key, mechanism.
//
// The package speaks no protocol: servers do the base64 and the replies. A Checker
// is safe for concurrent use; an [Exchange] belongs to one connection.
//
// RFCs: 4616 (PLAIN), 2195 (CRAM-MD5), 5802 and 7677 (SCRAM), 4422 (EXTERNAL),
// 8265 (preparation of passwords).
package identity
