package imapclient

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/imap"
	"mox/internal/testkit"
	"mox/message"
)

// fetched parses a FETCH response of message 12.
func fetched(t testing.TB, items string) (*FetchData, error) {
	t.Helper()
	rep, err := parse(t, "* 12 FETCH ("+items+")\r\n", false)
	f, _ := rep.untagged.(*FetchData)
	return f, err
}

// The example of RFC 9051 §8.
func TestFetchExample(t *testing.T) {
	t.Parallel()
	f, err := fetched(t, `FLAGS (\Seen) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 4286 ENVELOPE `+
		`("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" `+
		`(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) `+
		`(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) `+
		`((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL `+
		`"<B27397-0100000@cac.washington.ed>") BODY ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92)`)
	if err != nil {
		t.Fatal(err)
	}
	gray := []imap.Address{{Name: imap.Str("Terry Gray"), Mailbox: imap.Str("gray"), Host: imap.Str("cac.washington.edu")}}
	want := &FetchData{
		Seq:          12,
		Items:        []imap.FetchAttr{imap.FetchFlags, imap.FetchInternalDate, imap.FetchRFC822Size, imap.FetchEnvelope, imap.FetchBody},
		Flags:        []string{`\Seen`},
		InternalDate: time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600)),
		Size:         4286,
		Envelope: &imap.Envelope{
			Date:    imap.Str("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"),
			Subject: imap.Str("IMAP4rev2 WG mtg summary and minutes"),
			From:    gray,
			Sender:  gray,
			ReplyTo: gray,
			To:      []imap.Address{{Mailbox: imap.Str("imap"), Host: imap.Str("cac.washington.edu")}},
			CC: []imap.Address{
				{Mailbox: imap.Str("minutes"), Host: imap.Str("CNRI.Reston.VA.US")},
				{Name: imap.Str("John Klensin"), Mailbox: imap.Str("KLENSIN"), Host: imap.Str("MIT.EDU")},
			},
			MessageID: imap.Str("<B27397-0100000@cac.washington.ed>"),
		},
		BodyStructure: &imap.BodyStructure{Type: "TEXT", Subtype: "PLAIN", Params: []imap.Param{{Name: "CHARSET", Value: "US-ASCII"}}, Encoding: "7BIT", Octets: 3028, Lines: 92},
	}
	if !f.InternalDate.Equal(want.InternalDate) {
		t.Errorf("got date %v", f.InternalDate)
	}
	f.InternalDate = want.InternalDate
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got %s, want %s", toJSON(f), toJSON(want))
	}
	if !f.Has(imap.FetchBody) || f.Has(imap.FetchUID) {
		t.Error("Has is wrong")
	}
}

func toJSON(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestFetchItems(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		want        string // Of the fields in the function.
	}{
		{"numbers", "UID 7 RFC822.SIZE 9223372036854775807 MODSEQ (12121231000)", "7 9223372036854775807 12121231000"},
		// RFC 8474 §5.3
		{"identifiers", "EMAILID (M6d99ac3275bb4e) THREADID (T64b478a75b7ea9)", "M6d99ac3275bb4e T64b478a75b7ea9"},
		{"no thread", "THREADID NIL", ""},
		{"save date", `SAVEDATE "17-Jul-1996 02:44:25 +0000"`, "1996-07-17T02:44:25Z"},
		{"no save date", "SAVEDATE NIL", ""},
		{"flags", `FLAGS (\Recent foo $X \Foo)`, `[\Recent foo $X \Foo]`},
		{"a preview", "PREVIEW {4}\r\na\"\r\n", "{a\"\r\n true}"},
		{"no preview", "PREVIEW NIL", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, err := fetched(t, tc.input)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			add := func(v any, zero bool) {
				if !zero {
					got = append(got, fmt.Sprint(v))
				}
			}
			add(f.UID, f.UID == 0)
			add(f.Size, f.Size == 0)
			add(f.ModSeq, f.ModSeq == 0)
			add(f.EmailID, f.EmailID == "")
			add(f.ThreadID, f.ThreadID == "")
			add(f.SaveDate.Format(time.RFC3339), f.SaveDate.IsZero())
			add(f.Flags, f.Flags == nil)
			add(f.Preview, !f.Preview.OK)
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("got %q, want %q", s, tc.want)
			}
		})
	}
}

