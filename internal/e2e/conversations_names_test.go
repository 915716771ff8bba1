package e2e

import (
	"slices"

	"mox/internal/script/mpt"
)

// imapNameConversations are about names of mailboxes: creating, renaming, deleting,
// listing and subscribing to them.
var imapNameConversations = map[string]conversation{
	"Create.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: 15 CREATE ..
S: 15 BAD`,
			New: `C: 15 CREATE ..
S: 15 NO`,
			Why: `RFC 9051 §6.3.4: NO is for a name with which a mailbox cannot be created`,
		},
		{
			Old: `S: 20 OK`,
			New: `S: 20 BAD`,
			Why: `RFC 3501 §5.1.3: characters of US-ASCII are not to be encoded, so that "&AC4-" is no valid name`,
		},
		{
			Old: `C: 21 LIST "" one*
S: \* LIST \(\\HasChildren\) "." "one"
S: \* LIST \(\\HasNoChildren\) "." "one.two"
`,
			New: `C: 21 LIST "" one*
`,
			Why: `RFC 3501 §5.1.3: not created, see above`,
		},
		{
			Old: `S: a12 OK`,
			New: `S: a12 NO`,
			Why: `RFC 3501 §5.1.3: not created, see above`,
		},
	}},
	"CreateErrorWithLongName.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x1`,
			New: `123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x1123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x1123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x1123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x1123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x123456789x1`,
			Why: `RFC 9051 §6.3.4: which names are refused is for the server to decide; here they can have 1000 octets`,
		},
		{
			Old: `S: A1 BAD`,
			New: `S: A1 NO`,
			Why: `RFC 9051 §6.3.4: NO is for a name with which a mailbox cannot be created`,
		},
		{
			Old: `S: A4 BAD`,
			New: `S: A4 NO`,
			Why: `RFC 9051 §6.3.6: NO is for a name to which a mailbox cannot be renamed`,
		},
	}},
	"Delete.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: 14 OK DELETE`,
			New: `S: 14 NO DELETE`,
			Why: whyChildren,
		},
	}},
	"DeleteInbox.test":   {state: authenticated},
	"ListMailboxes.test": {state: authenticated},
	"ListNamespace.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: \* LIST \(\\Noselect\) \"\.\" \"\#private\"`,
			New: `S: \* LIST \(\\Noselect\) \"\.\" \"\"`,
			Why: whyNamespace,
		},
	}},
	"ListOnly.test": {state: authenticated},
	"ListPercentWildcard.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: D3 OK DELETE`,
			New: `S: D3 NO DELETE`,
			Why: whyChildren,
		},
		{
			Old: `S: D4 OK DELETE`,
			New: `S: D4 NO DELETE`,
			Why: whyChildren,
		},
		{
			Old: `S: D7 OK DELETE`,
			New: `S: D7 NO DELETE`,
			Why: whyChildren,
		},
	}},
	"ListPlus.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: a1 LIST "" "listtest" RETURN (MYRIGHTS)
SUB {
S: \* LIST \(\\HasChildren\) \"\.\" "listtest"
S: \* MYRIGHTS "listtest" "aeiklprstwx"
}
S: a1 OK`,
			New: `C: a1 LIST "" "listtest" RETURN (MYRIGHTS)
S: a1 BAD`,
			Why: `LIST-MYRIGHTS (RFC 8440) is not announced here, and RFC 9051 §6.3.9 has BAD for unknown options`,
		},
	}},
	"ListSpecialChar.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: a3 LIST`,
			New: `C: b1 CREATE "projects &- abc"
S: b1 OK
C: b2 CREATE "&AOk-valuations"
S: b2 OK
C: b3 CREATE "mailbox #17"
S: b3 OK
C: a3 LIST`,
			Why: `RFC 9051 §6.3.4: mailboxes are there when they are created, which the program around the file does`,
		},
	}},
	"ListSubscribed.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: 13 OK \[MAILBOXID \(.+\)\] CREATE completed.`,
			New: `S: 13 OK \[MAILBOXID \(.+\)\] CREATE completed.
C: u0 UNSUBSCRIBE listtest
S: u0 OK done
C: u1 UNSUBSCRIBE listtest.subfolder
S: u1 OK done
C: u2 UNSUBSCRIBE listtest1
S: u2 OK done
C: u3 UNSUBSCRIBE listtest1.subfolder1
S: u3 OK done`,
			Why: whySubscribed,
		},
		{
			Old: `SUB {
S: \* LIST \(\\HasChildren\) \"\.\" "listtest1" \(\"CHILDINFO\" \(\"SUBSCRIBED\"\)\)
`,
			New: `SUB {
`,
			Why: `RFC 9051 §6.3.9.6: CHILDINFO SHOULD be left out where the child is listed too`,
		},
	}},
	"ListWithPercentWildcardInMailboxName.test": {state: authenticated},
	"Namespace.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: \* NAMESPACE \(\((\"\"|\"#private\.\") \".\"\)\) \(\(\"#user.\" \".\"\)\) NIL`,
			New: `S: \* NAMESPACE \(\("" "/"\)\) NIL NIL`,
			Why: whyNamespace,
		},
	}},
	"Rename.test": {state: authenticated, edits: slices.Concat(searchSetup, []mpt.Edit{
		oneSpace,
		octets4174,
		{
			Old: `S: A131 (.)*`,
			New: `S: A131 NO`,
			Why: `RFC 9051 §6.3.2: there is no such mailbox`,
		},
	})},
	"RenameHierarchy.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `S: \* LIST \(\\HasChildren\) "\." "alpha\.beta"
