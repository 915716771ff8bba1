package mpt

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// toy answers each line that it is sent with the lines that a test has for it.
type toy struct {
	greeting string
	answers  map[string]string // By line; without CRLF, lines separated by "\n". "!" closes.
}

// dial returns a connection to the server.
func (s toy) dial(t *testing.T) func(context.Context, string) (net.Conn, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", ln.Addr().String())
	}
}

func (s toy) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	fmt.Fprintf(c, "%s\r\n", s.greeting)
	br := bufio.NewReader(c)
	for {
		l, err := br.ReadString('\n')
		if err != nil {
			return
		}
		answer, ok := s.answers[strings.TrimSuffix(l, "\r\n")]
		if answer == "!" {
			return
		}
		if ok && answer != "" {
			fmt.Fprintf(c, "%s\r\n", strings.ReplaceAll(answer, "\n", "\r\n"))
		}
	}
}

func parse(t *testing.T, text string, edits ...Edit) *File {
	t.Helper()
	f, err := Parse("file", text, edits...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, want string }{
		{"C: a\nsend b\n", `file:2: unknown line "send b"`},
		{"SUB {\nC: a\n}\n", "file:2: a line to send within SUB"},
		{"SUB {\nS: a\n", "SUB { is not closed"},
		{"}\n", "unknown line"},
	} {
		if _, err := Parse("file", tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %q", tc.text, err, tc.want)
		}
	}
	for _, tc := range []struct {
		edit Edit
		want string
	}{
		{Edit{Old: "a", New: "b"}, "without reason"},
		{Edit{Old: "x", New: "b", Why: "y"}, "what is not there"},
	} {
		if _, err := Parse("file", "C: a\n", tc.edit); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.edit, err, tc.want)
		}
	}
}

