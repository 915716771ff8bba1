// Package transport brings messages from the queue to other servers over SMTP. It has
// these implementations of [queue.Transport]:
//
//   - [Direct] delivers to the hosts that DNS names for the domain of the recipients,
//     with MTA-STS, DANE, REQUIRETLS, "TLS-Required: No", and otherwise opportunistic
//     TLS. With the dialer of [NewSocks] it goes through a SOCKS5 proxy.
//   - [Relay] hands everything to one server, with credentials.
//   - [Fail] fails.
//
// Each delivery gets results with what a server said, where, and over which kind of
// connection.
//
// # Hosts
//
// Hosts are tried in the order of their preference, and of each its addresses until
// there is a session. What a server says against a recipient or a message for good
// ends the attempt for that recipient; what it says for now, and what is about the
// server itself, such as that it takes no messages of this size, does not keep from
// trying the next host. When all have failed, one temporary failure makes the result
// temporary. A message that was sent as a whole and got no reply is not sent to a
// next host: it may have arrived.
//
// # TLS
//
// A policy (MTA-STS in mode enforce, DANE, or the sender with REQUIRETLS) makes TLS
// required. Without one, TLS that fails is tried again without TLS over a second
// connection, but not with a host that did TLS before ([TLSMemory]). DANE counts only
// if all lookups on the way to the host are authentic. How TLS went is told to
// [TLSResults], once for each new connection.
//
// # Connections
//
// Connections are kept for a short time in a [Pool], for further messages to the same
// address of the same host with the same requirement for TLS and the same
// credentials. One that the server has closed meanwhile is replaced without the
// message noticing, as long as MAIL was not answered.
//
// What the package does not do: choosing a transport, scheduling, retrying, keeping
// policies or results. Its interfaces have the parts that it takes from elsewhere.
//
// All types are safe for concurrent use. Everything ends with the context of
// Deliver, and has the time-outs of RFC 5321 §4.5.3.2 otherwise. Connections that are
// kept end with [Pool.Close].
//
// RFCs: 5321, 7505 (null MX), 7504 (521 and 556), 8461 (MTA-STS), 7671 and 7672
// (DANE), 8689 (REQUIRETLS), 8460 (TLS reports), 7435 (opportunistic security), 1928
// and 1929 (SOCKS5), 1047 (duplicates), 3461 (notifications), 9422 (LIMITS).
package transport
