// Package smtpserver receives mail over SMTP: from other servers for our users
// (delivery), from our users for the world (submission, with STARTTLS or with
// immediate TLS), and from another mail server on this machine (LMTP).
//
// A [Server] has what its listeners share. [Server.Serve] accepts connections on
// one socket until [Server.Shutdown]; each connection is a session with one
// goroutine. Commands stand in one table, in commands.go. Only the dispatcher in
// session.go reads a command, checks whether it is allowed now, runs its parser
// to the end of the line, runs it, maps its error to a reply, writes the reply,
// counts and logs. AUTH, DATA, BDAT and STARTTLS read more than a line and are the
// exceptions.
//
// The server decides about the envelope and the protocol. What becomes of a
// message is decided elsewhere and passed in through small interfaces: who a user
// is (internal/identity), whether a message is wanted (internal/inbound), storing
// it (internal/deliver), sending it on (internal/submit). "250" after DATA is only
// said when they have returned, which is when the message is on stable storage.
//
// Time that a peer is made to wait is never spent holding an account, a file or a
// lock, and never for networks that are exempt from limits. All limits are in
// limits.go; those an operator may need to change are in the configuration of
// the listener.
//
// A message for several recipients that some get and others do not is special,
// for there is one reply for all of them: see receive.go.
//
// RFCs: 5321 (SMTP), 6409 (submission), 8314 (submission with immediate TLS), 2033
// (LMTP), 3207 (STARTTLS), 4954 (AUTH), 1870 (SIZE), 2920 (PIPELINING), 6152
// (8BITMIME), 6531 (SMTPUTF8), 3030 (CHUNKING, BINARYMIME), 3461 (DSN), 8689
// (REQUIRETLS), 2034, 3463 and 5248 (ENHANCEDSTATUSCODES), 9422 (LIMITS), 4865
// (FUTURERELEASE), 3848 (protocols in Received), 7505 (null MX).
package smtpserver
