// Package http serves HTTP: which names and paths lead to which handler, on ports that
// several services can share, and the handlers that domains.conf describes: files,
// redirects and forwarding to other servers (reverse proxy).
//
// A request is answered by the first of these that is for its host and path:
//
//  1. What is well known: answers for authorities (RFC 8555 §8.3), MTA-STS policies, and
//     settings for mail programs. Nothing can take their place.
//  2. WebDomainRedirects and then WebHandlers of domains.conf.
//  3. Services with pages of this server, see [Service].
//
// What of this is on a port is said by [config.WebPort]. On a port with TLS, clients can
// also ask for "imap" and "smtp", and authorities for "acme-tls/1" (RFC 8737 §6.2), in
// the handshake (ALPN, RFC 7301); such connections are handed to others.
//
// Requests and connections of a client are limited. What a client does not read or send
// for a while ends; a response as such may take any time, since there are ones that
// never end. Who the client is says the PROXY protocol, or X-Forwarded-For of trusted
// proxies; handlers find it in RemoteAddr, and whether it uses TLS in the header field
// X-Forwarded-Proto, which never comes from others.
//
// The protocol itself is that of net/http, and forwarding that of net/http/httputil. The
// package makes no pages, knows no users, and opens no ports. A [Server] is safe for
// concurrent use.
//
// RFCs: 6455 (WebSocket), 7301 (ALPN), 8461 (MTA-STS), 8555 and 8737 (ACME), 9110 (HTTP).
package http
