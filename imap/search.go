package imap

import "math"

// Limits of search programs.
const (
	MaxSearchKeys  = 1000 // Keys in a program, counting those inside others.
	MaxSearchDepth = 200  // Keys inside each other. Clients write n alternatives as n nested ORs.
)

// A SearchOp is the kind of a search key. RFC 9051 §6.4.4
type SearchOp uint8

// Search operations, with the fields of [SearchKey] that they use.
const (
	SearchAll SearchOp = iota // ALL: every message.

	SearchAnd // (key ...): Keys, at least one.
	SearchOr  // OR: two Keys.
	SearchNot // NOT: one of Keys.

	SearchSeq // A set of message sequence numbers: Set.
	SearchUID // UID: Set.

	SearchUIDAfter  // UIDAFTER: Number, a UID. RFC 9738 §3.2
	SearchUIDBefore // UIDBEFORE: Number, a UID. RFC 9738 §3.2

	SearchFlag       // ANSWERED, SEEN, KEYWORD $Junk ...: Flag, a single one, is set.
	SearchNotFlag    // UNANSWERED, UNSEEN, UNKEYWORD $Junk ...: Flag is not set.
	SearchKeyword    // KEYWORD: Text, in lower case.
	SearchNotKeyword // UNKEYWORD: Text, in lower case.
	SearchNew        // NEW, RFC 3501 §6.4.4
	SearchOld        // OLD, RFC 3501 §6.4.4
	SearchRecent     // RECENT, RFC 3501 §6.4.4

	SearchBcc     // BCC: Text
	SearchCc      // CC: Text
	SearchFrom    // FROM: Text
	SearchTo      // TO: Text
	SearchSubject // SUBJECT: Text
	SearchHeader  // HEADER: Header, Text
	SearchBody    // BODY: Text
	SearchText    // TEXT: Text

	SearchBefore            // BEFORE: Date
	SearchOn                // ON: Date
	SearchSince             // SINCE: Date
	SearchSentBefore        // SENTBEFORE: Date
	SearchSentOn            // SENTON: Date
	SearchSentSince         // SENTSINCE: Date
	SearchSavedBefore       // SAVEDBEFORE: Date. RFC 8514 §4.3
	SearchSavedOn           // SAVEDON: Date. RFC 8514 §4.3
	SearchSavedSince        // SAVEDSINCE: Date. RFC 8514 §4.3
	SearchSaveDateSupported // SAVEDATESUPPORTED, RFC 8514 §4.3
	SearchOlder             // OLDER: Number, seconds. RFC 5032 §3
	SearchYounger           // YOUNGER: Number, seconds. RFC 5032 §3

	SearchLarger  // LARGER: Number, bytes
	SearchSmaller // SMALLER: Number, bytes

	SearchModSeq   // MODSEQ: Number, Entry. RFC 7162 §3.1.5
	SearchEmailID  // EMAILID: Text. RFC 8474 §6
	SearchThreadID // THREADID: Text. RFC 8474 §6
)

// A SearchArg is the kind of argument of a search operation.
type SearchArg uint8

// Search arguments.
const (
	ArgNone     SearchArg = iota
	ArgKeys               // Keys.
	ArgSet                // Set.
	ArgText               // Text.
	ArgHeader             // Header and Text.
	ArgDate               // Date.
	ArgNumber             // Number, 63 bits.
	ArgNZNumber           // Number, 32 bits, not 0.
	ArgKeyword            // Flag or Text.
	ArgObjectID           // Text.
	ArgModSeq             // Entry and Number.
)

// searchOps has name and argument of the operations that are written with a name of their
// own.
var searchOps = [...]struct {
	name string
	arg  SearchArg
}{
	SearchAll:               {"ALL", ArgNone},
	SearchOr:                {"OR", ArgKeys},
	SearchNot:               {"NOT", ArgKeys},
	SearchUID:               {"UID", ArgSet},
	SearchUIDAfter:          {"UIDAFTER", ArgNZNumber},
	SearchUIDBefore:         {"UIDBEFORE", ArgNZNumber},
	SearchKeyword:           {"KEYWORD", ArgKeyword},
	SearchNotKeyword:        {"UNKEYWORD", ArgKeyword},
	SearchNew:               {"NEW", ArgNone},
	SearchOld:               {"OLD", ArgNone},
	SearchRecent:            {"RECENT", ArgNone},
	SearchBcc:               {"BCC", ArgText},
	SearchCc:                {"CC", ArgText},
	SearchFrom:              {"FROM", ArgText},
	SearchTo:                {"TO", ArgText},
	SearchSubject:           {"SUBJECT", ArgText},
	SearchHeader:            {"HEADER", ArgHeader},
	SearchBody:              {"BODY", ArgText},
	SearchText:              {"TEXT", ArgText},
	SearchBefore:            {"BEFORE", ArgDate},
	SearchOn:                {"ON", ArgDate},
	SearchSince:             {"SINCE", ArgDate},
	SearchSentBefore:        {"SENTBEFORE", ArgDate},
	SearchSentOn:            {"SENTON", ArgDate},
	SearchSentSince:         {"SENTSINCE", ArgDate},
	SearchSavedBefore:       {"SAVEDBEFORE", ArgDate},
	SearchSavedOn:           {"SAVEDON", ArgDate},
	SearchSavedSince:        {"SAVEDSINCE", ArgDate},
	SearchSaveDateSupported: {"SAVEDATESUPPORTED", ArgNone},
	SearchOlder:             {"OLDER", ArgNZNumber},
	SearchYounger:           {"YOUNGER", ArgNZNumber},
	SearchLarger:            {"LARGER", ArgNumber},
	SearchSmaller:           {"SMALLER", ArgNumber},
	SearchModSeq:            {"MODSEQ", ArgModSeq},
	SearchEmailID:           {"EMAILID", ArgObjectID},
	SearchThreadID:          {"THREADID", ArgObjectID},
}

