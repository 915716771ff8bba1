package imap

// A FetchAttr is a kind of data item that FETCH can return. RFC 9051 §6.4.5
type FetchAttr uint8

// Fetch attributes.
const (
	FetchUID           FetchAttr = iota + 1
	FetchFlags                   // FLAGS
	FetchInternalDate            // INTERNALDATE
	FetchRFC822Size              // RFC822.SIZE
	FetchEnvelope                // ENVELOPE
	FetchBodyStructure           // BODYSTRUCTURE
	FetchBody                    // BODY without section: BODYSTRUCTURE without extension data.
	FetchBodySection             // BODY[...] and BODY.PEEK[...]
	FetchBinary                  // BINARY[...] and BINARY.PEEK[...]
	FetchBinarySize              // BINARY.SIZE[...]
	FetchRFC822                  // RFC822, RFC 3501 §6.4.5
	FetchRFC822Header            // RFC822.HEADER, RFC 3501 §6.4.5
	FetchRFC822Text              // RFC822.TEXT, RFC 3501 §6.4.5
	FetchModSeq                  // MODSEQ, RFC 7162 §3.1.4.2
	FetchSaveDate                // SAVEDATE, RFC 8514 §4.2
	FetchPreview                 // PREVIEW, RFC 8970 §3
	FetchEmailID                 // EMAILID, RFC 8474 §5.1
	FetchThreadID                // THREADID, RFC 8474 §5.2
)

// fetchNames has the name of each attribute in the protocol.
var fetchNames = [...]string{
	FetchUID:           "UID",
	FetchFlags:         "FLAGS",
	FetchInternalDate:  "INTERNALDATE",
	FetchRFC822Size:    "RFC822.SIZE",
	FetchEnvelope:      "ENVELOPE",
	FetchBodyStructure: "BODYSTRUCTURE",
	FetchBody:          "BODY",
	FetchBodySection:   "BODY",
	FetchBinary:        "BINARY",
	FetchBinarySize:    "BINARY.SIZE",
	FetchRFC822:        "RFC822",
	FetchRFC822Header:  "RFC822.HEADER",
	FetchRFC822Text:    "RFC822.TEXT",
	FetchModSeq:        "MODSEQ",
	FetchSaveDate:      "SAVEDATE",
	FetchPreview:       "PREVIEW",
	FetchEmailID:       "EMAILID",
	FetchThreadID:      "THREADID",
}

// String returns the name of the attribute in the protocol, without PEEK and section.
func (a FetchAttr) String() string {
	if int(a) >= len(fetchNames) {
		return ""
	}
	return fetchNames[a]
}

// HasSection reports whether the attribute is written with a section in brackets.
func (a FetchAttr) HasSection() bool {
	return a == FetchBodySection || a == FetchBinary || a == FetchBinarySize
}

// A FetchItem is a data item as asked for in a FETCH command.
type FetchItem struct {
	Attr    FetchAttr
	Peek    bool     // Do not set \Seen. For FetchBodySection and FetchBinary.
	Lazy    bool     // PREVIEW (LAZY). RFC 8970 §4.1
	Section Section  // For attributes with HasSection; BINARY has only a part in it.
	Partial *Partial // For FetchBodySection and FetchBinary, nil for all.
}

// SetsSeen reports whether fetching the item sets \Seen. RFC 9051 §6.4.5,
// RFC 3501 §6.4.5
func (i FetchItem) SetsSeen() bool {
	switch i.Attr {
	case FetchBodySection, FetchBinary:
		return !i.Peek
	case FetchRFC822, FetchRFC822Text:
		return true
	}
	return false
}

// AppendTo appends the item as it is written in a command.
func (i FetchItem) AppendTo(b []byte) []byte {
	b = append(b, i.Attr.String()...)
	if i.Peek {
		b = append(b, ".PEEK"...)
	}
	if i.Lazy {
		b = append(b, " (LAZY)"...)
	}
	if i.Attr.HasSection() {
		b = i.Section.AppendTo(b)
	}
	if i.Partial != nil {
		b = i.Partial.AppendTo(b)
	}
	return b
}

// String returns the item as it is written in a command.
func (i FetchItem) String() string {
	return string(i.AppendTo(nil))
}

// FetchMacro returns the items that the macro ALL, FAST or FULL, in upper case, stands
// for, and nil for another name. RFC 9051 §6.4.5
func FetchMacro(name string) []FetchItem {
	fast := []FetchItem{{Attr: FetchFlags}, {Attr: FetchInternalDate}, {Attr: FetchRFC822Size}}
	switch name {
	case "FAST":
		return fast
	case "ALL":
		return append(fast, FetchItem{Attr: FetchEnvelope})
	case "FULL":
		return append(fast, FetchItem{Attr: FetchEnvelope}, FetchItem{Attr: FetchBody})
	}
	return nil
}

// ParseFetchAttr returns the attribute with this name, which must be in upper case. It
// returns false for names that go with a section.
func ParseFetchAttr(name string) (FetchAttr, bool) {
	for a, n := range fetchNames {
		if n == name && n != "" && !FetchAttr(a).HasSection() {
			return FetchAttr(a), true
		}
	}
	return 0, false
}
