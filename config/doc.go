// Package config reads mox.conf and domains.conf, checks them, and hands out the
// result as an immutable [Snapshot].
//
// mox.conf is the static file: what it says about listeners, the data directory
// and the like is read once, at start. domains.conf, always next to it, is the
// dynamic file with domains, accounts and addresses. A [Holder] watches it: when
// its modification time or size changes it is read again as a whole, and becomes
// the new snapshot if all of it is right; otherwise the old snapshot stays in use
// and the errors are logged.
//
// Both files are in the format of github.com/mjl-/sconf. Their fields are those of
// [Static] and [Dynamic], which also carry the documentation that [DescribeStatic]
// and [DescribeDomains] print. A field that is not defined there does not exist:
// it is refused with file and line. Errors are collected, not only the first is
// reported, as [Errors] with file, line and field.
//
// Private keys for DKIM are read with domains.conf, because what cannot sign must not
// come into use; a key file that changes alone is read when domains.conf changes.
//
// The package opens no data and no network connections. It does not know what a
// password is: those are in the store. A Snapshot is safe for concurrent use and
// must not be changed; sessions keep the one they started with for as long as it
// takes to answer a command. A Holder is safe for concurrent use.
//
// RFCs: 5321 (addresses, and the postmaster that must exist, RFC 5321 §4.5.1), 6376 and
// 8301 (DKIM).
package config
