package imapclient

import (
	"time"

	"mox/imap"
)

// An Untagged is an untagged response: one of the types in this package that say so.
type Untagged interface {
	untagged()
}

// A Status is a status response; untagged it is an Untagged. RFC 9051 §7.1
type Status struct {
	Type string // "OK", "NO", "BAD", and only untagged "BYE" and "PREAUTH".
	Code Code   // The zero value for none.
	Text string
}

// err returns the error that a NO, BAD or BYE is.
func (s Status) err() *imap.Error {
	switch s.Type {
	case "NO", "BAD", "BYE":
		return &imap.Error{Type: imap.ErrorType(s.Type), Code: s.Code.Raw, Text: s.Text}
	}
	return nil
}

// A Code is a parsed response code. Which fields are set depends on Name.
type Code struct {
	Name        imap.Code     // First word in upper case, or "METADATA MAXSIZE" and the like. Empty for no code.
	Raw         imap.Code     // All of it, as sent.
	Num         uint64        // UIDNEXT, UIDVALIDITY, UNSEEN, HIGHESTMODSEQ, MESSAGELIMIT, METADATA LONGENTRIES and MAXSIZE.
	Words       []string      // CAPABILITY, PERMANENTFLAGS, BADCHARSET, BADEVENT.
	UIDValidity uint32        // APPENDUID, COPYUID.
	Source      imap.NumSet   // COPYUID: UIDs of the originals, in the order of UIDs.
	UIDs        imap.NumSet   // APPENDUID, COPYUID: UIDs of the new messages. MODIFIED: those not changed.
	LastUID     uint32        // MESSAGELIMIT: the lowest UID that was processed, 0 if it is not known.
	ID          string        // MAILBOXID.
	Progress    *CodeProgress // INPROGRESS, nil if it has no arguments.
}

// A CodeProgress has the arguments of INPROGRESS. RFC 9585 §4
type CodeProgress struct {
	Tag  imap.NString
	Done imap.Number
	Goal imap.Number
}

// A Malformed is an untagged response that could not be parsed. See Options.Lenient.
type Malformed struct {
	Err error
}

// A Capability is an untagged CAPABILITY response, in the order sent. RFC 9051 §7.2.2
type Capability []imap.Cap

// An Enabled lists extensions that were enabled. RFC 9051 §7.2.1
type Enabled []imap.Cap

// A Flags has the flags that can occur in the selected mailbox. RFC 9051 §7.3.5
type Flags []string

// An Exists has the number of messages in the selected mailbox. RFC 9051 §7.4.1
type Exists uint32

// A Recent has the number of recent messages. RFC 3501 §7.3.2
type Recent uint32

// An Expunge has the sequence number of a message that was removed. RFC 9051 §7.5.1
type Expunge uint32

// A Vanished has UIDs of messages that are gone. RFC 7162 §3.2.10
type Vanished struct {
	Earlier bool
	UIDs    imap.NumSet
}

// A List is a LIST response, or, with LSub, an LSUB response. RFC 9051 §7.3.1
type List struct {
	LSub      bool
	Attrs     []string // As sent.
	Delimiter byte     // 0 for NIL.
	Mailbox   string
	ChildInfo []string     // RFC 5258 §3.5
	OldName   imap.NString // RFC 9051 §6.3.9.7
	Extended  []string     // Names of other extended data items, in upper case.
}

// A MailboxStatus is a STATUS response. RFC 9051 §7.3.3
type MailboxStatus struct {
	Mailbox string
	Items   map[imap.StatusItem]uint64 // All numbers; an APPENDLIMIT of NIL is not in it.
	ID      string                     // MAILBOXID
}

// A Search is a SEARCH response, or, with Sort, a SORT response. RFC 3501 §7.2.5
type Search struct {
	Sort   bool
	Nums   []uint32
	ModSeq uint64 // 0 if not sent. RFC 7162 §3.1.6
}