func TestParseMakesTurns(t *testing.T) {
	t.Parallel()
	f := parse(t, "# comment\nS: hello\nC: a\n\nC:\nC:  b \nS: c\nLOG INFO x\nWAIT 100\nTIMER start x\nAWAIT\nSUB {\nS: d\n}\nSESSION: 2\nC: e\nREINIT\nC: changed\nS: f\n",
		Edit{Old: "changed", New: "g", Why: "test"})
	var b strings.Builder
	for _, t := range f.turns {
		fmt.Fprintf(&b, "%s %v", t.session, t.reinit)
		for _, l := range t.send {
			fmt.Fprintf(&b, " %d>%q", l.n, l.text)
		}
		for _, l := range t.want {
			fmt.Fprintf(&b, " %d<%q", l.n, l.text)
		}
		b.WriteString("\n")
	}
	want := `1 false 2<"hello"
1 false 3>"a" 5>"" 6>" b " 7<"c" 13<"d"
2 false 16>"e"
2 true 18>"g" 19<"f"
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// responsesOf splits what a server sends into responses.
func responsesOf(t *testing.T, text string) []*response {
	t.Helper()
	c := &conn{br: bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n")), Conn: nopConn{}, timeout: time.Second}
	var l []*response
	for {
		raw, err := c.readResponse()
		if err != nil {
			return l
		}
		l = append(l, parseResponse(raw))
	}
}

type nopConn struct{ net.Conn }

func (nopConn) SetDeadline(time.Time) error { return nil }

func TestIMAPResponsesAreComparedByKindAndData(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want, got string
		differ          string // Part of the error, or empty.
	}{
		{"tagged by status", "S: a OK SELECT completed.", "a OK done", ""},
		{"other status", "S: a OK x", "a NO x", "expected but did not come"},
		{"other tag", "S: a OK x", "b OK x", "expected but did not come"},
		{"code that clients act on", `S: a NO \[TRYCREATE\] x`, "a NO x", "expected but did not come"},
		{"code that clients do not act on", `S: a OK \[MAILBOXID \(.+\)\] x`, "a OK x", ""},
		{"untagged missing", "S: \\* 1 EXISTS\nS: a OK x", "a OK x", "expected but did not come"},
		{"untagged not expected", "S: a OK x", "* SEARCH 1\na OK x", "came but was not expected: * SEARCH 1"},
		{"untagged always allowed", "S: a OK x", "* 2 RECENT\n* FLAGS (\\Seen)\n* OK [CLOSED] x\na OK x", ""},
		{"any order", "S: \\* 1 EXISTS\nS: \\* OK \\[UIDNEXT 1\\].*\nS: a OK x", "* OK [UIDNEXT 1] y\n* 1 EXISTS\na OK x", ""},
		{"other number", "S: \\* 1 EXISTS\nS: a OK x", "* 2 EXISTS\na OK x", "expected but did not come"},
		{"recent is not compared", "S: \\* 1 RECENT\nS: a OK x", "a OK x", ""},
		{"response code", "S: \\* OK \\[UIDNEXT 1\\].*\nS: a OK x", "* OK [UIDNEXT 2] y\na OK x", "expected but did not come"},
		{"response code left open", "S: \\* OK \\[UIDVALIDITY (.)*\nS: a OK x", "* OK [UIDVALIDITY 9] y\na OK x", ""},
		{"flags at least", "S: \\* FLAGS \\(\\\\Answered \\\\\\Seen( \\\\\\*)?\\)\nS: a OK x", "* FLAGS (\\Seen \\Answered $Junk)\na OK x", ""},
		{"flag missing", "S: \\* FLAGS \\(\\\\Answered \\\\Seen\\)\nS: a OK x", "* FLAGS (\\Seen)\na OK x", "expected but did not come"},
		{"no permanent flags", "S: \\* OK \\[PERMANENTFLAGS \\(\\)\\].*\nS: a OK x", "* OK [PERMANENTFLAGS ()] y\na OK x", ""},
		{"list as set", `S: \* LIST \(\\HasNoChildren \\Subscribed\) \"\.\" \"INBOX\"` + "\nS: a OK x", "* LIST (\\Subscribed \\HasNoChildren) \"/\" Inbox\na OK x", ""},
		{"list with delimiter", `S: \* LIST \(\\HasNoChildren\) "\." "a\.b"` + "\nS: a OK x", "* LIST (\\HasNoChildren) \"/\" a/b\na OK x", ""},
		{"list of other attribute", `S: \* LIST \(\\HasChildren\) "\." "a"` + "\nS: a OK x", "* LIST (\\HasNoChildren) \"/\" a\na OK x", "expected but did not come"},
		{"list of other name", `S: \* LIST \(\) "\." "a"` + "\nS: a OK x", "* LIST () \"/\" b\na OK x", "expected but did not come"},
		{"lsub attributes", `S: \* LSUB \(\) "\." "a"` + "\nS: a OK x", "* LSUB (\\HasNoChildren) \"/\" a\na OK x", ""},
		{"status items in any order", `S: \* STATUS \"a\.b\" \(MESSAGES 4 RECENT 1 UNSEEN \d+\)` + "\nS: a OK x", "* STATUS a/b (UNSEEN 2 RECENT 0 MESSAGES 4)\na OK x", ""},
		{"status value", `S: \* STATUS "a" \(MESSAGES 4\)` + "\nS: a OK x", "* STATUS a (MESSAGES 5)\na OK x", "expected but did not come"},
		{"fetch items in any order", `S: \* 1 FETCH \(FLAGS \(\\Deleted \\Recent \\Seen word\) UID 7\)` + "\nS: a OK x", "* 1 FETCH (UID 7 FLAGS (word \\Seen \\Deleted))\na OK x", ""},
		{"fetch with uid", `S: \* 1 FETCH \(FLAGS \(\\Recent\)\)` + "\nS: a OK x", "* 1 FETCH (UID 7 FLAGS ())\na OK x", ""},
		{"fetch in pieces", `S: \* 1 FETCH \(FLAGS \(\\Seen\) BODY\[\] \{3\}` + "\nS: a\nS: \\)\nS: a OK x", "* 1 FETCH (BODY[] {3}\na\n)\n* 2 FETCH (UID 1)\n* 1 FETCH (FLAGS (\\Seen))\na OK x", "came but was not expected: * 2 FETCH"},
		{"fetch of a quoted section", `S: \* 1 FETCH \(BODY\[1\] {2}` + "\nS: ab\\)\nS: a OK x", "* 1 FETCH (BODY[1] \"ab\")\na OK x", ""},
		{"fetch of other content", `S: \* 1 FETCH \(BODY\[1\] {2}` + "\nS: ab\\)\nS: a OK x", "* 1 FETCH (BODY[1] {2}\nac)\na OK x", "expected but did not come"},
		{"fetch of header fields", `S: \* 1 FETCH \(BODY\[HEADER\.FIELDS \(From To\)\] \{0\}` + "\nS: \\)\nS: a OK x", "* 1 FETCH (BODY[HEADER.FIELDS (\"FROM\" \"TO\")] NIL)\na OK x", ""},
		{"envelope", `S: \* 1 FETCH \(ENVELOPE \(".*" "s" \(\("n" NIL "a" "b"\)\) NIL\)\)` + "\nS: a OK x", "* 1 FETCH (ENVELOPE (\"date\" {1}\ns ((\"n\" NIL \"a\" \"b\")) NIL))\na OK x", ""},
		{"body structure", `S: \* 1 FETCH \(BODY \(\("TEXT" "PLAIN" \("charset" "US-ASCII" "name" "x"\) NIL NIL "7BIT" 1 1 NIL \("inline" NIL\) \("en"\)\) "MIXED"\)\)` + "\nS: a OK x", "* 1 FETCH (BODY ((\"text\" \"plain\" (\"NAME\" \"x\") NIL NIL \"7bit\" 1 1 NIL (\"INLINE\" NIL) \"en\") \"mixed\"))\na OK x", ""},
		{"expunged in any order", "S: \\* 1 EXPUNGE\nS: \\* 2 EXPUNGE\nS: a OK x", "* 3 EXPUNGE\n* 1 EXPUNGE\na OK x", ""},
		{"expunged others", "S: \\* 1 EXPUNGE\nS: \\* 1 EXPUNGE\nS: a OK x", "* 3 EXPUNGE\n* 1 EXPUNGE\na OK x", "messages expunged: [1 3], expected [1 2]"},
		{"esearch", `S: \* ESEARCH \(TAG "a"\) UID MIN 1 MAX 5 COUNT 4` + "\nS: a OK x", "* ESEARCH (TAG \"a\") UID COUNT 4 MAX 5 MIN 1\na OK x", ""},
		{"esearch without results", `S: \* ESEARCH \(TAG "a"\) UID` + "\nS: a OK x", "* ESEARCH (TAG \"a\") UID\na OK x", ""},
		{"search", "S: \\* SEARCH\nS: a OK x", "* SEARCH 1\na OK x", "expected but did not come"},
		{"continuation", `S: \+ Ok`, "+ go on", ""},
		{"bye", `S: \* BYE Unknown command.`, "* BYE [ALERT] x", ""},
		{"not an expression", `S: \* SEARCH (` + "\nS: a OK x", "* SEARCH 1\na OK x", "line 1: error parsing regexp"},
		{"cannot be parsed", `S: \* SEARCH 1` + "\nS: a OK x", "* SEARCH (1\na OK x", "cannot be parsed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := parse(t, tc.want+"\n")
			err := compare(parseWants(f.turns[0].want, map[string]bool{"a": true}), responsesOf(t, tc.got), '/')
			if tc.differ == "" && err != nil || tc.differ != "" && (err == nil || !strings.Contains(err.Error(), tc.differ)) {
				t.Errorf("got %v, want %q", err, tc.differ)
			}
		})
	}
}

