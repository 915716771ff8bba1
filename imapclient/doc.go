// Package imapclient is an IMAP client: the driver of the server's tests and benchmarks,
// and what fetches mail from other servers.
//
// A [Client] has a method for each command, with typed results. Where a test must send
// what no method sends, there are [Client.Cmd], [Client.Send] and [Client.Wait] for
// command lines, and [Client.WriteLine] and [Client.ReadLine] for raw lines. What a server
// sends is parsed by the syntax of RFC 9051 §9 and the extensions; what does not fit is an
// error that names production and column, unless Options.Lenient says to go on.
// Unsolicited responses are in the [Response] of the command that was running.
//
// A command that the server refuses is an *[imap.Error] of type NO or BAD, together with
// what the server sent before. After any other error the connection can no longer be used.
//
// Each method takes a context and gives up when it is done; without a deadline in it,
// waiting for the server ends after Options.Timeout. A Client is for one goroutine at a
// time.
//
// Not here: finding servers and dialing, SASL mechanisms (see [Mechanism]), and a cache of
// mailboxes. The base is RFC 9051 and RFC 3501; extensions are named at the methods.
package imapclient
