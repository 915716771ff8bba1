package imap

import "strings"

// A Cap is a capability name in the spelling of its RFC. Names compare without
// regard to case. RFC 9051 §7.2.2
type Cap string

// Capabilities.
const (
	CapIMAP4rev1       Cap = "IMAP4rev1"             // RFC 3501 §6.1.1
	CapIMAP4rev2       Cap = "IMAP4rev2"             // RFC 9051 §6.1.1
	CapStartTLS        Cap = "STARTTLS"              // RFC 9051 §6.2.1
	CapLoginDisabled   Cap = "LOGINDISABLED"         // RFC 9051 §6.2.3
	CapSASLIR          Cap = "SASL-IR"               // RFC 4959 §3
	CapEnable          Cap = "ENABLE"                // RFC 5161 §3
	CapID              Cap = "ID"                    // RFC 2971 §3
	CapIdle            Cap = "IDLE"                  // RFC 2177 §3
	CapLiteralPlus     Cap = "LITERAL+"              // RFC 7888 §3
	CapLiteralMinus    Cap = "LITERAL-"              // RFC 7888 §5
	CapBinary          Cap = "BINARY"                // RFC 3516 §4.1
	CapUTF8Accept      Cap = "UTF8=ACCEPT"           // RFC 9755 §3
	CapUTF8Only        Cap = "UTF8=ONLY"             // RFC 9755 §7
	CapUnselect        Cap = "UNSELECT"              // RFC 3691 §2
	CapUIDPlus         Cap = "UIDPLUS"               // RFC 4315 §1
	CapUIDOnly         Cap = "UIDONLY"               // RFC 9586 §3
	CapMove            Cap = "MOVE"                  // RFC 6851 §3
	CapCatenate        Cap = "CATENATE"              // RFC 4469 §5
	CapURLAuth         Cap = "URLAUTH"               // RFC 4467 §9
	CapReplace         Cap = "REPLACE"               // RFC 8508 §3
	CapMultiAppend     Cap = "MULTIAPPEND"           // RFC 3502 §6.3.11
	CapCondStore       Cap = "CONDSTORE"             // RFC 7162 §3.1.1
	CapQResync         Cap = "QRESYNC"               // RFC 7162 §3.2.2
	CapESearch         Cap = "ESEARCH"               // RFC 4731 §3
	CapSearchRes       Cap = "SEARCHRES"             // RFC 5182 §2
	CapMultiSearch     Cap = "MULTISEARCH"           // RFC 7377 §2
	CapWithin          Cap = "WITHIN"                // RFC 5032 §2
	CapSort            Cap = "SORT"                  // RFC 5256 §3
	CapSortDisplay     Cap = "SORT=DISPLAY"          // RFC 5957 §1
	CapESort           Cap = "ESORT"                 // RFC 5267 §3.1
	CapContextSearch   Cap = "CONTEXT=SEARCH"        // RFC 5267 §4.1
	CapContextSort     Cap = "CONTEXT=SORT"          // RFC 5267 §4.1
	CapThreadSubject   Cap = "THREAD=ORDEREDSUBJECT" // RFC 5256 §3
	CapThreadRefs      Cap = "THREAD=REFERENCES"     // RFC 5256 §3
	CapPartial         Cap = "PARTIAL"               // RFC 9394 §3
	CapListExtended    Cap = "LIST-EXTENDED"         // RFC 5258 §3
	CapListStatus      Cap = "LIST-STATUS"           // RFC 5819 §2
	CapListMetadata    Cap = "LIST-METADATA"         // RFC 9590 §3
	CapSpecialUse      Cap = "SPECIAL-USE"           // RFC 6154 §2
	CapCreateSpecial   Cap = "CREATE-SPECIAL-USE"    // RFC 6154 §3
	CapChildren        Cap = "CHILDREN"              // RFC 3348 §3
	CapNamespace       Cap = "NAMESPACE"             // RFC 2342 §5
	CapStatusSize      Cap = "STATUS=SIZE"           // RFC 8438 §3
	CapAppendLimit     Cap = "APPENDLIMIT"           // RFC 7889 §2, may have "=" and a number.
	CapMessageLimit    Cap = "MESSAGELIMIT"          // RFC 9738 §3, with "=" and a number.
	CapQuota           Cap = "QUOTA"                 // RFC 9208 §3.1.1
	CapQuotaStorage    Cap = "QUOTA=RES-STORAGE"     // RFC 9208 §3.1.1
	CapQuotaMessage    Cap = "QUOTA=RES-MESSAGE"     // RFC 9208 §3.1.1
	CapMetadata        Cap = "METADATA"              // RFC 5464 §1
	CapMetadataServer  Cap = "METADATA-SERVER"       // RFC 5464 §1
	CapObjectID        Cap = "OBJECTID"              // RFC 8474 §3
	CapSaveDate        Cap = "SAVEDATE"              // RFC 8514 §3
	CapPreview         Cap = "PREVIEW"               // RFC 8970 §2
	CapNotify          Cap = "NOTIFY"                // RFC 5465 §1
	CapInProgress      Cap = "INPROGRESS"            // RFC 9585 §3
	CapCompressDeflate Cap = "COMPRESS=DEFLATE"      // RFC 4978 §1
	CapUnauthenticate  Cap = "UNAUTHENTICATE"        // RFC 8437 §2
	CapACL             Cap = "ACL"                   // RFC 4314 §1
)

// CapAuthPrefix starts the capability of a SASL mechanism, such as "AUTH=PLAIN".
// RFC 9051 §7.2.2
const CapAuthPrefix = "AUTH="

// Caps is a set of capabilities. The zero value is empty and can be read.
type Caps map[Cap]struct{} // Names in upper case.

// NewCaps returns a set of the given capabilities.
func NewCaps(caps ...Cap) Caps {
	m := make(Caps, len(caps))
	for _, c := range caps {
		m[c.upper()] = struct{}{}
	}
	return m
}

func (c Cap) upper() Cap {
	return Cap(strings.ToUpper(string(c)))
}

// Has reports whether c is in the set, in any case.
func (m Caps) Has(c Cap) bool {
	_, ok := m[c.upper()]
	return ok
}

// HasAuth reports whether the SASL mechanism is announced.
func (m Caps) HasAuth(mechanism string) bool {
	return m.Has(Cap(CapAuthPrefix + mechanism))
}

// Add adds c to the set, which must not be nil.
func (m Caps) Add(c Cap) {
	m[c.upper()] = struct{}{}
}
