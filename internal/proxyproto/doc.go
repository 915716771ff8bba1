// Package proxyproto reads the header of the PROXY protocol, with which a proxy in
// front of a server tells whom it connects, versions 1 (text) and 2 (binary).
//
// [Read] takes exactly the header from a connection and leaves what follows. It is
// for connections from proxies that are known by their address: whoever else could
// send a header could claim to be anyone. How long reading may take is for the
// caller to limit, with a deadline of the connection; how much is read is limited
// here.
//
// The package does not listen, and it does not write headers. Functions are pure.
//
// The protocol is specified at https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
package proxyproto
