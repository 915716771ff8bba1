// Package clientconf has HTTP handlers that tell programs how to reach this server.
// Mail programs learn with which hosts and ports they can read and send mail of an
// address: those in the manner of Thunderbird get config-v1.1.xml, Outlook an
// Autodiscover answer, and devices of Apple a configuration profile, also by way of a QR
// code. Mail servers get the MTA-STS policy of a domain (RFC 8461 §3.2).
//
// Answers depend on the domain of an address only: they say nothing about which addresses
// exist. Domains that are disabled, or that get nothing but reports, have none. Which
// host a request was for is checked by whoever mounts the handlers, except for
// [Handlers.MTASTSPolicy], where the host names the domain. Records in DNS that serve the
// same purpose (RFC 6186) are made in package internal/admin.
//
// Handlers are safe for concurrent use and keep nothing between requests.
//
// RFCs: 6186, 8314, 8461.
package clientconf
