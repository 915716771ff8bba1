// Package certs has the keys and certificates of listeners: it makes one
// tls.Config for each, reads certificates again when their files have changed, and
// makes self-signed certificates for trying things out.
//
// A [Source] is for one listener. It is safe for concurrent use.
//
// RFCs: 6066 (server name indication), 8996 (why TLS 1.2 is the default minimum).
package certs