func TestFetchSections(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		input string
		want  FetchSection
	}{
		{"BODY[] {5}\r\nhello", FetchSection{Attr: imap.FetchBodySection, Size: 5, Literal: true, Data: []byte("hello")}},
		{"BODY[1.2.MIME] \"a\\\"b\"", FetchSection{Attr: imap.FetchBodySection, Section: imap.Section{Part: []uint32{1, 2}, Spec: imap.SpecMIME}, Size: 3, Data: []byte(`a"b`)}},
		{"BODY[TEXT]<100> {0}\r\n", FetchSection{Attr: imap.FetchBodySection, Section: imap.Section{Spec: imap.SpecText}, Offset: imap.Number{Value: 100, OK: true}, Literal: true}},
		{"BODY[HEADER.FIELDS (From {2}\r\nTo)] NIL", FetchSection{Attr: imap.FetchBodySection, Section: imap.Section{Spec: imap.SpecHeaderFields, Fields: []string{"From", "To"}}, NIL: true}},
		{"BINARY[1] ~{3}\r\n\x00\x01\x02", FetchSection{Attr: imap.FetchBinary, Section: imap.Section{Part: []uint32{1}}, Size: 3, Literal: true, Binary: true, Data: []byte{0, 1, 2}}},
		{"BINARY[]<0> \"x\"", FetchSection{Attr: imap.FetchBinary, Offset: imap.Number{OK: true}, Size: 1, Data: []byte("x")}},
		{"BINARY.SIZE[3] 500", FetchSection{Attr: imap.FetchBinarySize, Section: imap.Section{Part: []uint32{3}}, Size: 500}},
		{"RFC822 {2}\r\nhi", FetchSection{Attr: imap.FetchRFC822, Size: 2, Literal: true, Data: []byte("hi")}},
		{"RFC822.HEADER \"\"", FetchSection{Attr: imap.FetchRFC822Header, Data: []byte{}}},
		{"RFC822.TEXT NIL", FetchSection{Attr: imap.FetchRFC822Text, NIL: true}},
	} {
		t.Run(tc.input, func(t *testing.T) {
			t.Parallel()
			// Twice, for what comes behind a literal.
			f, err := fetched(t, tc.input+" "+tc.input)
			if err != nil || len(f.Sections) != 2 {
				t.Fatalf("got %+v, %v", f, err)
			}
			for _, s := range f.Sections {
				if len(s.Data) == 0 && len(tc.want.Data) == 0 {
					s.Data = tc.want.Data
				}
				if !reflect.DeepEqual(s, tc.want) {
					t.Errorf("got %+v, want %+v", s, tc.want)
				}
			}
		})
	}
}

func TestMalformedFetch(t *testing.T) {
	t.Parallel()
	runUntagged(t, false, []untaggedCase{
		{"nothing", "1 FETCH ()", "", "expected name at column 12, in msg-att"},
		{"no list", "1 FETCH UID 7", "", "expected '(' at column 11, in msg-att"},
		{"no number", "FETCH (UID 7)", "", "unknown response before this at column 8"},
		{"message zero", "0 FETCH (UID 7)", "", "number 0 before this at column 10"},
		{"an unknown item", "1 FETCH (FOO 7)", "", "unknown fetch item before this at column 15, in msg-att"},
		{"no end", "1 FETCH (UID 7", "", "expected ')' at column 17, in msg-att"},
		{"UID zero", "1 FETCH (UID 0)", "", "expected number without leading zero at column 16, in msg-att"},
		{"two spaces", "1 FETCH (UID 7  FLAGS ())", "", "expected name at column 18, in msg-att"},
		{"a mod-sequence without parentheses", "1 FETCH (MODSEQ 7)", "", "expected '(' at column 19, in msg-att"},
		{"PEEK in a response", "1 FETCH (BODY.PEEK[] NIL)", "", "unknown fetch item before this at column 21, in msg-att"},
		{"a count in a response", "1 FETCH (BODY[]<0.10> NIL)", "", "expected '>' at column 20, in msg-att"},
		{"an atom for a section", "1 FETCH (BODY[] foo)", "", "expected literal at end of line at column 19, in msg-att"},
		{"a literal8 that is not binary", "1 FETCH (BODY[] ~{1}\r\nx)", "", "literal8 is not allowed here at column 19, in msg-att"},
		{"a non-synchronizing literal", "1 FETCH (BODY[] {1+}\r\nx)", "", "server must not send a non-synchronizing literal at column 19, in msg-att"},
		{"another UID in UIDFETCH", "5 UIDFETCH (UID 6)", "", "other UID than that of the response before this at column 20, in msg-att"},
	})
}

