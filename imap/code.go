package imap

import (
	"strconv"
	"strings"
)

// A Code is a response code with its arguments, as it stands between the brackets.
// RFC 9051 §7.1
type Code string

// Response codes without arguments, or with arguments that may be left out.
const (
	CodeAlert                Code = "ALERT"                // RFC 9051 §7.1
	CodeAlreadyExists        Code = "ALREADYEXISTS"        // RFC 9051 §7.1
	CodeAuthenticationFailed Code = "AUTHENTICATIONFAILED" // RFC 9051 §7.1
	CodeAuthorizationFailed  Code = "AUTHORIZATIONFAILED"  // RFC 9051 §7.1
	CodeBadCharset           Code = "BADCHARSET"           // RFC 9051 §7.1
	CodeCannot               Code = "CANNOT"               // RFC 9051 §7.1
	CodeClientBug            Code = "CLIENTBUG"            // RFC 9051 §7.1
	CodeClosed               Code = "CLOSED"               // RFC 9051 §7.1
	CodeCompressionActive    Code = "COMPRESSIONACTIVE"    // RFC 4978 §3
	CodeContactAdmin         Code = "CONTACTADMIN"         // RFC 9051 §7.1
	CodeCorruption           Code = "CORRUPTION"           // RFC 9051 §7.1
	CodeExpired              Code = "EXPIRED"              // RFC 9051 §7.1
	CodeExpungeIssued        Code = "EXPUNGEISSUED"        // RFC 9051 §7.1
	CodeHasChildren          Code = "HASCHILDREN"          // RFC 9051 §7.1
	CodeInProgress           Code = "INPROGRESS"           // RFC 9585 §4
	CodeInUse                Code = "INUSE"                // RFC 9051 §7.1
	CodeLimit                Code = "LIMIT"                // RFC 9051 §7.1
	CodeMessageLimit         Code = "MESSAGELIMIT"         // RFC 9738 §3.1, followed by a limit and perhaps a UID.
	CodeMetadataMaxSize      Code = "METADATA MAXSIZE"     // RFC 5464 §4.3, followed by a number.
	CodeMetadataNoPrivate    Code = "METADATA NOPRIVATE"   // RFC 5464 §4.3
	CodeMetadataTooMany      Code = "METADATA TOOMANY"     // RFC 5464 §4.3
	CodeNoModSeq             Code = "NOMODSEQ"             // RFC 7162 §3.1.2.2
	CodeNonExistent          Code = "NONEXISTENT"          // RFC 9051 §7.1
	CodeNoPerm               Code = "NOPERM"               // RFC 9051 §7.1
	CodeNotificationOverflow Code = "NOTIFICATIONOVERFLOW" // RFC 5465 §5.8
	CodeNotSaved             Code = "NOTSAVED"             // RFC 9051 §7.1
	CodeOverQuota            Code = "OVERQUOTA"            // RFC 9051 §7.1
	CodeParse                Code = "PARSE"                // RFC 9051 §7.1
	CodePrivacyRequired      Code = "PRIVACYREQUIRED"      // RFC 9051 §7.1
	CodeReadOnly             Code = "READ-ONLY"            // RFC 9051 §7.1
	CodeReadWrite            Code = "READ-WRITE"           // RFC 9051 §7.1
	CodeServerBug            Code = "SERVERBUG"            // RFC 9051 §7.1
	CodeTooBig               Code = "TOOBIG"               // RFC 4469 §4.2
	CodeTryCreate            Code = "TRYCREATE"            // RFC 9051 §7.1
	CodeUIDNotSticky         Code = "UIDNOTSTICKY"         // RFC 9051 §7.1
	CodeUIDRequired          Code = "UIDREQUIRED"          // RFC 9586 §3
	CodeUnavailable          Code = "UNAVAILABLE"          // RFC 9051 §7.1
	CodeUnknownCTE           Code = "UNKNOWN-CTE"          // RFC 9051 §7.1
	CodeUseAttr              Code = "USEATTR"              // RFC 6154 §3
)

// Names of response codes that always have arguments.
const (
	CodeAppendUID      Code = "APPENDUID"      // RFC 9051 §7.1
	CodeBadEvent       Code = "BADEVENT"       // RFC 5465 §3.1
	CodeBadURL         Code = "BADURL"         // RFC 4469 §4.1
	CodeCapability     Code = "CAPABILITY"     // RFC 9051 §7.1
	CodeCopyUID        Code = "COPYUID"        // RFC 9051 §7.1
	CodeHighestModSeq  Code = "HIGHESTMODSEQ"  // RFC 7162 §3.1.2.1
	CodeMailboxID      Code = "MAILBOXID"      // RFC 8474 §4.1
	CodeNoUpdate       Code = "NOUPDATE"       // RFC 5267 §4.3.1
	CodeModified       Code = "MODIFIED"       // RFC 7162 §3.1.3
	CodePermanentFlags Code = "PERMANENTFLAGS" // RFC 9051 §7.1
	CodeUIDNext        Code = "UIDNEXT"        // RFC 9051 §7.1
	CodeUIDValidity    Code = "UIDVALIDITY"    // RFC 9051 §7.1
	CodeURLMech        Code = "URLMECH"        // RFC 4467 §8
	CodeUnseen         Code = "UNSEEN"         // RFC 3501 §7.1

	CodeMetadataLongEntries Code = "METADATA LONGENTRIES" // RFC 5464 §4.2
)

// Num returns the code with a number as its argument, such as "UIDNEXT 12".
func (c Code) Num(n uint64) Code {
	return c + Code(" "+strconv.FormatUint(n, 10))
}

// List returns the code with a parenthesised list as its argument, such as
// "BADCHARSET (US-ASCII UTF-8)". The words must be atoms or flags.
func (c Code) List(words ...string) Code {
	return c + Code(" ("+strings.Join(words, " ")+")")
}

// Set returns the code with a number set as its argument, such as "MODIFIED 7,9".
// The set must not be empty.
func (c Code) Set(r Ranges) Code {
	return c + Code(" "+r.String())
}

// Name returns the first word of the code in upper case: the code without its
// arguments. For the codes of RFC 5464 it is "METADATA".
func (c Code) Name() Code {
	name, _, _ := strings.Cut(string(c), " ")
	return Code(strings.ToUpper(name))
}

// AppendUIDCode returns the code for messages that were appended with these UIDs.
// RFC 4315 §3
func AppendUIDCode(uidValidity uint32, uids Ranges) Code {
	return CodeAppendUID.Num(uint64(uidValidity)).Set(uids)
}

// CopyUIDCode returns the code for messages that were copied or moved. The n-th
// number of src must belong to the n-th number of dst. RFC 4315 §3
func CopyUIDCode(uidValidity uint32, src, dst Ranges) Code {
	return CodeCopyUID.Num(uint64(uidValidity)).Set(src).Set(dst)
}
