// Package sasl implements the client and server sides of the SASL mechanisms
// that mail protocols use: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195),
// SCRAM-SHA-1 and SCRAM-SHA-256 with and without channel binding (RFC 5802,
// RFC 7677, RFC 5929, RFC 9266), and EXTERNAL (RFC 4422). It also holds what
// surrounds them: preparation of names and passwords (RFC 8265), derivation of
// the secrets a server stores, and password hashing with argon2id.
//
// The package neither reads nor writes the network or a database, and does no
// base64 of the protocol profile: challenges and responses are the decoded
// octets. Server sides are explicit state machines. The caller looks up the
// stored secret between two steps, so the package has no callbacks:
//
//	s := sasl.NewSCRAMServer(sasl.SHA256, sasl.SCRAMServerOptions{...})
//	id, err := s.ClientFirst(response)          // who wants to log in
//	keys := lookup(id.Authentication)           // or sasl.FakeSCRAMKeys
//	challenge, err := s.ServerFirst(keys...)    // send, read a response
//	final, err := s.ClientFinal(response)       // err nil: proven
//
// Failures are a closed set of sentinels (see errors.go), meant to be mapped to
// replies with errors.Is. Their text is for our own log, not for the remote.
//
// Values for a single exchange (clients, servers) are for use by one goroutine.
// [PasswordChecker] is safe for concurrent use. All other functions are pure.
package sasl
