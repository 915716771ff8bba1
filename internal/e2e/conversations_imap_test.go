package e2e

import (
	"fmt"
	"maps"
	"strings"

	"mox/internal/script/mpt"
	"mox/store"
)

// Reasons of several edits.
const (
	whyOneSpace     = "RFC 9051 §9: where the grammar has SP there is one space"
	whyOctets       = "RFC 9051 §4.3: the number of octets is one too high, so that the literal takes the CR of the end of the command"
	whyUIDValidity  = "the value is the server's to choose, RFC 9051 §2.3.1.1"
	whyEmptyList    = "RFC 9051 §9: a list of FETCH items has at least one"
	whyReadOnly     = "RFC 9051 §7.1: PERMANENTFLAGS has what the client can change permanently, which after EXAMINE is nothing"
	whyChildren     = "RFC 9051 §6.3.5 lets a server refuse to delete a mailbox that has children, with HASCHILDREN"
	whySuperior     = "RFC 9051 §6.3.6: superior names SHOULD be created by RENAME"
	whySubscribed   = "here new mailboxes are subscribed, which RFC 9051 §6.3.4 leaves open"
	whyNamespace    = "RFC 9051 §6.3.10: a namespace of James; here there is one, without a prefix"
	whyKeyword      = "RFC 9051 §7.3.5: new keywords are told with FLAGS; PERMANENTFLAGS is required after SELECT (§6.3.2)"
	whyMacro        = "RFC 9051 §9: macros stand alone, without parentheses"
	whyBody         = "RFC 9051 §6.4.4 leaves to servers what BODY finds: here that is text that is shown, without HTML tags, header fields of attached messages and parts that are no text"
	whyAuthenticate = "RFC 9051 §9: the mechanism is an atom, and the initial response not a literal"
	whyEncoded      = "RFC 9051 §6.4.4: one more message has the word; James says itself that it misses that"
	whyNew          = "RFC 9051 Appendix E: NEW is for messages that are recent, a notion that has been removed"
	whyEntries      = "RFC 5464 §5: GETMETADATA has entries"
	whyInboxName    = "RFC 9051 §5.1: the name of the inbox is case-insensitive; here it is written Inbox"
	whyCondstore    = "RFC 7162 §3.1: a server that has CONDSTORE announces it; hiding it is a setting of James"
	whyLimits       = "RFC 5464 §4.3: limits are the server's to choose, and what is beyond them has a response code"
	whyQuotaRoot    = "RFC 9208 §3.2: names of quota roots are the server's to choose; here there is one, without a name"
	whyQuotaStorage = "RFC 9208 §5: which resources have limits is the server's to choose; here it is STORAGE, in units of 1024 octets"
	whyNotEnded     = "RFC 9051 §6.2.3: NO is for a password that is rejected; the connection is not ended here, but so slow that the third answer takes a minute, which on another one it does not"
	whyRecent       = "RFC 9051 Appendix E: RECENT and \\Recent have been removed, and RFC 3501 §2.3.2 lets a server do without"
	whyUse          = "RFC 6154 §3: a special use is given when a mailbox is created, and not guessed from its name"
	whyID           = "RFC 2971 §3.2: what a server tells is its own choice"
)

// oneSpace is for files with two spaces before the flags of STORE.
var oneSpace = mpt.Edit{Old: "  FLAGS", New: " FLAGS", Why: whyOneSpace}

// imapConversations says what is done with each file of testdata/scripts/imap.
var imapConversations = func() map[string]conversation {
	m := maps.Clone(imapOtherConversations)
	maps.Copy(m, imapFetchConversations)
	maps.Copy(m, imapSearchConversations)
	maps.Copy(m, imapNameConversations)
	return m
}()

