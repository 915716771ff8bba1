package store

import (
	"time"

	"mox/message"
)

// The record types below are what bstore keeps in an account's index.db.
// Only fields that are asked for by a query have an index. Field names and bits
// are the storage format, see docs/storage.md.

// ModSeq is the change counter of an account: every commit that changes
// something a client can see uses a next one (RFC 7162 §3.1). The first is 1.
type ModSeq int64

// Mailbox is a mailbox with its counts, which are kept in the transaction that
// changes a message. Values handed out are copies.
type Mailbox struct {
	ID          int64
	ParentID    int64  // Zero for a top-level mailbox.
	Name        string `bstore:"nonzero,unique"` // Full name, "/" separated, NFC.
	UIDValidity uint32 `bstore:"nonzero"`
	UIDNext     uint32 `bstore:"nonzero"`
	ModSeq      ModSeq // Of the last change to the mailbox or a message in it.
	CreateSeq   ModSeq
	SpecialUse  SpecialUse
	Keywords    []string // Sorted, lower-case; all that were ever used in this mailbox.
	RecentUID   uint32   // Messages from this UID on are \Recent for the next session that selects the mailbox (RFC 3501 §2.3.2).
	Counts
}

// Counts are the sums over the messages of a mailbox.
type Counts struct {
	Messages    int64 // All messages, also those marked \Deleted.
	Unseen      int64 // Without \Seen, also those marked \Deleted.
	Deleted     int64 // Marked \Deleted.
	Size        int64 // Sum of sizes in octets.
	DeletedSize int64 // Sum of sizes of those marked \Deleted, in octets.
}

// SpecialUse is a set of special-use attributes (RFC 6154 §2).
type SpecialUse uint32

// The bits are part of the storage format.
const (
	UseArchive SpecialUse = 1 << iota
	UseDrafts
	UseJunk
	UseSent
	UseTrash
	UseImportant // RFC 8457 §3.
)

// Message is one message in one mailbox: small, and all that a flag change
// rewrites. What the message is stands in content.
type Message struct {
	ID        int64
	MailboxID int64  `bstore:"nonzero,unique MailboxID+UID"`
	UID       uint32 `bstore:"nonzero"`
	ContentID int64  `bstore:"nonzero"`
	Flags     Flags
	Keywords  []string // Sorted, lower-case.
	ModSeq    ModSeq
	CreateSeq ModSeq
	Size      int64     // Prefix and file, in octets.
	Received  time.Time // IMAP internal date.
	SaveDate  time.Time // When it came into this mailbox (RFC 8514).
	ThreadID  int64     `bstore:"index"`
}

// Origin is what a delivery knows of where a message came from, for reputation
// and for the user. Zero fields are unknown.
type Origin struct {
	RemoteIP       string
	EHLODomain     string // ASCII.
	MailFrom       string // Reverse-path as text, empty for the null reverse-path.
	MailFromDomain string // ASCII.
	RcptTo         string // Forward-path as used in SMTP.
	RcptToDomain   string // ASCII.
	MsgFrom        string // Address in the From header.
	MsgFromDomain  string // ASCII.
	TLSVersion     uint16 // crypto/tls version, 1 for plain text, 0 unknown.
	TLSCipherSuite uint16
	Authenticated  string   // Login address for submitted mail.
	Reasons        []string // Why it was accepted, for X-Mox-Reason.

	// Who the message is from, as far as that was validated. For a message that was
	// forwarded, what is of the forwarder is not in the fields above, only in Forwarder.
	MsgFromOrgDomain  string   // Organizational domain of MsgFromDomain, ASCII.
	DKIMDomains       []string // Of valid signatures, ASCII.
	EHLOValidated     bool
	MailFromValidated bool // SPF passed.
	MsgFromValidated  bool
	EHLO              Validation
	MailFromResult    Validation
	MsgFromResult     Validation
	Forwarder         *Forwarder

	RequireTLS    bool // REQUIRETLS was used.
	IsForward     bool
	IsMailingList bool
	IsReject      bool // A copy of a message that was refused.
	IsDSN         bool

	// Destined is the id of the mailbox the message was meant for: another one than where
	// it is for copies of refused messages and in the Introbox. Reputation counts for it.
	// It is set when the message is stored.
	Destined int64
}

// Forwarder is who forwarded a message.
type Forwarder struct {
	EHLODomain, MailFromDomain string
	DKIMDomains                []string
}

// Validation is how it was found out whether a domain is what it claims to be. The
// values are part of the storage format.
type Validation int8

const (
	ValidationUnknown   Validation = iota
	ValidationStrict               // Same domain.
	ValidationDMARC                // Aligned, with a DMARC policy.
	ValidationRelaxed              // Same organizational domain.
	ValidationPass                 // SPF.
	ValidationNeutral              // SPF.
	ValidationTemperror            // SPF, DMARC.
	ValidationPermerror            // SPF, DMARC.
	ValidationFail
	ValidationSoftfail // SPF.
	ValidationNone     // There is no policy.
)