// RFC 9586 §3.3
func TestUIDFetch(t *testing.T) {
	t.Parallel()
	rep, err := parse(t, "* 25996 UIDFETCH (FLAGS (\\Seen) UID 25996)\r\n", false)
	f, ok := rep.untagged.(*FetchData)
	if err != nil || !ok || f.Seq != 0 || f.UID != 25996 || !f.UIDOnly {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestBodyStructures(t *testing.T) {
	t.Parallel()
	text := func(subtype string, octets, lines int64) imap.BodyStructure {
		return imap.BodyStructure{Type: "TEXT", Subtype: subtype, Params: []imap.Param{{Name: "CHARSET", Value: "US-ASCII"}}, Encoding: "7BIT", Octets: octets, Lines: lines}
	}
	for _, tc := range []struct {
		name, input string
		want        imap.BodyStructure
	}{
		// RFC 9051 §7.5.2 has the first two.
		{"a text", `("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2279 48)`, text("PLAIN", 2279, 48)},
		{"two parts", `(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1152 23)("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") ` +
			`"<960723163407.20117h@cac.washington.edu>" "Compiler diff" "BASE64" 4554 73) "MIXED")`,
			imap.BodyStructure{Type: "multipart", Subtype: "MIXED", Parts: []imap.BodyStructure{
				text("PLAIN", 1152, 23),
				{Type: "TEXT", Subtype: "PLAIN", Params: []imap.Param{{Name: "CHARSET", Value: "US-ASCII"}, {Name: "NAME", Value: "cc.diff"}},
					ID: imap.Str("<960723163407.20117h@cac.washington.edu>"), Description: imap.Str("Compiler diff"), Encoding: "BASE64", Octets: 4554, Lines: 73},
			}}},
		{"a basic type", `("image" "png" NIL NIL NIL "base64" 12)`, imap.BodyStructure{Type: "image", Subtype: "png", Encoding: "base64", Octets: 12}},
		{"a part of extension data", `("image" "png" NIL NIL NIL "base64" 12 "md5")`,
			imap.BodyStructure{Type: "image", Subtype: "png", Encoding: "base64", Octets: 12, Ext: &imap.BodyExt{MD5: imap.Str("md5")}}},
		{"all extension data", `("image" "png" NIL NIL NIL "base64" 12 NIL ("attachment" ("filename" "a b")) ("en" "de") "loc")`,
			imap.BodyStructure{Type: "image", Subtype: "png", Encoding: "base64", Octets: 12, Ext: &imap.BodyExt{
				Disposition: &imap.Disposition{Type: "attachment", Params: []imap.Param{{Name: "filename", Value: "a b"}}},
				Language:    []string{"en", "de"}, Location: imap.Str("loc")}}},
		{"future extension data", `("image" "png" NIL NIL NIL "base64" 12 NIL ("inline" NIL) "en" NIL 5 ("x" (NIL 7)) NIL)`,
			imap.BodyStructure{Type: "image", Subtype: "png", Encoding: "base64", Octets: 12, Ext: &imap.BodyExt{
				Disposition: &imap.Disposition{Type: "inline"}, Language: []string{"en"}}}},
		{"extension data of a multipart", `(("TEXT" "HTML" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1 2) "MIXED" ("boundary" "x") NIL NIL NIL)`,
			imap.BodyStructure{Type: "multipart", Subtype: "MIXED", Parts: []imap.BodyStructure{text("HTML", 1, 2)}, Params: []imap.Param{{Name: "boundary", Value: "x"}}, Ext: &imap.BodyExt{}}},
		{"a message", `("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 100 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "HTML" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1 2) 9)`,
			imap.BodyStructure{Type: "MESSAGE", Subtype: "RFC822", Encoding: "7BIT", Octets: 100, Lines: 9, Envelope: &imap.Envelope{}, Body: new(text("HTML", 1, 2))}},
		{"an internationalized message", `("MESSAGE" "GLOBAL" NIL NIL NIL "7BIT" 100 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "HTML" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1 2) 9)`,
			imap.BodyStructure{Type: "MESSAGE", Subtype: "GLOBAL", Encoding: "7BIT", Octets: 100, Lines: 9, Envelope: &imap.Envelope{}, Body: new(text("HTML", 1, 2))}},
		{"an internationalized message as basic", `("MESSAGE" "GLOBAL" NIL NIL NIL "7BIT" 100 NIL)`,
			imap.BodyStructure{Type: "MESSAGE", Subtype: "GLOBAL", Encoding: "7BIT", Octets: 100, Ext: &imap.BodyExt{}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, err := fetched(t, "BODYSTRUCTURE "+tc.input)
			if err != nil || !reflect.DeepEqual(*f.BodyStructure, tc.want) {
				t.Fatalf("got %s, %v, want %s", toJSON(f), err, toJSON(tc.want))
			}
			_, err = fetched(t, "BODY "+tc.input)
			if hasExt := tc.want.Ext != nil; (err != nil) != hasExt {
				t.Errorf("as BODY, which has no extension data: %v", err)
			}
		})
	}
}

func TestMalformedBodyStructures(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`()`, `("TEXT" "PLAIN")`, `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5)`, `("TEXT" "PLAIN" () NIL NIL "7BIT" 5 1)`, `("TEXT" "PLAIN" ("a") NIL NIL "7BIT" 5 1)`,
		`("TEXT" "PLAIN" NIL NIL NIL NIL 5 1)`, `(TEXT PLAIN NIL NIL NIL "7BIT" 5 1)`, `("multipart" "mixed" NIL NIL NIL "7BIT" 5)`,
		`("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 100)`, `("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 100 NIL)`,
		`("image" "png" NIL NIL NIL "7BIT" 5 NIL ("inline"))`, `("image" "png" NIL NIL NIL "7BIT" 5 NIL NIL ())`,
		`(("image" "png" NIL NIL NIL "7BIT" 5) )`, `(("image" "png" NIL NIL NIL "7BIT" 5))`, `(("image" "png" NIL NIL NIL "7BIT" 5) ("image" "png" NIL NIL NIL "7BIT" 5) "mixed")`,
		`("image" "png" NIL NIL NIL "7BIT" 5 NIL NIL NIL NIL ` + strings.Repeat("(", 30) + "1" + strings.Repeat(")", 30) + ")",
		strings.Repeat("(", 200) + `"image" "png" NIL NIL NIL "7BIT" 5` + strings.Repeat(` "mixed")`, 200),
	} {
		if f, err := fetched(t, "BODYSTRUCTURE "+in); err == nil {
			t.Errorf("%.100s: got %s", in, toJSON(f.BodyStructure))
		}
	}
	for _, in := range []string{
		`()`, `(NIL NIL NIL NIL NIL NIL NIL NIL NIL)`, `(NIL NIL () NIL NIL NIL NIL NIL NIL NIL)`, `(NIL NIL ((NIL NIL NIL)) NIL NIL NIL NIL NIL NIL NIL)`,
		`(NIL NIL ((NIL NIL NIL NIL) (NIL NIL NIL NIL)) NIL NIL NIL NIL NIL NIL NIL)`, `(x NIL NIL NIL NIL NIL NIL NIL NIL NIL)`,
	} {
		if f, err := fetched(t, "ENVELOPE "+in); err == nil {
			t.Errorf("%s: got %s", in, toJSON(f.Envelope))
		}
	}
}

// What the message package writes for a corpus of messages must be of the syntax that this
// parser takes, and keep what it is made from.
func TestStructuresOfRealMessages(t *testing.T) {
	t.Parallel()
	root := testkit.Shared(t, "testdata/mail")
	n := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n", "\r\n")
		part, err := message.Parse(strings.NewReader(text), int64(len(text)), message.Limits{})
		if err != nil {
			return err
		}
		n++
		f, err := fetched(t, fmt.Sprintf("ENVELOPE %s BODYSTRUCTURE %s BODY %s", part.Envelope, message.AppendBodyStructure(nil, part), message.AppendBody(nil, part)))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		if !strings.EqualFold(f.BodyStructure.Subtype, part.Subtype) || len(f.BodyStructure.Parts) != len(part.Parts) {
			t.Errorf("%s: got %s", path, toJSON(f.BodyStructure))
		}
		return nil
	})
	if err != nil || n < 50 {
		t.Errorf("%d messages, %v", n, err)
	}
}
