package imap

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Inbox is the name of the primary mailbox, in the spelling in which it is stored.
// In the protocol it is written in any case. RFC 9051 §5.1
const Inbox = "Inbox"

// Delimiter separates the levels of mailbox names. RFC 9051 §5.1.1
const Delimiter = '/'

// Limits of mailbox names.
const (
	MaxMailboxLen    = 1000 // Bytes in a mailbox name in UTF-8.
	MaxMailboxLevels = 50   // Levels of hierarchy.
)

// ParseMailboxName checks a mailbox name in UTF-8 and returns the form in which it
// is stored, which differs only in "Inbox" as first level. Names must be in Unicode
// normal form C, at most [MaxMailboxLen] bytes and [MaxMailboxLevels] levels, and
// have no control characters, no line or paragraph separator (RFC 9755 §3), no
// leading "#" (RFC 9051 §5.1.2.1), no empty level and no level "." or "..". Any
// other name is answered with an [Error] of type NO and code CANNOT.
func ParseMailboxName(name string) (string, error) {
	if text := checkMailboxName(name); text != "" {
		return "", No(CodeCannot, text)
	}
	return CanonicalInbox(name), nil
}

// checkMailboxName returns what is wrong with name, or nothing.
func checkMailboxName(name string) string {
	switch {
	case name == "":
		return "mailbox name is empty"
	case len(name) > MaxMailboxLen:
		return "mailbox name is too long"
	case !utf8.ValidString(name):
		return "mailbox name is not UTF-8"
	case !norm.NFC.IsNormalString(name):
		return "mailbox name is not in unicode normal form c"
	case name[0] == '#':
		return "mailbox name starts with #"
	}
	for _, r := range name {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 {
			return "mailbox name has a control character"
		}
	}
	levels := 0
	for level := range strings.SplitSeq(name, string(Delimiter)) {
		levels++
		switch level {
		case "":
			return "mailbox name has an empty level"
		case ".", "..":
			return "mailbox name has a level that is . or .."
		}
	}
	if levels > MaxMailboxLevels {
		return "mailbox name has too many levels"
	}
	return ""
}

// CanonicalInbox returns name with its first level spelled "Inbox" if it is that in
// any case. RFC 9051 §5.1
func CanonicalInbox(name string) string {
	n := len(Inbox)
	if len(name) >= n && strings.EqualFold(name[:n], Inbox) && (len(name) == n || name[n] == Delimiter) {
		return Inbox + name[n:]
	}
	return name
}

// MailboxParent returns the name of the mailbox one level up, or "" at the top.
func MailboxParent(name string) string {
	i := strings.LastIndexByte(name, Delimiter)
	return name[:max(i, 0)]
}