// content is what a message is: one record and one file, shared by its copies.
type content struct {
	ID     int64  `bstore:"noauto,typename Content"` // Also the name of the file.
	Size   int64  // Prefix and file, in octets.
	Prefix []byte // Header fields we added, before the file's bytes.
	Digest message.Digest
	Origin *Origin // Nil when it did not come by SMTP.
}

// share counts the messages beyond the first that use a content.
type share struct {
	ContentID int64 `bstore:"noauto,typename Share"`
	Extra     int32 `bstore:"nonzero"`
}

// erase is content that no message uses any more. Its file is removed when no
// session needs it and the undelete window has passed.
//
// ModSeq is that of the change that dropped the last reference. It is negated for what
// is not kept for undelete, and zero when the content record is deleted and only the
// file remains.
type erase struct {
	ContentID int64  `bstore:"noauto,typename Erase"`
	ModSeq    ModSeq `bstore:"index"`
	Since     time.Time
	Size      int64
	ThreadID  int64
}

// tombstone remembers an expunged message for QRESYNC and for undelete. ModSeq is zero
// when that is for undelete only.
type tombstone struct {
	ID        int64  `bstore:"typename Tombstone"`
	MailboxID int64  `bstore:"nonzero,index MailboxID+ModSeq"`
	UID       uint32 `bstore:"nonzero"`
	ModSeq    ModSeq `bstore:"index"`
	CreateSeq ModSeq
	MessageID int64

	// For undelete. ContentID is zero for a message that was moved away, was undeleted
	// or is not kept.
	ContentID int64
	Flags     Flags
	Keywords  []string
	Received  time.Time
	Size      int64
	ThreadID  int64
	Since     time.Time // Zero for what was expunged before this was kept.
}

// formerMailbox is a mailbox that was deleted, for messages in it to be undeleted.
type formerMailbox struct {
	ID         int64 `bstore:"noauto,typename FormerMailbox"`
	Name       string
	SpecialUse SpecialUse
	Since      time.Time
}

// thread is the state of a thread that its messages share. There is a record only
// for threads that are muted or collapsed. The id is that of the content with
// which the thread began.
type thread struct {
	ID        int64 `bstore:"typename Thread,noauto"`
	Muted     bool
	Collapsed bool
}

// threadKey finds the thread for a new message. Keys are "i:" and a canonical
// Message-ID, of a message or of one that it refers to, so that a late parent joins
// the thread of its replies; or "s:" and a base subject, for replies without
// references.
type threadKey struct {
	Key      string    `bstore:"typename ThreadKey"`
	ThreadID int64     `bstore:"nonzero"`
	Subject  uint64    // For "i:": hash of the base subject.
	Received time.Time // For "s:": of the newest message.
}

// subscription is a subscribed mailbox name, whether or not the mailbox exists.
type subscription struct {
	Name string `bstore:"typename Subscription"`
}

// state is the singleton with the account's counters. It is written by every
// commit.
type state struct {
	ID              int8   `bstore:"typename State,noauto"` // Always 1.
	Version         int32  // Of the storage format.
	ModSeq          ModSeq // Last one used.
	PrunedModSeq    ModSeq // Tombstones up to and including this one may have been pruned.
	NextUIDValidity uint32
	ContentLow      int64 // Ids below this are committed or will never be used.
	ContentHigh     int64 // Ids from ContentLow up to this are reserved: files may exist without a record.
	Messages        int64
	Size            int64 // Sum of message sizes: what quota counts.
	EraseSize       int64 // Sum of sizes of erase records.
	Tombstones      int64
	Annotations     int64
	AnnotationBytes int64 // Sum of names and values.
	LessonRow       int64 // The newest row that the journal for the junk filter has ever had.
	LessonRound     int64 // How often the filter was told to learn everything anew.
}

// usage returns what is used of the quota.
func (s *state) usage() Usage { return Usage{s.Messages, s.Size} }

// credentials is the singleton with what is stored of the account's password.
type credentials struct {
	ID int8 `bstore:"typename Credentials,noauto"` // Always 1.
	Credentials
}

// Credentials are the verifiers derived from an account's password. Nothing in
// it but CRAMMD5, which an account must ask for, can be used to log in.
type Credentials struct {
	Argon2id    string // PHC string, for PLAIN and LOGIN.
	SCRAMSHA1   SCRAMKeys
	SCRAMSHA256 SCRAMKeys
	CRAMMD5     []byte // Password-equivalent; empty unless the account opted in.
	Changed     time.Time
}

// SCRAMKeys are the stored keys of RFC 5802 §3.
type SCRAMKeys struct {
	Salt       []byte
	Iterations int32
	StoredKey  []byte
	ServerKey  []byte
}
