// Package certs has the keys and certificates of listeners: from files, which it
// reads again when they have changed, or from an authority with ACME, from which it
// requests them and renews them in time. It makes one tls.Config for each listener and
// purpose, and self-signed certificates for trying things out.
//
// A [Manager] is for the whole server. Certificates are requested only for names that
// the configuration asks for, before a client does. An authority is shown that a name
// is ours with TLS-ALPN-01 ([Manager.ChallengeConfig]), HTTP-01
// ([Manager.HTTPHandler]) or DNS-01. Below acme/ in the data directory are the keys of
// accounts, NAME.key, and keycerts/NAME/ with certificates, for the names of
// authorities in the configuration.
//
// A hostname can have private keys of its own, so that TLSA records of DANE, which are
// about a key, stay right when certificates are renewed: there is a certificate for
// each. [StartRollover] begins to replace one. The new key is next to the old one, in a
// file with the suffix ".next", until its record must be known everywhere and is found
// in DNS; the old one is in ".previous" until nobody can have an old record. [Records]
// returns what must be published at any time.
//
// Nothing here opens a port, or writes records that are not for DNS-01. A Manager, a
// [Listener] and a [Source] are safe for concurrent use.
//
// RFCs: 6066 (server name indication), 7672 (DANE for SMTP), 8555 (ACME), 8737
// (TLS-ALPN-01), 8996 (why TLS 1.2 is the default minimum), 9773 (when authorities
// want certificates to be renewed).
package certs
