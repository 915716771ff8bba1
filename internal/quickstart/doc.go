// Package quickstart makes the configuration of a new server for a domain: it looks at the
// machine, at DNS and at the network, says what it finds, writes mox.conf, domains.conf
// and keys, makes an account with a password, and says which records to publish and what
// to do next.
//
// Nothing is overwritten: it works with directories that are not there yet, or empty. If
// something fails, what was made is removed again. A check that fails is no reason not to
// go on, unless there would be nothing to write: most of what is wrong at this time can be
// put right later, and "mox config dnscheck" and "mox config check" look again.
//
// What is asked of the machine and the network goes through [Machine] and a resolver, so
// that tests reach nothing outside of them.
package quickstart
