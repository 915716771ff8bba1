package imap

import (
	"fmt"
	"slices"
	"strings"

	"mox/internal/lex"
)

// Limits of keywords. The store refuses what is beyond them.
const (
	MaxKeywordLen      = 128  // Bytes in a keyword.
	MaxKeywords        = 100  // Keywords of a message, and in one command.
	MaxMailboxKeywords = 1000 // Different keywords in a mailbox.
)

// Flags is a bit set of the flags that have a fixed meaning: the system flags and
// the keywords that RFC 9051 §2.3.2 and RFC 5788 define and that mox knows.
// The bits are stored in databases and do not change.
type Flags uint16

// System flags and well-known keywords. RFC 9051 §2.3.2
const (
	FlagSeen      Flags = 1 << iota // \Seen
	FlagAnswered                    // \Answered
	FlagFlagged                     // \Flagged
	FlagDeleted                     // \Deleted
	FlagDraft                       // \Draft
	FlagForwarded                   // $Forwarded
	FlagJunk                        // $Junk
	FlagNotJunk                     // $NotJunk
	FlagPhishing                    // $Phishing
	FlagMDNSent                     // $MDNSent

	FlagsAll    = FlagMDNSent<<1 - 1 // All flags above.
	FlagsSystem = FlagDraft<<1 - 1   // Those that start with a backslash.
)

// flagNames has the name of each bit, from the lowest.
var flagNames = [...]string{
	`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`,
	"$Forwarded", "$Junk", "$NotJunk", "$Phishing", "$MDNSent",
}

// Names of flags that are no state of a message in the store.
const (
	FlagNameRecent = `\Recent` // RFC 3501 §2.3.2, sent by older servers.
	FlagNameAny    = `\*`      // In PERMANENTFLAGS: new keywords can be made. RFC 9051 §7.1
)

// Has reports whether all flags of o are in f.
func (f Flags) Has(o Flags) bool {
	return f&o == o
}

// Names returns the names of the flags in f, in the order of their bits.
func (f Flags) Names() []string {
	var l []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			l = append(l, name)
		}
	}
	return l
}

// AppendTo appends the names of the flags in f, separated by spaces.
func (f Flags) AppendTo(b []byte) []byte {
	sep := false
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			if sep {
				b = append(b, ' ')
			}
			sep = true
			b = append(b, name...)
		}
	}
	return b
}

// String returns the names of the flags in f, separated by spaces.
func (f Flags) String() string {
	return string(f.AppendTo(nil))
}

// FlagByName returns the flag with this name, in any case, and false if it is no
// flag with a fixed meaning.
func FlagByName(name string) (Flags, bool) {
	for i, n := range flagNames {
		if strings.EqualFold(n, name) {
			return 1 << i, true
		}
	}
	return 0, false
}

// A FlagSet is all that a message can be marked with.
type FlagSet struct {
	Flags    Flags
	Keywords []string // Lower case, sorted, without duplicates and without names that are in Flags.
}

// ParseFlag returns the flag, or the keyword in lower case, that name stands for.
// An unknown name that starts with a backslash is an error, and so is \Recent,
// which clients cannot set. RFC 9051 §9, production flag
func ParseFlag(name string) (Flags, string, error) {
	if f, ok := FlagByName(name); ok {
		return f, "", nil
	}
	if strings.HasPrefix(name, `\`) {
		return 0, "", fmt.Errorf("unknown system flag")
	}
	keyword, err := ParseKeyword(name)
	return 0, keyword, err
}

// ParseKeyword returns the keyword in the lower-case form in which it is stored.
// A keyword is an atom of at most MaxKeywordLen bytes. RFC 9051 §9, production
// flag-keyword
func ParseKeyword(s string) (string, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("empty keyword")
	case len(s) > MaxKeywordLen:
		return "", fmt.Errorf("keyword longer than %d bytes", MaxKeywordLen)
	case !lex.KeywordChar.All(s):
		return "", fmt.Errorf("keyword with invalid character")
	}
	return strings.ToLower(s), nil
}

// NewFlagSet returns the set of flags and keywords with these names, which may
// have duplicates. See [ParseFlag] for what is refused; more than MaxKeywords
// keywords are refused too.
func NewFlagSet(names ...string) (FlagSet, error) {
	var set FlagSet
	for _, name := range names {
		if err := set.Add(name); err != nil {
			return FlagSet{}, err
		}
	}
	return set, nil
}

// Add adds a flag or keyword by name. See [NewFlagSet] for its errors.
func (s *FlagSet) Add(name string) error {
	f, keyword, err := ParseFlag(name)
	if err != nil {
		return err
	}
	s.Flags |= f
	if keyword == "" {
		return nil
	}
	i, ok := slices.BinarySearch(s.Keywords, keyword)
	if ok {
		return nil
	}
	if len(s.Keywords) >= MaxKeywords {
		return fmt.Errorf("more than %d keywords", MaxKeywords)
	}
	s.Keywords = slices.Insert(s.Keywords, i, keyword)
	return nil
}

// Names returns the names of the flags, then the keywords.
func (s FlagSet) Names() []string {
	return append(s.Flags.Names(), s.Keywords...)
}

// String returns the names of the flags and the keywords, separated by spaces.
func (s FlagSet) String() string {
	return strings.Join(s.Names(), " ")
}
