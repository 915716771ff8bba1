package e2e

import (
	"slices"

	"mox/internal/script/mpt"
)

// Reasons of several edits.
const (
	whyKeyword25 = "AUTH is for submission (RFC 6409 §4.3), mail from other servers comes without"
	whyEHLO      = "RFC 5321 §4.1.4: a session starts with EHLO"
)

// noAuth is for replies to EHLO for mail from other servers.
var noAuth = []mpt.Edit{
	{Old: "S: 250-AUTH LOGIN PLAIN\n", Why: whyKeyword25},
	{Old: "S: 250-AUTH=LOGIN PLAIN\n", Why: whyKeyword25},
}

// oldAuth is for replies to EHLO for submission.
var oldAuth = []mpt.Edit{{
	Old: "S: 250-AUTH=LOGIN PLAIN\n",
	Why: "RFC 4954 §4: the form with = was for clients of before RFC 2554",
}}

// longPassword is for the password of the files, which is too short here.
var longPassword = []mpt.Edit{{
	Old: "C: c2VjcmV0\n",
	New: "C: c2VjcmV0c2VjcmV0\n",
	Why: "RFC 4616 §2: which passwords there are is for the server to decide; here they have at least 8 characters",
}}

// smtpConversations says what is done with each file of testdata/scripts/smtp. Those
// with state authenticated are for submission.
var smtpConversations = map[string]conversation{
	"authplain.test": {state: authenticated, edits: slices.Concat(longPassword, []mpt.Edit{{
		Old: "C: AUTH LOGIN\n",
		New: "C: EHLO yopmail.com\nS: 250.*\nC: AUTH LOGIN\n",
		Why: whyEHLO,
	}})},
	"data_starts_with_starttls.test": {edits: noAuth},
	"data_with_starttls.test":        {edits: noAuth},
	"helo.test":                      {},
	"rcpt_with_starttls.test":        {edits: noAuth},
	"starttls.test":                  {edits: noAuth},
	"starttls_session_fixation.test": {state: authenticated, edits: slices.Concat(oldAuth, longPassword, []mpt.Edit{{
		Old: "S: 501 .*",
		New: "S: 503 .*",
		Why: "RFC 5321 §4.2.2: 503 is for a command that is out of sequence, as STARTTLS is after AUTH",
	}})},
	"starttls_with_injection.test": {edits: slices.Concat(noAuth, []mpt.Edit{{
		Old: `C: starttls\r\nmail from:<matthieu@yopmail.com>\r\n` + "\nS: 451 Unable to process request",
		New: "C: starttls\nC: mail from:<matthieu@yopmail.com>\nS: 421 .*",
		Why: "the line ends are meant as such; that nothing may follow STARTTLS before its reply (RFC 3207 §4) is told with a reply that ends the session",
	}})},
}
