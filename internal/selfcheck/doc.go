// Package selfcheck looks at the machine that a server runs on, or is to run on: clock,
// disk, DNS resolver, ports, permissions, certificates, keys, the user to run as, and the
// format of databases. Whether the configuration can be read, and what others see of the
// server, is looked at elsewhere: "mox config test" and "mox config dnscheck".
//
// It changes nothing, but for a file in the data directory that it writes to see whether
// that works, and removes. The server may be running. A [Check] is used once.
package selfcheck
