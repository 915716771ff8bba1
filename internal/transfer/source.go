package transfer

import (
	"io"
	"strings"
	"time"

	"mox/imap"
)

// An Item is what is known of a message besides its content.
type Item struct {
	Mailbox  string // Where it was, relative to what was imported; empty for the top.
	Flags    imap.FlagSet
	Received time.Time // Zero if that is not known.
}

// A Source has messages, one after the other.
type Source interface {
	// Next writes the next message to w, with line ends as they are, and returns what is
	// known of it. The error is io.EOF after the last one. An error of w is returned as it is.
	Next(w io.Writer) (Item, error)
	Close() error
}

// addFlag adds a flag or keyword. Those that cannot be kept are left out.
func addFlag(set *imap.FlagSet, name string) {
	switch strings.ToLower(name) {
	case "nonjunk", "$nonjunk":
		name = "$NotJunk" // As some programs write it.
	case "forwarded", "junk", "notjunk", "phishing", "mdnsent":
		name = "$" + name
	}
	_ = set.Add(name) // What is no keyword for IMAP cannot be one here.
}
