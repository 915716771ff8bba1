package imapclient

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/lex"
)

// parse parses one response.
func parse(t testing.TB, input string, utf8 bool) (reply, error) {
	t.Helper()
	d := wire.NewDecoder(wire.NewReader(strings.NewReader(input), nil), wire.Options{
		Limits:   wire.Limits{Line: 1 << 20, Literal: 1 << 20, LiteralTotal: 2 << 20, Ranges: 1000},
		Response: true,
	})
	d.SetUTF8(utf8)
	if err := d.ReadLine(); err != nil {
		return reply{}, err
	}
	p := parser{Decoder: d, maxLiteral: 1 << 20}
	rep := p.response()
	return rep, d.End()
}

// untaggedCase is an untagged response without "* ", and what it is, in Go syntax, or the
// error.
type untaggedCase struct {
	name, input, want, err string
}

func runUntagged(t *testing.T, utf8 bool, cases []untaggedCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rep, err := parse(t, "* "+tc.input+"\r\n", utf8)
			if tc.err != "" {
				var serr *lex.Error
				if !errors.As(err, &serr) || serr.Error() != tc.err {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			if got := fmt.Sprintf("%T%+v", rep.untagged, rep.untagged); err != nil || strings.TrimPrefix(got, "imapclient.") != tc.want {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestUntagged(t *testing.T) {
	t.Parallel()
	runUntagged(t, false, []untaggedCase{
		{"capabilities", "CAPABILITY IMAP4rev2 AUTH=PLAIN LITERAL+", "Capability[IMAP4rev2 AUTH=PLAIN LITERAL+]", ""},
		{"a capability with a space behind", "CAPABILITY A ", "", "expected atom at column 16"},
		{"enabled extensions", "ENABLED CONDSTORE", "Enabled[CONDSTORE]", ""},
		{"nothing enabled", "ENABLED", "Enabled[]", ""},
		{"flags", `FLAGS (\Answered \Foo $Junk bar)`, `Flags[\Answered \Foo $Junk bar]`, ""},
		{"no flags", `FLAGS ()`, `Flags[]`, ""},
		{"exists", "23 EXISTS", "Exists23", ""},
		{"exists of none", "0 exists", "Exists0", ""},
		{"recent", "5 RECENT", "Recent5", ""},
		{"expunge", "44 EXPUNGE", "Expunge44", ""},
		{"expunge of nothing", "0 EXPUNGE", "", "number 0 before this at column 12"},
		{"an unknown response with a number", "1 FOO", "", "unknown response before this at column 8"},
		{"an unknown response", "FOO", "", "unknown response before this at column 6"},
		{"nothing", "", "", "expected name at column 3"},
		{"something behind", "23 EXISTS ", "", "expected end of line at column 12"},
		// RFC 7162 §3.2.10
		{"vanished earlier", "VANISHED (EARLIER) 41,43:116,118,120:211,214:540", "Vanished{Earlier:true UIDs:41,43:116,118,120:211,214:540}", ""},
		{"vanished", "VANISHED 405,407,410,425", "Vanished{Earlier:false UIDs:405,407,410,425}", ""},
		{"vanished with a star", "VANISHED 1:*", "", "number set must not have '*' or '$' at column 12"},
		{"vanished otherwise", "VANISHED (FOO) 1", "", "expected EARLIER at column 13"},
	})
}

func TestStatusResponses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		input string
		want  Status
	}{
		{"OK IMAP4rev2 server ready", Status{Type: "OK", Text: "IMAP4rev2 server ready"}},
		{"BYE", Status{}},
		{"PREAUTH hi", Status{Type: "PREAUTH", Text: "hi"}},
		{"OK [ALERT] x [y]", Status{Type: "OK", Code: Code{Name: "ALERT", Raw: "ALERT"}, Text: "x [y]"}},
		{"NO [UIDNEXT 4392] Predicted next UID", Status{Type: "NO", Code: Code{Name: "UIDNEXT", Raw: "UIDNEXT 4392", Num: 4392}, Text: "Predicted next UID"}},
		{"OK [uidvalidity 3857529045] UIDs valid", Status{Type: "OK", Code: Code{Name: "UIDVALIDITY", Raw: "uidvalidity 3857529045", Num: 3857529045}, Text: "UIDs valid"}},
		{"OK [HIGHESTMODSEQ 715194045007] x", Status{Type: "OK", Code: Code{Name: "HIGHESTMODSEQ", Raw: "HIGHESTMODSEQ 715194045007", Num: 715194045007}, Text: "x"}},
		{`OK [PERMANENTFLAGS (\Deleted \Seen \*)] Limited`, Status{Type: "OK", Code: Code{Name: "PERMANENTFLAGS", Raw: `PERMANENTFLAGS (\Deleted \Seen \*)`, Words: []string{`\Deleted`, `\Seen`, `\*`}}, Text: "Limited"}},
		{`NO [BADCHARSET (utf-8 "US-ASCII")] x`, Status{Type: "NO", Code: Code{Name: "BADCHARSET", Raw: `BADCHARSET (utf-8 "US-ASCII")`, Words: []string{"UTF-8", "US-ASCII"}}, Text: "x"}},
		{"OK [CLOSED]", Status{Type: "OK", Code: Code{Name: "CLOSED", Raw: "CLOSED"}}},
		{"NO [BADCHARSET] x", Status{Type: "NO", Code: Code{Name: "BADCHARSET", Raw: "BADCHARSET"}, Text: "x"}},
		{"NO [BADEVENT (MessageNew FlagChange)] x", Status{Type: "NO", Code: Code{Name: "BADEVENT", Raw: "BADEVENT (MessageNew FlagChange)", Words: []string{"MessageNew", "FlagChange"}}, Text: "x"}},
		{"OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] x", Status{Type: "OK", Code: Code{Name: "CAPABILITY", Raw: "CAPABILITY IMAP4rev1 AUTH=PLAIN", Words: []string{"IMAP4rev1", "AUTH=PLAIN"}}, Text: "x"}},
		// RFC 4315 §3
		{"OK [APPENDUID 38505 3955] APPEND completed", Status{Type: "OK", Code: Code{Name: "APPENDUID", Raw: "APPENDUID 38505 3955", UIDValidity: 38505, UIDs: set(3955, 3955)}, Text: "APPEND completed"}},
		{"OK [COPYUID 38505 304,319:320 3956:3958] Done", Status{Type: "OK", Code: Code{Name: "COPYUID", Raw: "COPYUID 38505 304,319:320 3956:3958", UIDValidity: 38505,
			Source: set(304, 304, 319, 320), UIDs: set(3956, 3958)}, Text: "Done"}},
		{"OK [MODIFIED 7,9] Conditional STORE failed", Status{Type: "OK", Code: Code{Name: "MODIFIED", Raw: "MODIFIED 7,9", UIDs: set(7, 7, 9, 9)}, Text: "Conditional STORE failed"}},
		{"OK [MAILBOXID (F2212ea87-6097-4256-9d51-71338625)] Success", Status{Type: "OK", Code: Code{Name: "MAILBOXID", Raw: "MAILBOXID (F2212ea87-6097-4256-9d51-71338625)", ID: "F2212ea87-6097-4256-9d51-71338625"}, Text: "Success"}},
		// RFC 9585 §4
		{"OK [MESSAGELIMIT 1000 23221] x", Status{Type: "OK", Code: Code{Name: "MESSAGELIMIT", Raw: "MESSAGELIMIT 1000 23221", Num: 1000, LastUID: 23221}, Text: "x"}},
		{"NO [MESSAGELIMIT 1000] x", Status{Type: "NO", Code: Code{Name: "MESSAGELIMIT", Raw: "MESSAGELIMIT 1000", Num: 1000}, Text: "x"}},
		{`OK [INPROGRESS ("A001" 454 1000)] Still working`, Status{Type: "OK", Code: Code{Name: "INPROGRESS", Raw: `INPROGRESS ("A001" 454 1000)`, Progress: &CodeProgress{imap.Str("A001"), imap.Number{Value: 454, OK: true}, imap.Number{Value: 1000, OK: true}}}, Text: "Still working"}},
		{`OK [INPROGRESS (NIL NIL NIL)] x`, Status{Type: "OK", Code: Code{Name: "INPROGRESS", Raw: `INPROGRESS (NIL NIL NIL)`, Progress: &CodeProgress{}}, Text: "x"}},
		{"OK [INPROGRESS] x", Status{Type: "OK", Code: Code{Name: "INPROGRESS", Raw: "INPROGRESS"}, Text: "x"}},
		{"OK [METADATA LONGENTRIES 2199] x", Status{Type: "OK", Code: Code{Name: "METADATA LONGENTRIES", Raw: "METADATA LONGENTRIES 2199", Num: 2199}, Text: "x"}},
		{"NO [METADATA MAXSIZE 1024] x", Status{Type: "NO", Code: Code{Name: "METADATA MAXSIZE", Raw: "METADATA MAXSIZE 1024", Num: 1024}, Text: "x"}},
		{"NO [METADATA TOOMANY] x", Status{Type: "NO", Code: Code{Name: "METADATA TOOMANY", Raw: "METADATA TOOMANY"}, Text: "x"}},
		{"NO [FOO a (b) \"c\"] x", Status{Type: "NO", Code: Code{Name: "FOO", Raw: "FOO a (b) \"c\""}, Text: "x"}},
	} {
		t.Run(tc.input, func(t *testing.T) {
			t.Parallel()
			rep, err := parse(t, "* "+tc.input+"\r\n", false)
			if tc.want.Type == "" {
				if err == nil {
					t.Errorf("got %+v, want an error", rep.untagged)
				}
				return
			}
			if got, want := fmt.Sprintf("%+v", rep.untagged), fmt.Sprintf("%+v", tc.want); err != nil || deref(got) != deref(want) {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
			rep, err = parse(t, "a1 "+tc.input+"\r\n", false)
			ok := tc.want.Type == "OK" || tc.want.Type == "NO"
			if ok != (err == nil) || ok && (rep.tag != "a1" || deref(fmt.Sprintf("%+v", rep.status)) != deref(fmt.Sprintf("%+v", tc.want))) {
				t.Errorf("tagged: got %+v, %v", rep, err)
			}
		})
	}
}

// deref hides addresses.
func deref(s string) string {
	if i := strings.Index(s, "Progress:0x"); i >= 0 {
		end := strings.IndexAny(s[i:], " }")
		s = s[:i] + s[i+end:]
	}
	return s
}

// set returns a set of ranges given by their ends.
func set(ends ...uint32) imap.NumSet {
	var s imap.NumSet
	for i := 0; i < len(ends); i += 2 {
		s.Ranges = append(s.Ranges, imap.NumRange{First: ends[i], Last: ends[i+1]})
	}
	return s
}

func TestProgressCode(t *testing.T) {
	t.Parallel()
	rep, err := parse(t, "* OK [INPROGRESS (\"a]\\\"\" 1 2)] x\r\n", false)
	if err != nil {
		t.Fatal(err)
	}
	p := rep.untagged.(Status).Code.Progress
	if p.Tag != imap.Str(`a]"`) || p.Done.Value != 1 || p.Goal.Value != 2 {
		t.Errorf("got %+v", p)
	}
}

func TestMalformedStatusResponses(t *testing.T) {
	t.Parallel()
	runUntagged(t, false, []untaggedCase{
		{"no space", "OK", "", "expected space at column 5"},
		{"no space behind the code", "OK [ALERT]x", "", "expected space at column 13"},
		{"no end of the code", "OK [ALERT x", "", "expected ']' at column 14"},
		{"an empty code", "OK [] x", "", "expected name at column 7, in resp-text-code"},
		{"an argument where there is none", "OK [UIDNEXT] x", "", "expected space at column 14, in resp-text-code"},
		{"a zero", "OK [UIDNEXT 0] x", "", "expected number without leading zero at column 15, in resp-text-code"},
		{"more arguments", "OK [UIDNEXT 1 2] x", "", "expected ']' at column 16"},
		{"an unknown metadata code", "OK [METADATA FOO] x", "", "unknown METADATA code before this at column 19, in resp-text-code"},
		{"a limit of zero", "OK [MESSAGELIMIT 0] x", "", "expected number without leading zero at column 20, in resp-text-code"},
		{"a goal of zero", "OK [INPROGRESS (NIL 0 0)] x", "", "goal without progress before this at column 27, in resp-text-code"},
		{"a goal without progress", "OK [INPROGRESS (NIL NIL 5)] x", "", "goal without progress before this at column 29, in resp-text-code"},
		{"a tag in a literal", "OK [INPROGRESS ({1}\r\na 1 2)] x", "", "expected quoted tag or NIL at column 19, in resp-text-code"},
		{"a set with a star", "OK [COPYUID 1 1:* 1:2] x", "", "number set must not have '*' or '$' at column 17, in resp-text-code"},
		{"text that is not ASCII", "OK é", "", "character in string that is not ASCII at column 6"},
	})
	for _, input := range []string{"a1 BYE x\r\n", "a1 FOO x\r\n", "a1\r\n", " OK x\r\n", "\r\n", "+\r\n", "*\r\n", "a1 OK x\n"} {
		if rep, err := parse(t, input, false); err == nil {
			t.Errorf("%q: got %+v", input, rep)
		}
	}
}

func TestContinuation(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{"+ idling": "idling", "+ ": "", "+ YWJj": "YWJj"} {
		if rep, err := parse(t, input+"\r\n", false); err != nil || !rep.cont || rep.text != want {
			t.Errorf("%q: got %+v, %v", input, rep, err)
		}
	}
}

func TestListResponses(t *testing.T) {
	t.Parallel()
	runUntagged(t, false, []untaggedCase{
		{"a mailbox", `LIST (\Noinferiors \Marked) "/" inbox`, `List{LSub:false Attrs:[\Noinferiors \Marked] Delimiter:47 Mailbox:Inbox ChildInfo:[] OldName:{Value: OK:false} Extended:[]}`, ""},
		{"no attributes and no delimiter", `LIST () NIL ""`, `List{LSub:false Attrs:[] Delimiter:0 Mailbox: ChildInfo:[] OldName:{Value: OK:false} Extended:[]}`, ""},
		{"a subscription", `LSUB () "." a.b`, `List{LSub:true Attrs:[] Delimiter:46 Mailbox:a.b ChildInfo:[] OldName:{Value: OK:false} Extended:[]}`, ""},
		{"a backslash as delimiter", `LIST () "\\" a`, `List{LSub:false Attrs:[] Delimiter:92 Mailbox:a ChildInfo:[] OldName:{Value: OK:false} Extended:[]}`, ""},
		// RFC 5258 §5 and RFC 9051 §6.3.9.7
		{"child info", `LIST (\NonExistent) "/" "Foo" ("CHILDINFO" ("SUBSCRIBED"))`, `List{LSub:false Attrs:[\NonExistent] Delimiter:47 Mailbox:Foo ChildInfo:[SUBSCRIBED] OldName:{Value: OK:false} Extended:[]}`, ""},
		{"an old name", `LIST () "/" new (OLDNAME ("&APw-"))`, `List{LSub:false Attrs:[] Delimiter:47 Mailbox:new ChildInfo:[] OldName:{Value:ü OK:true} Extended:[]}`, ""},
		// RFC 5258 §5, example 8
		{"other data", `LIST () "/" "Foo" ("X-Sample" ("text" ("more") 5) "tablecloth" (("edge" "lacy") ("color" "red")) X (1:* NIL) Y *)`, `List{LSub:false Attrs:[] Delimiter:47 Mailbox:Foo ChildInfo:[] OldName:{Value: OK:false} Extended:[X-SAMPLE TABLECLOTH X Y]}`, ""},
		{"no data", `LIST () "/" a ()`, `List{LSub:false Attrs:[] Delimiter:47 Mailbox:a ChildInfo:[] OldName:{Value: OK:false} Extended:[]}`, ""},
		{"an attribute without backslash", `LIST (Marked) "/" a`, "", `expected '\\' at column 9, in mailbox-list`},
		{"a delimiter of two characters", `LIST () "//" a`, "", "expected one character before this at column 15, in mailbox-list"},
		{"a delimiter without quotes", `LIST () / a`, "", "expected hierarchy delimiter at column 11, in mailbox-list"},
		{"a name in UTF-8", `LIST () "/" "ü"`, "", "character in string that is not ASCII at column 16, in mailbox-list"},
		{"a name in UTF-8 in a literal", "LIST () \"/\" {2}\r\nü", "", "invalid modified UTF-7: unencoded character at column 15, in mailbox-list"},
		{"an empty child info", `LIST () "/" a (CHILDINFO ())`, "", "expected string at column 29, in mailbox-list"},
		{"data that is too deep", `LIST () "/" a (X ` + strings.Repeat("(", 30) + strings.Repeat(")", 30) + ")", "", "extension data nested too deep at column 41, in mailbox-list"},
	})
	runUntagged(t, true, []untaggedCase{
		{"a name after UTF-8 was enabled", `LIST () "/" "ü&-"`, `List{LSub:false Attrs:[] Delimiter:47 Mailbox:ü&- ChildInfo:[] OldName:{Value: OK:false} Extended:[]}`, ""},
	})
}

func TestMailboxResponses(t *testing.T) {
	t.Parallel()
	runUntagged(t, false, []untaggedCase{
		// RFC 9051 §6.3.11
		{"status", "STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)", "MailboxStatus{Mailbox:blurdybloop Items:map[MESSAGES:231 UIDNEXT:44292] ID:}", ""},
		{"all of a status", "STATUS \"a b\" (UIDVALIDITY 1 UNSEEN 0 DELETED 2 SIZE 9223372036854775807 RECENT 0 APPENDLIMIT 257890 HIGHESTMODSEQ 0 DELETED-STORAGE 8 MAILBOXID (F1))",
			"MailboxStatus{Mailbox:a b Items:map[APPENDLIMIT:257890 DELETED:2 DELETED-STORAGE:8 HIGHESTMODSEQ:0 RECENT:0 SIZE:9223372036854775807 UIDVALIDITY:1 UNSEEN:0] ID:F1}", ""},
		{"no limit", "STATUS a (APPENDLIMIT NIL)", "MailboxStatus{Mailbox:a Items:map[] ID:}", ""},
		{"an empty status", "STATUS a ()", "MailboxStatus{Mailbox:a Items:map[] ID:}", ""},
		{"an unknown item", "STATUS a (FOO 1)", "", "unknown status item before this at column 16, in status-att-list"},
		{"an item twice", "STATUS a (UNSEEN 1 UNSEEN 2)", "", "duplicate status item before this at column 28, in status-att-list"},
		{"a UID of zero", "STATUS a (UIDNEXT 0)", "", "expected number without leading zero at column 21, in status-att-list"},
		// RFC 9051 §6.3.10
		{"namespaces", `NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/")("#public/" "/"))`, "Namespace{Personal:[{Prefix: Delimiter:47}] Other:[{Prefix:~ Delimiter:47}] Shared:[{Prefix:#shared/ Delimiter:47} {Prefix:#public/ Delimiter:47}]}", ""},
		{"no namespaces", "NAMESPACE NIL NIL NIL", "Namespace{Personal:[] Other:[] Shared:[]}", ""},
		{"namespace extensions", `NAMESPACE (("" "/" "X-PARAM" ("FLAG1" "FLAG2"))) NIL NIL`, "Namespace{Personal:[{Prefix: Delimiter:47}] Other:[] Shared:[]}", ""},
		{"two namespaces", "NAMESPACE NIL NIL", "", "expected space at column 20, in namespace-response"},
		{"an empty namespace", "NAMESPACE () NIL NIL", "", "expected '(' at column 14, in namespace-response"},
		// RFC 9208 §4.2
		{"a quota", "QUOTA \"\" (STORAGE 10 512 message 1 2)", "Quota{Root: Resources:[{Name:STORAGE Usage:10 Limit:512} {Name:MESSAGE Usage:1 Limit:2}]}", ""},
		{"a quota without resources", `QUOTA "a b" ()`, "Quota{Root:a b Resources:[]}", ""},
		{"quota roots", `QUOTAROOT INBOX "" #user/alice`, "QuotaRoot{Mailbox:Inbox Roots:[ #user/alice]}", ""},
		{"no quota roots", "QUOTAROOT comp.mail.mime", "QuotaRoot{Mailbox:comp.mail.mime Roots:[]}", ""},
		{"a quota without limit", "QUOTA a (STORAGE 10)", "", "expected space at column 22, in quota-response"},
		// RFC 2971 §3.2
		{"an id", `ID ("name" "Cyrus" "version" NIL)`, "ID" + "map[name:{Value:Cyrus OK:true} version:{Value: OK:false}]", ""},
		{"no id", "ID NIL", "IDmap[]", ""},
		{"an id field twice", `ID ("a" "b" "a" "c")`, "", "duplicate field before this at column 19, in id-response"},
		// RFC 5464 §4.4
		{"metadata", "METADATA \"INBOX\" (/private/comment \"x\" /shared/comment {3}\r\na\"b /c NIL)", `Metadata{Mailbox:Inbox Entries:[{Name:/private/comment Value:{Value:x OK:true}} {Name:/shared/comment Value:{Value:a"b OK:true}} {Name:/c Value:{Value: OK:false}}] Changed:[]}`, ""},
		{"changed metadata", `METADATA "" /shared/comment /private/comment`, "Metadata{Mailbox: Entries:[] Changed:[/shared/comment /private/comment]}", ""},
		{"empty metadata", `METADATA "" ()`, "", "expected astring at column 16, in metadata-resp"},
	})
}

func TestSearchResponses(t *testing.T) {
	t.Parallel()
	const none = "ModSeq:0 PartialRange:<nil> Partial: Extended:[] Updates:[]}"
	runUntagged(t, false, []untaggedCase{
		{"numbers", "SEARCH 2 3 6", "Search{Sort:false Nums:[2 3 6] ModSeq:0}", ""},
		{"no numbers", "SEARCH", "Search{Sort:false Nums:[] ModSeq:0}", ""},
		// RFC 7162 §3.1.6
		{"a mod-sequence", "SEARCH 2 5 (MODSEQ 917162500)", "Search{Sort:false Nums:[2 5] ModSeq:917162500}", ""},
		{"sorted numbers", "SORT 5 3 4", "Search{Sort:true Nums:[5 3 4] ModSeq:0}", ""},
		{"zero", "SEARCH 0", "", "expected number without leading zero at column 10"},
		{"other data", "SEARCH 1 (FOO 1)", "", "expected MODSEQ at column 13"},
		{"a space behind", "SEARCH 1 ", "", "expected number at column 12"},
		// RFC 9051 §7.3.4
		{"esearch", `ESEARCH UID COUNT 17 ALL 4:18,21,28`, "ESearch{Tag: Mailbox:{Value: OK:false} UIDValidity:0 UID:true Min:0 Max:0 Count:{Value:17 OK:true} All:4:18,21,28 " + none, ""},
		{"esearch with tag", `ESEARCH (TAG "a567") UID COUNT 0`, "ESearch{Tag:a567 Mailbox:{Value: OK:false} UIDValidity:0 UID:true Min:0 Max:0 Count:{Value:0 OK:true} All: " + none, ""},
		{"esearch of nothing", `ESEARCH (TAG "h")`, "ESearch{Tag:h Mailbox:{Value: OK:false} UIDValidity:0 UID:false Min:0 Max:0 Count:{Value:0 OK:false} All: " + none, ""},
		{"esearch without anything", `ESEARCH`, "ESearch{Tag: Mailbox:{Value: OK:false} UIDValidity:0 UID:false Min:0 Max:0 Count:{Value:0 OK:false} All: " + none, ""},
		{"min and max", `ESEARCH (TAG a) MIN 7 MAX 3800 MODSEQ 1236`, "ESearch{Tag:a Mailbox:{Value: OK:false} UIDValidity:0 UID:false Min:7 Max:3800 Count:{Value:0 OK:false} All: ModSeq:1236 PartialRange:<nil> Partial: Extended:[] Updates:[]}", ""},
		// RFC 7377 §3
		{"another mailbox", `ESEARCH (TAG "tag1" MAILBOX "folder1" UIDVALIDITY 1) UID ALL 4001,4003,4005,4007,4009`, "ESearch{Tag:tag1 Mailbox:{Value:folder1 OK:true} UIDValidity:1 UID:true Min:0 Max:0 Count:{Value:0 OK:false} All:4001,4003,4005,4007,4009 " + none, ""},
		{"unknown data", `ESEARCH FOO (1 "x" (y)) BAR 5 RELEVANCY (4 99)`, "ESearch{Tag: Mailbox:{Value: OK:false} UIDValidity:0 UID:false Min:0 Max:0 Count:{Value:0 OK:false} All: ModSeq:0 PartialRange:<nil> Partial: Extended:[FOO BAR RELEVANCY] Updates:[]}", ""},
		{"all with a star", "ESEARCH ALL 1:*", "", "number set must not have '*' or '$' at column 15, in esearch-response"},
		{"an unknown correlator", "ESEARCH (FOO 1)", "", "unknown search correlator before this at column 16, in esearch-response"},
		{"no value", "ESEARCH MIN", "", "expected space at column 14, in esearch-response"},
	})
	rep, err := parse(t, "* ESEARCH (TAG \"A04\") UID PARTIAL (-1:-100 5:8,9) \r\n", false)
	if err == nil {
		t.Errorf("a space at the end: got %+v", rep)
	}
	for input, want := range map[string]string{"(23500:24000 1,5:8)": "{23500 24000} 1,5:8", "(-1:-100 NIL)": "{-1 -100} "} {
		rep, err := parse(t, "* ESEARCH PARTIAL "+input+"\r\n", false)
		if err != nil {
			t.Errorf("%s: %v", input, err)
			continue
		}
		s := rep.untagged.(ESearch)
		if got := fmt.Sprintf("%v %v", *s.PartialRange, s.Partial); got != want {
			t.Errorf("%s: got %s, want %s", input, got, want)
		}
	}
}

func TestEndOfInput(t *testing.T) {
	t.Parallel()
	if _, err := parse(t, "", false); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if _, err := parse(t, "* OK {5}\r\nab", false); err != nil {
		t.Errorf("text that looks like a literal: %v", err)
	}
}