// String returns the name of the operation in the protocol, empty for those that have none
// of their own: SearchAnd, SearchSeq, SearchFlag and SearchNotFlag.
func (op SearchOp) String() string {
	if int(op) >= len(searchOps) {
		return ""
	}
	return searchOps[op].name
}

// Arg returns the kind of argument that the operation has in the protocol.
func (op SearchOp) Arg() SearchArg {
	if int(op) >= len(searchOps) {
		return ArgNone
	}
	return searchOps[op].arg
}

// ParseSearchOp returns the operation with this name, which must be in upper case. For the
// names of system flags, such as UNSEEN, it is SearchFlag or SearchNotFlag with the flag.
func ParseSearchOp(name string) (SearchOp, Flags, bool) {
	for op := range searchOps {
		if n := searchOps[op].name; n == name && n != "" {
			return SearchOp(op), 0, true
		}
	}
	op := SearchFlag
	f, ok := FlagByName(`\` + name)
	if !ok && len(name) > 2 && name[:2] == "UN" {
		op = SearchNotFlag
		f, ok = FlagByName(`\` + name[2:])
	}
	if !ok {
		return 0, 0, false
	}
	return op, f, true
}

// A SearchKey is a condition on messages, with the conditions it is made of. Only the
// fields that its Op uses are set.
type SearchKey struct {
	Op     SearchOp
	Keys   []SearchKey
	Set    NumSet
	Flag   Flags
	Text   string // UTF-8.
	Header string // Name of the header field, as given.
	Date   Date
	Number uint64
	Entry  *ModSeqEntry // For SearchModSeq, nil if not given.
}

// A ModSeqEntry narrows MODSEQ to a metadata item. RFC 7162 §3.1.5
type ModSeqEntry struct {
	Name string // Such as "/flags/\\draft".
	Type string // "priv", "shared" or "all".
}

// UsesSeqs reports whether the key, or one in it, has message sequence numbers, which
// only make sense in the selected mailbox and not with UIDONLY (RFC 9586 §3).
func (k *SearchKey) UsesSeqs() bool {
	return k.Any(func(k *SearchKey) bool { return k.Op == SearchSeq })
}

// UIDs returns the UIDs that UIDAFTER or UIDBEFORE stands for. RFC 9738 §3.2
func (k *SearchKey) UIDs() (r Ranges) {
	switch n := uint32(k.Number); {
	case k.Op == SearchUIDBefore && n > 1:
		r.AddRange(1, n-1)
	case k.Op == SearchUIDAfter && n < math.MaxUint32:
		r.AddRange(n+1, math.MaxUint32)
	}
	return r
}

// Any reports whether f is true for the key or for any key in it.
func (k *SearchKey) Any(f func(*SearchKey) bool) bool {
	if f(k) {
		return true
	}
	for i := range k.Keys {
		if k.Keys[i].Any(f) {
			return true
		}
	}
	return false
}

// SearchReturn has the result options of SEARCH. RFC 9051 §6.4.4
type SearchReturn struct {
	Given   bool // There was a RETURN; without one a rev1 client gets the old SEARCH response.
	Min     bool
	Max     bool
	All     bool // Also set for an empty RETURN list.
	Count   bool
	Save    bool          // RFC 5182 §2
	Partial *PartialRange // RFC 9394 §3.1

	Context bool // The search may be used again. RFC 5267 §4.2
	Update  bool // Changes of the result are to be told. RFC 5267 §4.3
	// UpdateItems are what is to be told of messages that are new in the mailbox and in the
	// result. RFC 5465 §7
	UpdateItems []FetchItem
}

// A PartialRange asks for some of the results, counted from 1 at the lowest, or, if both
// numbers are negative, from -1 at the highest. RFC 9394 §3.1
type PartialRange struct {
	First, Last int64 // Of the same sign, and |First| <= |Last|.
}

// A SearchProgram is all arguments of a search.
type SearchProgram struct {
	Charset string    // In upper case. Empty if not given; else US-ASCII or UTF-8.
	Key     SearchKey // SearchAnd if there were several.
}

// A SortKey is a criterion of SORT. RFC 5256 §3
type SortKey string

// Sort keys.
const (
	SortArrival     SortKey = "ARRIVAL"
	SortCc          SortKey = "CC"
	SortDate        SortKey = "DATE"
	SortFrom        SortKey = "FROM"
	SortSize        SortKey = "SIZE"
	SortSubject     SortKey = "SUBJECT"
	SortTo          SortKey = "TO"
	SortDisplayFrom SortKey = "DISPLAYFROM" // RFC 5957 §3
	SortDisplayTo   SortKey = "DISPLAYTO"   // RFC 5957 §3
)

// A SortCriterion is a sort key with a direction. RFC 5256 §3
type SortCriterion struct {
	Key     SortKey
	Reverse bool
}
