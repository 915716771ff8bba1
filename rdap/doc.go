// Package rdap finds out when a domain was registered, with the Registration Data Access
// Protocol: new domains are used for fraud more often than others.
//
// [Client.Registered] finds the server of the registry of a top-level domain in the list
// of IANA, asks it, and returns a time. The package keeps the list for a day and does
// nothing else with what servers tell. It has no metrics. A Client is safe for concurrent
// use.
//
// RFCs: 9082, 9083, 9224.
package rdap
