// Package inbound decides what to do with a message for one recipient: [Facts]
// go in, a [Verdict] comes out. It reads what it needs and changes nothing: a
// verdict is carried out by package deliver.
//
// The decision is a chain of named checks. Each looks at the facts, and either
// decides or passes. For now there is one rule, the last of the chain: mail for a
// known address is accepted.
//
// A [Decider] is safe for concurrent use.
package inbound