// imapOtherConversations are about all but FETCH, SEARCH and names of mailboxes.
var imapOtherConversations = map[string]conversation{
	"Append.test": {state: authenticated},
	"AppendExamineInbox.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: a RENAME INBOX tobedeleted
`,
			New: `C: a RENAME INBOX tobedeleted
S: \* 1 EXPUNGE
S: \* 1 EXPUNGE
`,
			Why: `RFC 9051 §6.3.6: the messages of the inbox, which is still selected, are moved, and it is told that they are gone`,
		},
		{
			Old: `S: \* OK \[PERMANENTFLAGS \(\\Answered \\Deleted \\Draft \\Flagged \\\Seen( \\\*)?\)\].*
S: \* OK \[HIGHESTMODSEQ \d+\].*
S: \* OK \[UIDNEXT 3\].*
S: abcd OK`,
			New: `S: \* OK \[PERMANENTFLAGS \(\)\].*
S: \* OK \[HIGHESTMODSEQ \d+\].*
S: \* OK \[UIDNEXT 3\].*
S: abcd OK`,
			Why: whyReadOnly,
		},
	}},
	"AppendExpunge.test":     {state: authenticated},
	"AppendSelectInbox.test": {state: authenticated},
	"AppendToSelected.test":  {state: authenticated},
	"Authenticate.test": {state: greeting, edits: []mpt.Edit{
		{
			Old: `C: abcd AUTHENTICATE KERBEROS_V4 extra
S: abcd NO`,
			New: `C: abcd AUTHENTICATE KERBEROS_V4 extra
S: abcd BAD`,
			Why: `RFC 9051 §6.2.2: an initial response is base64, and this one is not`,
		},
	}},
	"AuthenticatePlain.test": {state: greeting, edits: []mpt.Edit{
		{
			Old: `AUTHENTICATE "PLAIN" {24+}`,
			New: `AUTHENTICATE PLAIN
S: \+`,
			Why: whyAuthenticate,
		},
		{
			Old: `AUTHENTICATE "PLAIN" {28+}`,
			New: `AUTHENTICATE PLAIN
S: \+`,
			Why: whyAuthenticate,
		},
		{
			Old: `AUTHENTICATE "PLAIN" {36+}`,
			New: `AUTHENTICATE PLAIN
S: \+`,
			Why: whyAuthenticate,
		},
		{
			Old: `S: 0001 OK AUTHENTICATE completed.

# Ensure we are imapuser
C: 0002 SELECT imapuser
SUB {
S: \* OK \[MAILBOXID \(.+\)\] Ok
S: \* FLAGS .*
S: \* .* EXISTS
S: \* .* RECENT
S: \* OK \[UIDVALIDITY .*\] UIDs valid
S: \* OK \[PERMANENTFLAGS .*\] Limited
S: \* OK \[HIGHESTMODSEQ .*\] Highest
S: \* OK \[UIDNEXT .*\] Predicted next UID
}
S: 0002 OK \[READ-WRITE\] SELECT completed\.
`,
			New: `S: 0001 BAD no
`,
			Why: `RFC 4616 §2: the message has three fields, the first of which can be empty, and this one has two`,
		},
		{
			Old: `S: 0007 OK AUTHENTICATE completed.

# Ensure we are delegate
C: 0008 SELECT delegate
SUB {
S: \* OK \[MAILBOXID \(.+\)\] Ok
S: \* FLAGS .*
S: \* .* EXISTS
S: \* .* RECENT
S: \* OK \[UIDVALIDITY .*\] UIDs valid
S: \* OK \[PERMANENTFLAGS .*\] Limited
S: \* OK \[HIGHESTMODSEQ .*\] Highest
S: \* OK \[UIDNEXT .*\] Predicted next UID
}
S: 0008 OK \[READ-WRITE\] SELECT completed\.`,
			New: `S: 0007 NO no`,
			Why: `RFC 4616 §2: who may act for others is for the server to decide, and here nobody does`,
		},
		{
			Old: `SELECT imapuser`,
			New: `SELECT INBOX`,
			Why: `RFC 9051 §5.1: INBOX is the mailbox that each user has; there is no "imapuser"`,
		},
	}},
	"BadTag.test":                          {state: greeting},
	"BogusCommand.test":                    {state: greeting},
	"Capability.test":                      {state: greeting},
	"Check.test":                           {state: selected},
	"Concurrent.todo.txt":                  {skip: `not a conversation: notes of its authors`},
	"ConcurrentAppendUIDToMSNMapping.test": {state: authenticated},
	"ConcurrentCrossExpunge.test":          {state: authenticated},
	"ConcurrentDeleteSelected.test":        {state: authenticated},
	"ConcurrentExistsResponse.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: 3b STORE 1 +FLAGS.SILENT`,
			New: `C: 3a2 NOOP
S: \* 1 EXISTS
S: 3a2 OK done
C: 3b STORE 1 +FLAGS.SILENT`,
			Why: `RFC 9051 §9 seq-number: one larger than the number of messages that the client knows of is an error`,
		},
		{
			Old: `S: \* 1 EXISTS
S: \* 1 RECENT
S: 3b OK`,
			New: `S: 3b OK`,
			Why: `RFC 9051 §7.4.1: the message has been told before`,
		},
		{
			Old: `S: \* 1 FETCH \(FLAGS \(\\Flagged \\Recent\)\)
S: 4b`,
			New: `S: 4b`,
			Why: `RFC 9051 §7.5.2: the flags are not a change for a client that has never seen the message`,
		},
	}},
	"ConcurrentExpungeResponse.test":        {state: authenticated},
	"ConcurrentExpungeUIDToMSNMapping.test": {state: authenticated},
	"ConcurrentFetchResponse.test":          {state: authenticated},
	"ConcurrentRenameSelected.test":         {state: authenticated},
	"ConcurrentRenameSelectedSub.test":      {state: authenticated},
	"CondstoreDisable.test": {state: authenticated, edits: []mpt.Edit{
		{Old: `^((?!CONDSTORE).)*$`, New: `\* CAPABILITY .* CONDSTORE .*`, Why: whyCondstore},
		{Old: `\* ENABLED`, New: `\* ENABLED CONDSTORE`, Why: whyCondstore},
	}},
	"CondstoreEnable.test": {state: authenticated},
	"Copy.test":            {state: selected},
	"ExamineEmpty.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: \* OK \[PERMANENTFLAGS \(\\Answered \\Deleted \\Draft \\Flagged \\\Seen( \\\*)?\)\].*
