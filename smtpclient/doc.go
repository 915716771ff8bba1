// Package smtpclient is an SMTP client: it delivers or submits messages to one
// server over one connection, RFC 5321 and RFC 6409.
//
// [New] takes a connection through greeting, EHLO, STARTTLS and authentication;
// [Client.Deliver] does as many transactions as a message needs, and can be called
// again for the next message; [Client.Close] says QUIT.
//
//	c, err := smtpclient.New(ctx, conn, smtpclient.Options{...})
//	results, err := c.Deliver(ctx, smtpclient.Envelope{...})
//	err = c.Close()
//
// All failures are of type [*Error], which tells the command, the reply of the
// server if there was one, and whether trying again can help. Deliver has such a
// result for each recipient.
//
// What the package does not do: DNS, choosing hosts and addresses, falling back to
// plain text, retrying. It verifies the certificates of servers as far as it is
// told to, and leaves it to the caller to read MTA-STS policies and TLSA records,
// see [TLSOptions]. It has no metrics; see Options.OnReply.
//
// Every command has the time-out of RFC 5321 §4.5.3.2, and ends early when its
// context does. A Client is for one goroutine.
//
// RFCs: 5321, 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8),
// 3207 (STARTTLS), 4954 (AUTH), 8689 (REQUIRETLS), 2034 (enhanced status codes),
// 3461 (DSN), 3030 (CHUNKING, BINARYMIME), 4865 (FUTURERELEASE), 9422 (LIMITS).
package smtpclient