`,
			New: `S: \* LIST \(\\HasChildren\) "\." "alpha"
S: \* LIST \(\\HasChildren\) "\." "alpha\.beta"
`,
			Why: whySuperior,
		},
		{
			Old: `S: \* LIST \(\\HasNoChildren\) "\." "alpha\.beta\.gamma\.delta"
`,
			New: `S: \* LIST \(\\HasChildren\) "\." "alpha\.beta\.gamma"
S: \* LIST \(\\HasNoChildren\) "\." "alpha\.beta\.gamma\.delta"
`,
			Why: whySuperior,
		},
		{
			Old: `S: \* LIST \(\\HasChildren\) "\." "alpha\.beta\.gamma\.delta"
`,
			New: `S: \* LIST \(\\HasChildren\) "\." "alpha\.beta\.gamma"
S: \* LIST \(\\HasChildren\) "\." "alpha\.beta\.gamma\.delta"
`,
			Why: whySuperior,
		},
	}},
	"RenameInbox.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `S: \* OK \[UIDNEXT 1\].*
S: A4 OK`,
			New: `S: \* OK \[UIDNEXT 2\].*
S: A4 OK`,
			Why: `RFC 9051 §2.3.1.1: while the UIDVALIDITY of the inbox is the same, UIDs are not used again`,
		},
	}},
	"RenameSelected.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `  +FLAGS`,
			New: ` +FLAGS`,
			Why: whyOneSpace,
		},
	}},
	"Status.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `(  MESSAGES  )`,
			New: `(MESSAGES)`,
			Why: whyOneSpace,
		},
		{
			Old: `(UNSEEN RECENT )`,
			New: `(UNSEEN RECENT)`,
			Why: whyOneSpace,
		},
		{
			Old: `(UNSEEN SIZE MESSAGES )`,
			New: `(UNSEEN SIZE MESSAGES)`,
			Why: whyOneSpace,
		},
		{
			Old: `DELETED-STORAGE 508`,
			New: `DELETED-STORAGE 1`,
			Why: `RFC 9208 §5.1: STORAGE is in units of 1024 octets`,
		},
	}},
	"Subscribe.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: b01 LSUB "" "%"    `,
			New: `C: b01 LSUB "" "%"`,
			Why: `RFC 9051 §9: no spaces at the end of a command`,
		},
		{
			Old: `S: 13 OK \[MAILBOXID \(.+\)\] CREATE completed.`,
			New: `S: 13 OK \[MAILBOXID \(.+\)\] CREATE completed.
C: u0 UNSUBSCRIBE subscribetest
S: u0 OK done
C: u1 UNSUBSCRIBE subscribetest.subfolder
S: u1 OK done
C: u2 UNSUBSCRIBE subscribetest1
S: u2 OK done
C: u3 UNSUBSCRIBE subscribetest1.subfolder1
S: u3 OK done`,
			Why: whySubscribed,
		},
	}},
	"XList.test": {state: authenticated, edits: []mpt.Edit{
		{Old: `CREATE Spam`, New: `CREATE Spam (USE (\Junk))`, Why: whyUse},
		{Old: `CREATE Trash`, New: `CREATE Trash (USE (\Trash))`, Why: whyUse},
		{Old: `CREATE Sent`, New: `CREATE Sent (USE (\Sent))`, Why: whyUse},
		{Old: `CREATE Drafts`, New: `CREATE Drafts (USE (\Drafts))`, Why: whyUse},
		{Old: `CREATE Archive`, New: `CREATE Archive (USE (\Archive))`, Why: whyUse},
		{
			Old: `SUB {
S: \* XLIST \(\\HasNoChildren \\Inbox\) \"\.\" "INBOX"
S: \* XLIST \(\\HasNoChildren \\Drafts\) \"\.\" "Drafts"
S: \* XLIST \(\\HasNoChildren \\Sent\) \"\.\" "Sent"
S: \* XLIST \(\\HasNoChildren \\Spam\) \"\.\" "Spam"
S: \* XLIST \(\\HasNoChildren \\Trash\) \"\.\" "Trash"
}
S: 10 OK XLIST`,
			New: `S: 10 BAD XLIST`,
			Why: `RFC 6154 §1: XLIST is what SPECIAL-USE has replaced; to us it is an unknown command`,
		},
		{
			Old: `C: A12 SUBSCRIBE Sent`,
			New: `C: u0 UNSUBSCRIBE Spam
S: u0 OK done
C: u1 UNSUBSCRIBE Trash
S: u1 OK done
C: u2 UNSUBSCRIBE Drafts
S: u2 OK done
C: u3 UNSUBSCRIBE Archive
S: u3 OK done
C: A12 SUBSCRIBE Sent`,
			Why: whySubscribed,
		},
	}},
}