S: \* OK \[HIGHESTMODSEQ \d+\].*
S: \* OK \[UIDNEXT 1\].*
S: abcd OK`,
			New: `S: \* OK \[PERMANENTFLAGS \(\)\].*
S: \* OK \[HIGHESTMODSEQ \d+\].*
S: \* OK \[UIDNEXT 1\].*
S: abcd OK`,
			Why: whyReadOnly,
		},
	}},
	"ExamineReadOnly.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: \* OK \[PERMANENTFLAGS \(\\Answered \\Deleted \\Draft \\Flagged \\\Seen( \\\*)?\)\].*
S: \* OK \[HIGHESTMODSEQ \d+\].*
S: \* OK \[UIDNEXT 3\].*
S: ro1 OK`,
			New: `S: \* OK \[PERMANENTFLAGS \(\)\].*
S: \* OK \[HIGHESTMODSEQ \d+\].*
S: \* OK \[UIDNEXT 3\].*
S: ro1 OK`,
			Why: whyReadOnly,
		},
	}},
	"Expunge.test": {state: selected},
	"ExpungeBasics.test": {state: authenticated, edits: []mpt.Edit{
		oneSpace,
	}},
	"Id.test": {state: greeting, edits: []mpt.Edit{
		{
			Old: `S: \* ID NIL`,
			New: `S: \* ID .*`,
			Why: whyID,
		},
	}},
	"IllegalTag.test":       {state: greeting},
	"InboxAddMessages.test": {state: authenticated},
	"InboxDeleteMessages.test": {state: authenticated, edits: []mpt.Edit{
		{Old: `S: OK DELETE`, New: `S: a OK DELETE`, Why: `RFC 9051 §2.2.2: the response that completes a command has its tag`},
	}},
	"JustTag.test": {state: greeting},
	"Login.test":   {state: greeting},
	"LoginThreeStrikes.test": {state: greeting, edits: []mpt.Edit{
		{Old: `S: \* BYE Login`, New: `S: a005 NO Login`, Why: whyNotEnded},
		{Old: `C: a005`, New: "REINIT\nC: a005", Why: whyNotEnded},
	}},
	"Logout.test": {state: greeting},
	"Metadata.test": {state: authenticated, edits: []mpt.Edit{
		{Old: `\* METADATA "INBOX" `, New: `\* METADATA Inbox `, Why: whyInboxName},
		{Old: `\* METADATA "mailboxTest" `, New: `\* METADATA mailboxTest `, Why: "RFC 9051 §9: an atom is as good as a quoted string"},
		{Old: "two lines. )", New: "two lines.)", Why: whyOneSpace},
		{Old: `GETMETADATA "INBOX"
`, New: `GETMETADATA (DEPTH infinity) "INBOX" (/private /shared)
`, Why: whyEntries},
		{Old: `GETMETADATA "mailboxTest"
`, New: `GETMETADATA (DEPTH infinity) "mailboxTest" (/private /shared)
`, Why: whyEntries},
		{Old: `(MAXSIZE 15)
`, New: `(MAXSIZE 15 DEPTH infinity) (/private /shared)
`, Why: whyEntries},
		{Old: `(MAXSIZE 100)
`, New: `(MAXSIZE 100 DEPTH infinity) (/private /shared)
`, Why: whyEntries},
		{Old: `S: g19 BAD`, New: `S: g19 OK \[METADATA LONGENTRIES 14\]`, Why: "RFC 5464 §5: MAXSIZE has a number, which can be 0"},
		{Old: `S: m06 NO \[TRYCREATE\]`, New: `S: m06 NO \[NONEXISTENT\]`, Why: "RFC 5530 §3: NONEXISTENT is for this; TRYCREATE is for APPEND and COPY (RFC 9051 §7.1)"},
		{Old: `S: \* METADATA "mailboxTest"
S: m08`, New: `S: m08`, Why: "RFC 5464 §5: a METADATA response has at least one entry"},
	}},
	"MetadataWithBinaryData.test": {state: authenticated, edits: []mpt.Edit{
		{Old: `\* METADATA "INBOX" `, New: `\* METADATA Inbox `, Why: whyInboxName},
	}},
	"MetadataWithLimitation.test": {state: authenticated, edits: []mpt.Edit{
		{Old: `{1025}`, New: fmt.Sprintf(`{%d}`, store.MaxAnnotationSize+1), Why: whyLimits},
		{Old: `End)`, New: strings.Repeat("a", store.MaxAnnotationSize-1024) + `End)`, Why: whyLimits},
		{Old: `a1 NO`, New: fmt.Sprintf(`a1 NO \[METADATA MAXSIZE %d\]`, store.MaxAnnotationSize), Why: whyLimits},
		{Old: `C: 10 CREATE`, New: manyAnnotations(11, store.MaxAnnotations-1) + `C: 10 CREATE`, Why: whyLimits},
		{Old: `a4 NO`, New: `a4 NO \[METADATA TOOMANY\]`, Why: whyLimits},
	}},
	"Move.test": {state: selected},
	"MoveNoMSG.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `S: a4 BAD`,
			New: `S: a4 OK`,
			Why: `RFC 9051 §6.4.9: a UID that does not exist is ignored without an error`,
		},
	}},
	"NoCommand.test": {state: greeting},
	"NoTag.test":     {state: greeting},
	"Noop.test":      {state: authenticated},
	"ObjectId.test":  {state: selected},
	"Quota.test": {state: authenticated, quota: 1024, edits: []mpt.Edit{
		{Old: `S: \* QUOTA #private&imapuser \(MESSAGE 6 7\)
`, New: ``, Why: whyQuotaStorage},
		{Old: `S: \* QUOTA #private&imapuser \(MESSAGE 7 7\)
`, New: ``, Why: whyQuotaStorage},
		{Old: `S: A007 NO SETQUOTA`, New: `S: A007 BAD SETQUOTA`, Why: `RFC 9208 §4.1.3: SETQUOTA comes with QUOTASET, which is not announced here`},
		{Old: `STORAGE 1 5242880`, New: `STORAGE 1 1`, Why: whyQuotaStorage},
		{Old: `#private.imapuser.test`, New: `test`, Why: whyNamespace},
		{Old: `"#private\.imapuser\.test" #private&imapuser`, New: `test ""`, Why: whyQuotaRoot},
		{Old: `#private&imapuser`, New: `""`, Why: whyQuotaRoot},
	}},
	"Recent.test": {state: authenticated, edits: []mpt.Edit{
		{Old: `\* SEARCH 1`, New: `\* SEARCH`, Why: whyRecent},
		{Old: `(\\Recent\)`, New: `(\)`, Why: whyRecent},
	}},
	"Replace.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: \* 3 EXISTS
