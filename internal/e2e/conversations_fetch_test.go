package e2e

import "mox/internal/script/mpt"

// imapFetchConversations are about FETCH.
var imapFetchConversations = map[string]conversation{
	"BodyPartialFetch.test":     {state: authenticated},
	"ComplexMail.test":          {state: authenticated},
	"FetchAllEmptyMailbox.test": {state: authenticated},
	"FetchBodyNoSection.test":   {state: selected},
	"FetchEnvelope.test":        {state: selected},
	"FetchHeaderFields.test":    {state: authenticated},
	"FetchHeaderFieldsNot.test": {state: authenticated},
	"FetchInternalDate.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `\+\d{4}`,
			New: `-0700`,
			Why: `RFC 9051 §2.3.3: the date is the one given to APPEND; James gives it another time zone`,
		},
	}},
	"FetchMultipartAlternative.test": {state: authenticated},
	"FetchMultipartBodyStructure.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: A6 FETCH 1:* ()
S: \* 1 FETCH \(\)
S: \* 2 FETCH \(\)
S: A6 OK`,
			New: `C: A6 FETCH 1:* ()
S: A6 BAD`,
			Why: whyEmptyList,
		},
	}},
	"FetchMultipartMixed.test":        {state: authenticated},
	"FetchMultipartMixedComplex.test": {state: authenticated},
	"FetchMultipleMessages.test":      {state: selected},
	"FetchNILSaveDate.test": {state: selected, edits: []mpt.Edit{
		{Old: `SAVEDATE NIL`, New: `SAVEDATE "[^"]*"`, Why: `RFC 8514 §4.2: NIL is for mailboxes that do not keep this date, and here they all do`},
	}},
	"FetchPartial.test": {state: selected, edits: []mpt.Edit{
		{Old: "C: f1 FETCH", New: "C: f1 UID FETCH", Why: `RFC 9394 §3.3 has PARTIAL for UID FETCH only`},
	}},
	"FetchPeek.test":   {state: selected},
	"FetchRFC822.test": {state: selected},
	"FetchRFC822Header.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `S: \* 1 FETCH \(BODY\[1.MIME\] \{245\}
S: Date: Mon, 7 Feb 1994 21:52:25 -0800 \(PST\)
S: From: Fred Foobar <foobar@Blurdybloop\.COM>
S: Subject: Test 01
S: To: mooch@owatagu\.siam\.edu
S: Message-Id: <B27397-0100000@Blurdybloop\.COM>
`,
			New: `S: \* 1 FETCH \(BODY\[1.MIME\] \{65\}
`,
			Why: `RFC 9051 §6.4.5.1: MIME has the header fields of RFC 2045`,
		},
	}},
	"FetchRFC822Mixed.test": {state: authenticated},
	"FetchRFC822Text.test":  {state: selected},
	"FetchSaveDate.test":    {state: selected},
	"FetchSimpleBodyStructure.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: A7 FETCH 1:* ()
S: \* 1 FETCH \(\)
S: \* 2 FETCH \(\)
S: \* 3 FETCH \(\)
S: A7 OK`,
			New: `C: A7 FETCH 1:* ()
S: A7 BAD`,
			Why: whyEmptyList,
		},
	}},
	"FetchSingleMessage.test": {state: selected, edits: []mpt.Edit{
		{
			Old: `FETCH 1 (ALL)`,
			New: `FETCH 1 ALL`,
			Why: whyMacro,
		},
		{
			Old: `FETCH 1 (FULL)`,
			New: `FETCH 1 FULL`,
			Why: whyMacro,
		},
		{
			Old: `FETCH 1 (FAST)`,
			New: `FETCH 1 FAST`,
			Why: whyMacro,
		},
	}},
	"FetchStructureComplex.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `C: A10 FETCH 1:* ()
S: \* 1 FETCH \(\)
S: \* 2 FETCH \(\)
S: \* 3 FETCH \(\)
S: \* 4 FETCH \(\)
S: \* 5 FETCH \(\)
S: \* 6 FETCH \(\)
S: A10 OK`,
			New: `C: A10 FETCH 1:* ()
S: A10 BAD`,
			Why: whyEmptyList,
		},
	}},
	"FetchStructureEmbedded.test": {state: authenticated},
	"FetchText.test":              {state: selected},
	"HeaderPartialFetch.test":     {state: authenticated},
	"MimePartialFetch.test":       {state: authenticated},
	"PeekMultipartAlternative.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `UIDVALIDITY 1203163909`,
			New: `UIDVALIDITY \d+`,
			Why: whyUIDValidity,
		},
	}},
	"PeekMultipartMixed.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `UIDVALIDITY 1203163935`,
			New: `UIDVALIDITY \d+`,
			Why: whyUIDValidity,
		},
	}},
	"PeekMultipartMixedComplex.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `UIDVALIDITY 1203163973`,
			New: `UIDVALIDITY \d+`,
			Why: whyUIDValidity,
		},
		{
			Old: `S: Rhubard?Custard?`,
			New: `S: Rhubard\?Custard\?`,
			Why: `RFC 9051 §7.5.2: the text comes as it is, with the question marks, which the file does not escape`,
		},
	}},
	"TextPartialFetch.test": {state: authenticated},
}
