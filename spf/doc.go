// Package spf checks whether a host may send mail for a domain, with the Sender
// Policy Framework.
//
// RFCs: 7208.
package spf
