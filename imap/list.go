package imap

// Attributes of a mailbox in a LIST response. RFC 9051 §7.3.1
const (
	AttrNoInferiors   = `\NoInferiors`
	AttrNoSelect      = `\NoSelect`
	AttrNonExistent   = `\NonExistent`
	AttrHasChildren   = `\HasChildren`
	AttrHasNoChildren = `\HasNoChildren`
	AttrMarked        = `\Marked`
	AttrUnmarked      = `\Unmarked`
	AttrSubscribed    = `\Subscribed`
	AttrRemote        = `\Remote`
	AttrNoAccess      = `\NoAccess` // RFC 5465 §5.9
)

// Special uses of a mailbox, which are attributes too. RFC 6154 §2
const (
	UseAll       = `\All`
	UseArchive   = `\Archive`
	UseDrafts    = `\Drafts`
	UseFlagged   = `\Flagged`
	UseJunk      = `\Junk`
	UseSent      = `\Sent`
	UseTrash     = `\Trash`
	UseImportant = `\Important` // RFC 8457 §3
)

// ListSelect has the selection options of LIST. RFC 5258 §3.1
type ListSelect struct {
	Subscribed     bool
	Remote         bool
	RecursiveMatch bool // Only together with Subscribed or SpecialUse.
	SpecialUse     bool // RFC 6154 §2
}

// ListReturn has the return options of LIST. RFC 5258 §3.2
type ListReturn struct {
	Subscribed bool
	Children   bool
	SpecialUse bool         // RFC 6154 §2
	Status     []StatusItem // RFC 5819 §2
	Metadata   []string     // Entry names. RFC 9590 §3
}
