// Package dkim signs messages and verifies signatures with DomainKeys Identified
// Mail.
//
// RFCs: 6376, 8301, 8463.
package dkim
