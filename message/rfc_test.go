package message

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Examples of the RFCs, whole messages, with what the RFCs say of them.

func TestExamplesOfRFC5322(t *testing.T) {
	t.Parallel()
	const john, mary = `("John Doe" NIL "jdoe" "machine.example")`, `("Mary Smith" NIL "mary" "example.net")`
	const hello = "\nThis is a message just to say hello.\nSo, \"Hello\".\n"
	for _, c := range []struct{ section, msg, envelope, sent, references string }{
		{"A.1.1, simple addressing",
			"From: John Doe <jdoe@machine.example>\nTo: Mary Smith <mary@example.net>\nSubject: Saying Hello\nDate: Fri, 21 Nov 1997 09:55:06 -0600\nMessage-ID: <1234@local.machine.example>\n" + hello,
			`("Fri, 21 Nov 1997 09:55:06 -0600" "Saying Hello" (` + john + `) (` + john + `) (` + john + `) (` + mary + `) NIL NIL NIL "<1234@local.machine.example>")`,
			"1997-11-21T15:55:06Z", "[]"},
		{"A.1.1, with a secretary",
			"From: John Doe <jdoe@machine.example>\nSender: Michael Jones <mjones@machine.example>\nTo: Mary Smith <mary@example.net>\nSubject: Saying Hello\nDate: Fri, 21 Nov 1997 09:55:06 -0600\nMessage-ID: <1234@local.machine.example>\n" + hello,
			`("Fri, 21 Nov 1997 09:55:06 -0600" "Saying Hello" (` + john + `) (("Michael Jones" NIL "mjones" "machine.example")) (` + john + `) (` + mary + `) NIL NIL NIL "<1234@local.machine.example>")`,
			"1997-11-21T15:55:06Z", "[]"},
		{"A.1.2, different types of mailboxes",
			"From: \"Joe Q. Public\" <john.q.public@example.com>\nTo: Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>\nCc: <boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>\nDate: Tue, 1 Jul 2003 10:52:37 +0200\nMessage-ID: <5678.21-Nov-1997@example.com>\n\nHi everyone.\n",
			`("Tue, 1 Jul 2003 10:52:37 +0200" NIL (("Joe Q. Public" NIL "john.q.public" "example.com")) (("Joe Q. Public" NIL "john.q.public" "example.com")) (("Joe Q. Public" NIL "john.q.public" "example.com")) ` +
				`(("Mary Smith" NIL "mary" "x.test")(NIL NIL "jdoe" "example.org")("Who?" NIL "one" "y.test")) ((NIL NIL "boss" "nil.test")("Giant; \"Big\" Box" NIL "sysservices" "example.net")) NIL NIL "<5678.21-Nov-1997@example.com>")`,
			"2003-07-01T08:52:37Z", "[]"},
		{"A.1.3, groups",
			"From: Pete <pete@silly.example>\nTo: A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;\nCc: Undisclosed recipients:;\nDate: Thu, 13 Feb 1969 23:32:54 -0330\nMessage-ID: <testabcd.1234@silly.example>\n\nTesting.\n",
			`("Thu, 13 Feb 1969 23:32:54 -0330" NIL (("Pete" NIL "pete" "silly.example")) (("Pete" NIL "pete" "silly.example")) (("Pete" NIL "pete" "silly.example")) ` +
				`((NIL NIL "A Group" NIL)("Ed Jones" NIL "c" "a.test")(NIL NIL "joe" "where.test")("John" NIL "jdoe" "one.test")(NIL NIL NIL NIL)) ` +
				`((NIL NIL "Undisclosed recipients" NIL)(NIL NIL NIL NIL)) NIL NIL "<testabcd.1234@silly.example>")`,
			"1969-02-14T03:02:54Z", "[]"},
		{"A.2, a reply to a reply",
			"To: \"Mary Smith: Personal Account\" <smith@home.example>\nFrom: John Doe <jdoe@machine.example>\nSubject: Re: Saying Hello\nDate: Fri, 21 Nov 1997 11:00:00 -0600\nMessage-ID: <abcd.1234@local.machine.test>\nIn-Reply-To: <3456@example.net>\nReferences: <1234@local.machine.example> <3456@example.net>\n\nThis is a reply to your reply.\n",
			`("Fri, 21 Nov 1997 11:00:00 -0600" "Re: Saying Hello" (` + john + `) (` + john + `) (` + john + `) (("Mary Smith: Personal Account" NIL "smith" "home.example")) NIL NIL "<3456@example.net>" "<abcd.1234@local.machine.test>")`,
			"1997-11-21T17:00:00Z", "[1234@local.machine.example 3456@example.net]"},
		{"A.3, resent",
			"Resent-From: Mary Smith <mary@example.net>\nResent-To: Jane Brown <j-brown@other.example>\nResent-Date: Mon, 24 Nov 1997 14:22:01 -0800\nResent-Message-ID: <78910@example.net>\nFrom: John Doe <jdoe@machine.example>\nTo: Mary Smith <mary@example.net>\nSubject: Saying Hello\nDate: Fri, 21 Nov 1997 09:55:06 -0600\nMessage-ID: <1234@local.machine.example>\n" + hello,
			`("Fri, 21 Nov 1997 09:55:06 -0600" "Saying Hello" (` + john + `) (` + john + `) (` + john + `) (` + mary + `) NIL NIL NIL "<1234@local.machine.example>")`,
			"1997-11-21T15:55:06Z", "[]"},
		{"A.5, white space, comments, and other oddities",
			"From: Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\nTo:A Group(Some people)\n     :Chris Jones <c@(Chris's host.)public.example>,\n         joe@example.org,\n  John <jdoe@one.test> (my dear friend); (the end of the group)\n" +
				"Cc:(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;\nDate: Thu,\n      13\n        Feb\n          1969\n      23:32\n               -0330 (Newfoundland Time)\nMessage-ID:              <testabcd.1234@silly.test>\n\nTesting.\n",
			`("Thu,      13        Feb          1969      23:32               -0330 (Newfoundland Time)" NIL (("Pete" NIL "pete" "silly.test")) (("Pete" NIL "pete" "silly.test")) (("Pete" NIL "pete" "silly.test")) ` +
				`((NIL NIL "A Group" NIL)("Chris Jones" NIL "c" "public.example")(NIL NIL "joe" "example.org")("John" NIL "jdoe" "one.test")(NIL NIL NIL NIL)) ` +
				`((NIL NIL "Hidden recipients" NIL)(NIL NIL NIL NIL)) NIL NIL "<testabcd.1234@silly.test>")`,
			"1969-02-14T03:02:00Z", "[]"},
		{"A.6.1, obsolete addressing",
			"From: Joe Q. Public <john.q.public@example.com>\nTo: Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example\nDate: Tue, 1 Jul 2003 10:52:37 +0200\nMessage-ID: <5678.21-Nov-1997@example.com>\n\nHi everyone.\n",
			`("Tue, 1 Jul 2003 10:52:37 +0200" NIL (("Joe Q. Public" NIL "john.q.public" "example.com")) (("Joe Q. Public" NIL "john.q.public" "example.com")) (("Joe Q. Public" NIL "john.q.public" "example.com")) ` +
				`(("Mary Smith" "@node.test" "mary" "example.net")(NIL NIL "jdoe" "test.example")) NIL NIL NIL "<5678.21-Nov-1997@example.com>")`,
			"2003-07-01T08:52:37Z", "[]"},
		{"A.6.2, obsolete dates", "Date: 21 Nov 97 09:55:06 GMT\n" + hello,
			`("21 Nov 97 09:55:06 GMT" NIL NIL NIL NIL NIL NIL NIL NIL NIL)`, "1997-11-21T09:55:06Z", "[]"},
		{"A.6.3, obsolete white space and comments",
			"From  : John Doe <jdoe@machine(comment).  example>\nTo    : Mary Smith\n  \n          <mary@example.net>\nSubject     : Saying Hello\nDate  : Fri, 21 Nov 1997 09(comment):   55  :  06 -0600\nMessage-ID  : <1234   @   local(blah)  .machine .example>\n" + hello,
			`("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600" "Saying Hello" (` + john + `) (` + john + `) (` + john + `) (` + mary + `) NIL NIL NIL "<1234   @   local(blah)  .machine .example>")`,
			"1997-11-21T15:55:06Z", "[]"},
	} {
		t.Run(c.section, func(t *testing.T) {
			t.Parallel()
			d := checkMessage(t, crlf(c.msg))
			if got := string(d.Envelope()); got != c.envelope {
				t.Errorf("envelope\n got %s\nwant %s", got, c.envelope)
			}
			if at, ok := d.SentTime(); !ok || at.Format(time.RFC3339) != c.sent {
				t.Errorf("sent %v", at)
			}
			if got := fmt.Sprint(collect(d)); got != c.references {
				t.Errorf("references %s", got)
			}
			if strings.HasPrefix(c.section, "A.6.3") && string(d.MessageID()) != "1234@local.machine.example" {
				t.Errorf("message id %s", d.MessageID())
			}
		})
	}
}

