package store

import (
	"slices"

	"mox/imap"
)

// Flags are the flags of a message that have a fixed meaning. Other keywords are
// strings, lower-case as imap.ParseKeyword returns them.
type Flags = imap.Flags

// FlagChange says what a STORE does to flags and keywords (RFC 9051 §6.4.6).
type FlagChange struct {
	Op FlagOp
	imap.FlagSet
}

// FlagOp is how a FlagChange combines with the flags a message has.
type FlagOp int

const (
	FlagsSet    FlagOp = iota // FLAGS: replace.
	FlagsAdd                  // +FLAGS.
	FlagsRemove               // -FLAGS.
)

// apply returns the flags and sorted keywords after the change. Slices are shared
// where nothing changes.
func (c FlagChange) apply(f Flags, kw []string) (Flags, []string) {
	switch c.Op {
	case FlagsAdd:
		return f | c.Flags, mergeKeywords(kw, c.Keywords)
	case FlagsRemove:
		return f &^ c.Flags, slices.DeleteFunc(slices.Clone(kw), func(k string) bool {
			_, ok := slices.BinarySearch(c.Keywords, k)
			return ok
		})
	}
	return c.Flags, c.Keywords
}

// mergeKeywords returns the sorted union of two sorted lists.
func mergeKeywords(have, add []string) []string {
	missing := false
	for _, k := range add {
		if _, ok := slices.BinarySearch(have, k); !ok {
			missing = true
		}
	}
	if !missing {
		return have
	}
	l := slices.Concat(have, add)
	slices.Sort(l)
	return slices.Compact(l)
}
