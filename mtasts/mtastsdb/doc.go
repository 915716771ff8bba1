// Package mtastsdb keeps the MTA-STS policies of domains that mail was sent to.
//
// [DB.Get] returns the policy that is in force for a domain. Before it uses one that
// it has, it looks in DNS whether there is a new one, and fetches that. A policy that
// was fetched holds until its time is over, whatever DNS and the policy host say
// then; that is what makes it hard to take away for an attacker. When a policy cannot
// be fetched, that is remembered for [Backoff], and until then is not tried again.
// What DNS says about there being a policy is remembered for a short time too, in
// memory.
//
// [DB.Run] refreshes policies once a day, so that they do not end while they are in
// use, and forgets those that nobody uses.
//
// A policy is stored as the text that was fetched, and nothing else that is made of
// it: what TLS reports say about it is always what is in force.
//
// A [DB] is the file mtasts.db in the data directory. It is safe for concurrent use;
// for each domain there is one lookup at a time, and others wait for it. All that
// waits for the network ends with its context, and has limits in time and size.
//
// RFCs: 8461.
package mtastsdb