// The message of the transcript in RFC 9051 §8.
func TestMessageOfTheSampleConnection(t *testing.T) {
	t.Parallel()
	head := crlf(`
Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev2 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

`)
	msg := head + strings.Repeat(strings.Repeat("x", 30)+"\r\n", 91) + strings.Repeat("y", 3028-91*32-2) + "\r\n"
	d := checkMessage(t, msg)
	if n := d.HeaderSize(); n != 342 {
		t.Errorf("header of %d bytes", n)
	}
	if got := string(d.Body()); got != `("TEXT" "PLAIN" ("charset" "US-ASCII") NIL NIL "7BIT" 3028 92)` {
		t.Errorf("body %s", got)
	}
}

// The digest of RFC 2046 §5.1.5 and the alternatives of §5.1.4.
func TestExamplesOfRFC2046(t *testing.T) {
	t.Parallel()
	digest := crlf(`
From: Moderator-Address
To: Recipient-List
Date: Mon, 22 Mar 1994 13:34:51 +0000
Subject: Internet Digest, volume 42
MIME-Version: 1.0
Content-Type: multipart/mixed;
              boundary="---- main boundary ----"

------ main boundary ----

  ...Introductory text or table of contents...

------ main boundary ----
Content-Type: multipart/digest;
              boundary="---- next message ----"

------ next message ----

From: someone-else
Date: Fri, 26 Mar 1993 11:13:32 +0200
Subject: my opinion

  ...body goes here ...

------ next message ----

From: someone-else-again
Date: Fri, 26 Mar 1993 10:07:13 -0500
Subject: my different opinion

  ... another body goes here ...

------ next message ------

------ main boundary ------
`)
	checkMessage(t, digest)
	p := mustParse(t, digest, Limits{})
	if got, want := outline(p), "MULTIPART/MIXED(TEXT/PLAIN MULTIPART/DIGEST(MESSAGE/RFC822[TEXT/PLAIN] MESSAGE/RFC822[TEXT/PLAIN]))"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if r, err := p.Section([]uint32{2, 2, 1}, SectionAll); err != nil || digest[r.Start:r.End] != "  ... another body goes here ...\r\n" {
		t.Errorf("2.2.1 is %v, %v", r, err)
	}
	alternative := crlf(`
Content-Type: multipart/alternative; boundary=boundary42

--boundary42
Content-Type: text/plain; charset=us-ascii

  ... plain text version of message goes here ...

--boundary42
Content-Type: text/enriched

  ... RFC 1896 text/enriched version of same message
      goes here ...

--boundary42
Content-Type: application/x-whatever

  ... fanciest version of same message goes here ...

--boundary42--
`)
	d := checkMessage(t, alternative)
	if got := string(d.Preview()); got != "... plain text version of message goes here ..." {
		t.Errorf("preview %q", got)
	}
}