// An ESearch is an ESEARCH response. Fields that were not sent are zero. RFC 9051 §7.3.4
type ESearch struct {
	Tag          string
	Mailbox      imap.NString // RFC 7377 §2.1
	UIDValidity  uint32       // RFC 7377 §2.1
	UID          bool
	Min, Max     uint32
	Count        imap.Number
	All          imap.NumSet
	ModSeq       uint64             // RFC 7162 §3.1.10
	PartialRange *imap.PartialRange // RFC 9394 §3.1
	Partial      imap.NumSet        // Empty for NIL.
	Extended     []string           // Names of other items, in upper case.
	Updates      []ContextUpdate    // RFC 5267 §4.3, in order.
}

// A Namespace is a NAMESPACE response. RFC 9051 §7.3.2
type Namespace struct {
	Personal, Other, Shared []NamespaceDescr // Nil for NIL.
}

// A NamespaceDescr is a namespace. RFC 9051 §6.3.10
type NamespaceDescr struct {
	Prefix    string
	Delimiter byte // 0 for NIL.
}

// A Quota is a QUOTA response. RFC 9208 §4.2.1
type Quota struct {
	Root      string
	Resources []QuotaResource
}

// A QuotaResource has usage and limit of a resource. RFC 9208 §4.2.1
type QuotaResource struct {
	Name         string // In upper case. STORAGE is in units of 1024 bytes.
	Usage, Limit int64
}

// A QuotaRoot has the quota roots of a mailbox. RFC 9208 §4.2.2
type QuotaRoot struct {
	Mailbox string
	Roots   []string
}

// An ID is what a server says of itself; nil for NIL. RFC 2971 §3.2
type ID map[string]imap.NString

// A Metadata is a METADATA response: with values, or, unsolicited, with names of entries
// that have changed. RFC 5464 §4.4
type Metadata struct {
	Mailbox string // Empty for the server.
	Entries []MetadataEntry
	Changed []string
}

// A MetadataEntry is an entry with its value. RFC 5464 §4.4.1
type MetadataEntry struct {
	Name  string
	Value imap.NString
}

// A FetchData is a FETCH response, or, with UIDOnly, a UIDFETCH response (RFC 9586 §3.3).
// Items tells which fields are set. RFC 9051 §7.5.2
type FetchData struct {
	Seq           uint32 // 0 with UIDOnly.
	UIDOnly       bool
	Items         []imap.FetchAttr // In the order sent.
	UID           uint32
	Flags         []string
	InternalDate  time.Time
	Size          int64
	Envelope      *imap.Envelope
	BodyStructure *imap.BodyStructure // Of BODYSTRUCTURE or BODY.
	Sections      []FetchSection
	ModSeq        uint64
	SaveDate      time.Time // Zero for NIL.
	Preview       imap.NString
	EmailID       string
	ThreadID      string // Empty for NIL.

	GmailID     uint64   // X-GM-MSGID, zero if not sent.
	GmailLabels []string // X-GM-LABELS, as sent: in modified UTF-7.
}

// A FetchSection is a piece of a message: BODY[...], BINARY[...], BINARY.SIZE[...], or
// RFC822 and the like.
type FetchSection struct {
	Attr    imap.FetchAttr
	Section imap.Section
	Offset  imap.Number // Of a partial, not set for all of the section.
	Size    int64       // Of the data, or, for BINARY.SIZE, what the server says.
	NIL     bool
	Literal bool // Sent as a literal.
	Binary  bool // Sent as a literal8.
	Data    []byte
}

// Has reports whether the response has the item.
func (f *FetchData) Has(attr imap.FetchAttr) bool {
	for _, a := range f.Items {
		if a == attr {
			return true
		}
	}
	return false
}

func (Status) untagged()        {}
func (Malformed) untagged()     {}
func (Capability) untagged()    {}
func (Enabled) untagged()       {}
func (Flags) untagged()         {}
func (Exists) untagged()        {}
func (Recent) untagged()        {}
func (Expunge) untagged()       {}
func (Vanished) untagged()      {}
func (List) untagged()          {}
func (MailboxStatus) untagged() {}
func (Search) untagged()        {}
func (ESearch) untagged()       {}
func (Namespace) untagged()     {}
func (Quota) untagged()         {}
func (QuotaRoot) untagged()     {}
func (ID) untagged()            {}
func (Metadata) untagged()      {}
func (*FetchData) untagged()    {}
