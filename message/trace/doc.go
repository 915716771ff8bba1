// Package trace reads and writes the trace field in which a server notes how it
// has authenticated a message, Authentication-Results, and removes those that
// strangers have forged in our name.
//
// An [AuthResults] is the value of such a field. [Parse] reads one, also those of
// ARC-Authentication-Results after their instance tag (RFC 8617 §4.1.1), and keeps
// methods, results and properties that it does not know. [AuthResults.Header]
// writes one, folded and quoted so that no value, whoever has chosen it, adds
// anything to the field. [RemoveForged] works on the bytes of a header section.
//
// The package does no I/O, has no state and does not log. It does not decide
// whether results can be trusted: that depends on who has added them.
//
// RFCs: 8601.
package trace