func TestMailboxNamesGetTheDelimiterOfTheServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"a.1 CREATE a.b", "a.1 CREATE a/b"},
		{"a rename a.b c.d", "a rename a/b c/d"},
		{`a LIST "" a.%`, `a LIST "" a/%`},
		{"a STATUS a.b (x.y)", "a STATUS a/b (x.y)"},
		{`a STATUS "a.b c" (x.y)`, `a STATUS "a/b c" (x.y)`},
		{"a STATUS a.b", "a STATUS a/b"},
		{"a APPEND a.b (x.y) {10+}", "a APPEND a/b (x.y) {10+}"},
		{"a UID COPY 1 a.b", "a UID COPY 1 a/b"},
		{"a FETCH 1 BODY[1.2]", "a FETCH 1 BODY[1.2]"},
		{"a SELECT", "a SELECT"},
		{"a.b", "a.b"},
	} {
		if got := delimitCommand(tc.in, '/'); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestIMAPRunsSessions(t *testing.T) {
	t.Parallel()
	s := toy{"* OK hello", map[string]string{
		"l LOGIN u p":         "l OK in",
		"1 CREATE a/b":        "* LIST () \"/\" a/b\n1 OK done",
		"2 APPEND a/b {12}":   "+ go on",
		"x CREATE a.b":        "", // Content of the literal.
		"":                    "2 OK appended",
		"3 NOOP":              "3 OK done",
		"4 LOGOUT":            "* BYE bye\n4 OK done",
		"5 BOOM":              "!",
		"6 CREATE not/octets": "6 OK done",
	}}
	m := NewIMAP(Options{Dial: s.dial(t), Delimiter: '/', Login: parse(t, "C: l LOGIN u p\nS: l OK x\n")})
	err := m.Run(context.Background(), parse(t, `C: 1 CREATE a.b
S: 1 OK CREATE completed.
C: 2 APPEND a.b {12}
S: \+ Ok
C: x CREATE a.b
C:
S: 2 OK x
SESSION: 2
C: 3 NOOP
S: 3 OK x
REINIT
C: 6 CREATE not.octets
S: 6 OK x
C: 4 LOGOUT
S: \* BYE x
S: 4 OK x
SESSION: 3
S: \* OK hello
C: 5 BOOM
S: \* BYE never
`))
	if err == nil || !strings.Contains(err.Error(), "file:20: session 3: line 20: expected but did not come") || !strings.Contains(err.Error(), "+ S: (connection closed)") {
		t.Errorf("error %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestIMAPFailsWithoutGreetingOrLogin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		greeting string
		login    *File
		want     string
	}{
		{"* BYE no", nil, `greeting "* BYE no"`},
		{"* OK hello", parse(t, "C: l LOGIN u p\nS: l OK x\n"), "l NO wrong"},
	} {
		s := toy{tc.greeting, map[string]string{"l LOGIN u p": "l NO wrong"}}
		m := NewIMAP(Options{Dial: s.dial(t), Login: tc.login})
		if err := m.Run(context.Background(), parse(t, "C: 1 NOOP\nS: 1 OK x\n")); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSMTPRepliesAreComparedByCodeAndKeywords(t *testing.T) {
	t.Parallel()
	s := toy{"220 here", map[string]string{
		"ehlo x": "250-here\n250-PIPELINING\n250 AUTH PLAIN LOGIN SCRAM-SHA-1",
		"mail":   "250 ok",
		"rcpt":   "250 2.1.5 fine",
		"bad":    "500 no",
		"quit":   "!",
	}}
	for _, tc := range []struct{ text, want string }{
		{"S: 220 mydomain.tld smtp\nC: ehlo x\nC: mail\nC: rcpt\nS: 250.*\nS: 250-AUTH LOGIN PLAIN\nS: 250 PIPELINING\nS: 250 2.1.0 Sender ok\nS: 250 2.1.5 x\n", ""},
		{"S: 220 x\nC: ehlo x\nS: 250.*\nC: mail\nS: 250 ok\n", ""},
		{"S: 220 x\nC: ehlo x\nS: 250-x\nS: 250-AUTH GSSAPI\nS: 250 PIPELINING\n", `line 4: no keyword "AUTH GSSAPI"`},
		{"S: 220 x\nC: ehlo x\nS: 250-x\nS: 220 y\n", "not a line of the same reply"},
		{"S: 220 x\nC: bad\nS: 250 ok\n", "line 3: expected code 250"},
		{"S: 220 x\nC: quit\nS: 221 ok\n", "EOF"},
		{"S: hello\n", "not a reply"},
		{"S: 220 x\nSESSION: 2\nC: bad\nS: 500 no\n", "one connection"},
	} {
		err := SMTP(context.Background(), parse(t, tc.text), Options{Dial: s.dial(t)})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%q: %v, want %q", tc.text, err, tc.want)
		}
	}
}