// The senders of RFC 2047 §8, where encoded words are in phrases and comments.
func TestExamplesOfRFC2047(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>":                                  "keith moore <moore@cs.utk.edu>",
		"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>":                          "keld jørn simonsen <keld@dkuug.dk>",
		"=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>":                         "andré pirard <pirard@vm1.ulg.ac.be>",
		"=?ISO-8859-1?Q?Olle_J=E4rnefors?= <ojarnef@admin.kth.se>":                       "olle järnefors <ojarnef@admin.kth.se>",
		"=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?= <paf@nada.kth.se>":                        "patrik fältström <paf@nada.kth.se>",
		"nsb@thumper.bellcore.com (=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)":               "םולש ןב ילטפנ <nsb@thumper.bellcore.com>",
		"Nathaniel Borenstein <nsb@thumper.bellcore.com>\r\n (=?iso-8859-8?b?7eXs?=)":    "nathaniel borenstein <nsb@thumper.bellcore.com>",
		"x@y.test (=?ISO-8859-1?Q?a?= b)":                                                "a b <x@y.test>",
		"x@y.test (=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)":                        "ab <x@y.test>",
		"x@y.test (=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)":                              "a b <x@y.test>",
		"=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>":                               "keith moore <moore@cs.utk.edu>",
		"\"=?utf-8?q?in_quotes=2C_which_is_wrong?=\" <x@y.test>":                         "in quotes, which is wrong <x@y.test>",
		"=?utf-8?q?a_=3Cevil=40x=2Etest=3E?= <x@y.test>, =?utf-8?q?b=0D=0A?= <b@y.test>": "a <evil@x.test> <x@y.test>\nb   <b@y.test>",
	} {
		d := checkMessage(t, "From: "+from+"\r\n\r\n")
		if got := strings.TrimSuffix(string(d.SearchFrom()), "\n"); got != want {
			t.Errorf("%s: got %q, want %q", from, got, want)
		}
	}
}
