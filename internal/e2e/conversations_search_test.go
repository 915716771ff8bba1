package e2e

import (
	"slices"

	"mox/internal/script/mpt"
)

// searchSetup is for what files about searching have in common: the messages that
// they append, and the flags that they give them.
var searchSetup = []mpt.Edit{
	{Old: "  +FLAGS", New: " +FLAGS", Why: whyOneSpace},
	{Old: "{11976+}", New: "{11975+}", Why: whyOctets},
	{Old: "{3367+}", New: "{3366+}", Why: whyOctets},
}

// parentheses is for search programs with spaces within parentheses.
var parentheses = []mpt.Edit{
	{Old: "( OR", New: "(OR", Why: whyOneSpace},
	{Old: "( NOT", New: "(NOT", Why: whyOneSpace},
	{Old: "( FROM", New: "(FROM", Why: whyOneSpace},
	{Old: "( CC", New: "(CC", Why: whyOneSpace},
	{Old: "( HEADER", New: "(HEADER", Why: whyOneSpace},
	{Old: "( ANSWERED", New: "(ANSWERED", Why: whyOneSpace},
	{Old: "DRAFT )", New: "DRAFT)", Why: whyOneSpace},
	{Old: "FLAGGED )", New: "FLAGGED)", Why: whyOneSpace},
	{Old: "2000 )", New: "2000)", Why: whyOneSpace},
	{Old: "2008 )", New: "2008)", Why: whyOneSpace},
	{Old: "2009 )", New: "2009)", Why: whyOneSpace},
	{Old: ") )", New: "))", Why: whyOneSpace},
}

// octets4174 is for a literal that most of these files have.
var octets4174 = mpt.Edit{Old: "{4174+}", New: "{4173+}", Why: whyOctets}

// imapSearchConversations are about SEARCH.
var imapSearchConversations = map[string]conversation{
	"Search.test": {state: selected},
	"SearchAtoms.test": {state: authenticated, edits: slices.Concat(searchSetup, []mpt.Edit{
		octets4174,
		{
			Old: `S: \* SEARCH 2 3 4 5 6 7 10 11 12 14 17 18 19
`,
			New: `S: \* SEARCH 2 5 6 7 10 11 12 14 17 18 19
`,
			Why: whyBody,
		},
		{
			Old: `C: A49 SEARCH BODY thy
S: \* SEARCH 10 `,
			New: `C: A49 SEARCH BODY thy
S: \* SEARCH 5 10 `,
			Why: whyEncoded,
		},
		{
			Old: `S: \* SEARCH 3 4 8 9 13 14 18 19
S: A79`,
			New: `S: \* SEARCH
S: A79`,
			Why: whyNew,
		},
		{
			Old: `S: \* SEARCH
S: A84`,
			New: `S: \* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19
S: A84`,
			Why: whyNew,
		},
		{
			Old: `S: \* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19
S: A86`,
			New: `S: \* SEARCH
S: A86`,
			Why: whyNew,
		},
	})},
	"SearchCombinations.test": {state: authenticated, edits: slices.Concat(searchSetup, parentheses, []mpt.Edit{
		{
			Old: `S: \* SEARCH 2 3 4
`,
			New: `S: \* SEARCH 2
`,
			Why: whyBody,
		},
		{
			Old: `S: \* SEARCH 2 3 4 11 17
`,
			New: `S: \* SEARCH 2 11 17
`,
			Why: whyBody,
		},
	})},
	"SearchOptionAggregations.test": {state: authenticated},
	"SearchOptionSave.test": {state: authenticated, edits: []mpt.Edit{
		{
			Old: `S: \* SEARCH 1
S: c OK`,
			New: `S: c OK`,
			Why: `RFC 9051 §6.4.4: SAVE alone suppresses the response`,
		},
	}},
	"SearchSaveDate.test": {state: selected},
	"UidSearchAtoms.test": {state: authenticated, edits: slices.Concat(searchSetup, []mpt.Edit{
		oneSpace,
		octets4174,
		{
			Old: `S: \* SEARCH 22 23 24 25 26 27 30 31 32 34 37 38 39
`,
			New: `S: \* SEARCH 22 25 26 27 30 31 32 34 37 38 39
`,
			Why: whyBody,
		},
		{
			Old: `S: \* SEARCH 30 32 37 38 39
S: A109`,
			New: `S: \* SEARCH 25 30 32 37 38 39
S: A109`,
			Why: whyEncoded,
		},
		{
			Old: `S: \* SEARCH 23 24 28 29 33 34 38 39
S: A139`,
			New: `S: \* SEARCH
S: A139`,
			Why: whyNew,
		},
		{
			Old: `S: \* SEARCH
S: A144`,
			New: `S: \* SEARCH 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
S: A144`,
			Why: whyNew,
		},
		{
			Old: `S: \* SEARCH 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
S: A146`,
			New: `S: \* SEARCH
S: A146`,
			Why: whyNew,
		},
	})},
	"UidSearchAtomsIndexer.test": {state: authenticated, edits: slices.Concat(searchSetup, []mpt.Edit{
		oneSpace,
		octets4174,
		{
			Old: `{929+}`,
			New: `{928+}`,
			Why: whyOctets,
		},
		{
			Old: `{915+}`,
			New: `{914+}`,
			Why: whyOctets,
		},
	})},
	"UidSearchCombinations.test": {state: authenticated, edits: slices.Concat(searchSetup, parentheses, []mpt.Edit{
		oneSpace,
		octets4174,
		{
			Old: `S: \* SEARCH 22 23 24
`,
			New: `S: \* SEARCH 22
`,
			Why: whyBody,
		},
		{
			Old: `S: \* SEARCH 22 23 24 31 37
`,
			New: `S: \* SEARCH 22 31 37
`,
			Why: whyBody,
		},
	})},
}