S: \* 1 EXPUNGE
`,
			New: `S: \* 1 EXPUNGE
S: \* 2 EXISTS
`,
			Why: `RFC 9051 §7.5.1: EXPUNGE makes the numbers of messages after it one less; here it comes first, so that EXISTS has one less too`,
		},
	}},
	"SelectAppend.test": {state: authenticated},
	"SelectEmpty.test":  {state: authenticated},
	"SelectInbox.test":  {state: authenticated},
	"SelectUnseen.test": {state: authenticated},
	"SelectedStateCleanup.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `C: a1 DELETE selected
S: .*`,
			New: `C: a0 UNSELECT
S: a0 OK
C: a1 DELETE selected
S: a1 OK`,
			Why: `RFC 9051 §6.3.5: the mailbox is there, as each file has an account of its own; it is not deleted while it is selected here`,
		},
	}},
	"SelectedStateSetup.test": {state: authenticated},
	"Store.test":              {state: selected},
	"StringArgs.test":         {state: authenticated},
	"Uid.test":                {state: selected},
	"UserFlagsSupport.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: \* OK \[PERMANENTFLAGS \(\\Answered \\Deleted \\Draft \\Flagged \\Seen userflag \\\*\)\] Limited
`,
			New: ``,
			Why: whyKeyword,
		},
		{
			Old: `S: \* OK \[PERMANENTFLAGS \(.*appendflag.*\\\*\)\] Limited
S: A9`,
			New: `S: A9`,
			Why: whyKeyword,
		},
	}},
	"ValidAuthenticated.test":    {state: greeting},
	"ValidNonAuthenticated.test": {state: authenticated},
	"ValidSelected.test":         {state: authenticated},
	"Welcome.test":               {state: greeting},
}

// manyAnnotations returns commands that add annotations to those of the inbox.
func manyAnnotations(first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintf(&b, "C: a2 SETMETADATA INBOX (/private/comment%d \"Comment\")\nS: a2 OK done\n", i)
	}
	return b.String()
}
