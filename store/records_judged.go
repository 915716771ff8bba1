package store

import "time"

// The record types below are what an account knows of who sends what: which messages
// are junk to the user, from whom they came, and what was learned of them.

// judged is what is known to be junk, or not: content that a message with exactly one
// of $Junk and $NotJunk uses. It stays when the message is expunged, until the content
// is erased.
type judged struct {
	ContentID int64 `bstore:"noauto,typename Judged"`
	Junk      bool
	Round     int64 // In which there was a lesson about it, zero for none. See state.LessonRound.
}

// lesson is a row of the journal that the junk filter learns from. Rows are removed
// when they are learned.
type lesson struct {
	Row       int64 `bstore:"typename Lesson"`
	ContentID int64 `bstore:"nonzero"`
	Junk      bool
	Undo      bool // Take back an earlier lesson that said so.
}

// reputation has the newest messages that were judged from one sender to one mailbox,
// where a sender is what Evidence says. See reputationKey.
type reputation struct {
	Key      string `bstore:"typename Reputation"`
	Month    int32  `bstore:"index"` // Of the newest outcome, counted from year 0.
	Outcomes []outcome
}

// outcome is a message that was judged.
type outcome struct {
	ContentID int64
	Received  int64 // Unix seconds.
	Junk      bool
	Author    uint32 // Hash of the address in From.
}

// contact is an address or domain that the account has sent to. Keys are as those of
// ContactKind.
type contact struct {
	Key   string    `bstore:"typename Contact"`
	Month int32     `bstore:"index"` // Of Last.
	Last  time.Time `bstore:"nonzero"`

	// Submitted says that mail was submitted here for the address, and not only put into
	// the mailbox for sent messages. Only for addresses.
	Submitted bool
}

// senderRule is what the user has said of a sender, for all mail from it.
type senderRule struct {
	Sender string `bstore:"typename SenderRule"` // Address, or @ and a domain.
	Allow  bool   // Else block.
	Since  time.Time
}

// subjectPass has the key with which tokens for senders are made and checked, for an
// address of the account.
type subjectPass struct {
	Address string `bstore:"typename SubjectPass"`
	Key     string `bstore:"nonzero"`
}
