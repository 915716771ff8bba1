// Package smtp has the vocabulary that SMTP clients and servers share: addresses
// and paths, the parameters of MAIL and RCPT, reply and enhanced status codes,
// and the transfer encoding of message data.
//
// Addresses are kept decoded and normalised, so that they compare with ==:
// [Localpart] without quotes and escapes and in Unicode normalisation form C,
// domains as [dns.Domain]. The String methods quote again where needed.
//
// Parsers take a [Mode]. Strict follows the ABNF of the RFCs; Lenient tolerates
// what is known to be sent and is harmless. It is one parser, both ways.
//
// [Error] is a reply with a 4yz or 5yz code as an error value, with text for the
// remote and a cause for the log. [DataReader] and [DataWriter] do the dot
// stuffing of DATA and refuse what could be understood differently by the next
// server (SMTP smuggling).
//
// The package opens no connections; see smtpclient. Functions are pure. A
// DataReader or DataWriter is for one goroutine.
//
// RFCs: 5321 (SMTP), 6531 (SMTPUTF8), 1870 (SIZE), 6152 (8BITMIME), 3030
// (BINARYMIME), 4954 (AUTH), 8689 (REQUIRETLS), 4865 (FUTURERELEASE), 3461 and
// 6533 (DSN), 2034, 3463 and 5248 (enhanced status codes).
package smtp
