package wire

import (
	"errors"
	"io"
	"strings"
	"testing"

	"mox/imap"
)

// commands has the arguments of commands, made of the productions that a server uses.
var commands = map[string]func(d *Decoder){
	"NOOP":  func(d *Decoder) {},
	"LOGIN": func(d *Decoder) { d.NeedSP(); d.NeedAString(); d.NeedSP(); d.NeedAString() },
	"SELECT": func(d *Decoder) {
		d.NeedSP()
		d.NeedMailbox()
		if d.TrySP() {
			d.NeedList(func() { d.NeedName() })
		}
	},
	"LIST": func(d *Decoder) {
		d.NeedSP()
		d.NeedMailbox()
		d.NeedSP()
		if d.PeekIs('(') {
			d.NeedListOrEmpty(func() { d.NeedListMailbox() })
		} else {
			d.NeedListMailbox()
		}
	},
	"STATUS": func(d *Decoder) { d.NeedSP(); d.NeedMailbox(); d.NeedSP(); d.NeedStatusItems() },
	"APPEND": func(d *Decoder) {
		d.NeedSP()
		d.NeedMailbox()
		for d.TrySP() {
			if d.PeekIs('(') {
				d.NeedFlagList()
				d.NeedSP()
			}
			if d.PeekIs('"') {
				d.NeedDateTime()
				d.NeedSP()
			}
			d.NeedMessage()
			// An error is that of the decoder.
			_, _ = io.Copy(io.Discard, d.OpenMessage())
			d.CloseMessage()
		}
	},
	"FETCH": func(d *Decoder) {
		d.NeedSP()
		d.NeedNumSet()
		d.NeedSP()
		d.NeedFetchItems()
		if d.TrySP() {
			d.NeedList(func() { needModifier(d) })
		}
	},
	"STORE": func(d *Decoder) {
		d.NeedSP()
		d.NeedNumSet()
		d.NeedSP()
		if d.PeekIs('(') {
			d.NeedList(func() { needModifier(d) })
			d.NeedSP()
		}
		if !d.TryByte('+') {
			d.TryByte('-')
		}
		d.NeedName()
		d.NeedSP()
		d.NeedFlags()
	},
	"COPY":   func(d *Decoder) { d.NeedSP(); d.NeedNumSet(); d.NeedSP(); d.NeedMailbox() },
	"SEARCH": func(d *Decoder) { d.NeedSP(); needReturn(d); d.NeedSearchProgram() },
	"SORT": func(d *Decoder) {
		d.NeedSP()
		needReturn(d)
		d.NeedSortCriteria()
		d.NeedSP()
		d.NeedSearchCriteria()
	},
	"THREAD": func(d *Decoder) {
		d.NeedSP()
		d.NeedThreadAlgorithm()
		d.NeedSP()
		d.NeedSearchCriteria()
	},
	"SETMETADATA": func(d *Decoder) {
		d.NeedSP()
		d.NeedMailbox()
		d.NeedSP()
		d.NeedList(func() { d.NeedAString(); d.NeedSP(); d.NeedNString8() })
	},
}

// needReturn reads result options and a space, if they are there.
func needReturn(d *Decoder) {
	if d.TryName("RETURN") {
		d.NeedSP()
		d.NeedSearchReturn()
		d.NeedSP()
	}
}

// needModifier reads a modifier of FETCH or STORE.
func needModifier(d *Decoder) {
	switch d.NeedName() {
	case "CHANGEDSINCE", "UNCHANGEDSINCE":
		d.NeedSP()
		d.NeedModSeq(true)
	case "PARTIAL":
		d.NeedSP()
		d.NeedPartialRange()
	case "VANISHED":
	default:
		d.Fail("unknown modifier")
	}
}

// readCommand reads a command and returns its error.
func readCommand(d *Decoder) error {
	d.NeedTag()
	d.NeedSP()
	if d.TryName("UID") {
		d.NeedSP()
	}
	name := d.NeedName()
	if name == "MOVE" {
		name = "COPY"
	}
	args := commands[name]
	if args == nil {
		d.Fail("unknown command")
		return d.Err()
	}
	args(d)
	return d.End()
}

func FuzzCommands(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {4}\r\nuser {6+}\r\nsecret\r\nb NOOP\r\n",
		"a FOO {3+}\r\nabc\r\nb NOOP\r\n",
		"a SELECT \"INBOX\" (CONDSTORE)\r\n",
		"a LIST \"\" (% \"a b*\" {1+}\r\nx)\r\n",
		"a STATUS Entw&APw-rfe (MESSAGES UIDNEXT)\r\n",
		"a APPEND x (\\Seen foo) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc ~{2+}\r\nde\r\n",
		"a APPEND x {1000}\r\nabc",
		"a FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (a b)]<0.10>)\r\n",
		"a STORE $ +FLAGS.SILENT \\Seen foo\r\n",
		"a COPY 1,2:3 {5+}\r\nINBOX\r\n",
		"a SEARCH OR (SEEN TEXT {1+}\r\nx) NOT 1:*\r\n",
		"a UID SORT RETURN (COUNT) (REVERSE DATE) UTF-8 ALL\r\n",
		"a SEARCH RETURN (CONTEXT UPDATE (UID BODY.PEEK[HEADER.FIELDS (To)]) PARTIAL -1:-5) ALL\r\n",
		"a UID THREAD REFERENCES \"utf-8\" SUBJECT {2+}\r\n\xc3\xa9 NOT 1:*\r\n",
		"a UID FETCH 1:* FLAGS (CHANGEDSINCE 5 VANISHED PARTIAL -1:-5)\r\n",
		"a STORE 1 (UNCHANGEDSINCE 0) -FLAGS ()\r\n",
		"a SETMETADATA \"\" (/private/a ~{2+}\r\n\x00\x01 /b NIL)\r\n",
		"a NOOP\nb NOOP\r\n\r\n",
		"a LOGIN \"a\\\\\" \"b\\\"\"\r\n",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	limits := Limits{Line: 200, Literal: 100, LiteralTotal: 300, Literals: 5, Drain: 500, Ranges: 20}
	f.Fuzz(func(t *testing.T, input []byte, utf8 bool) {
		r := NewReader(strings.NewReader(string(input)), &Buffers{})
		d := NewDecoder(r, Options{Limits: limits, Continue: func() error { return nil }})
		d.SetUTF8(utf8)
		for range len(input) + 1 {
			err := d.ReadLine()
			if err == nil {
				err = readCommand(d)
			}
			if err == nil {
				continue
			}
			var perr *imap.Error
			if !errors.As(err, &perr) && err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Fatalf("unexpected kind of error: %v", err)
			}
			if d.Abandon() != nil {
				return
			}
		}
		t.Fatal("more commands than bytes")
	})
}

// Each piece of input must be read as the commands it was written as, whatever is wrong in
// those before.
func FuzzSync(f *testing.F) {
	f.Add("LOGIN a b", "secret {3+}\r\n", uint8(3))
	f.Add("SEARCH TEXT ", "a2 NOOP\r\n", uint8(1))
	f.Add("FOO \"", "", uint8(9))
	f.Fuzz(func(t *testing.T, line, literal string, n uint8) {
		if strings.ContainsAny(line, "\r\n") || strings.HasSuffix(line, "}") || len(line)+len(literal) > 1000 {
			return
		}
		// Commands with several literals, any of which may be wrong, and no line in it that
		// ends in another literal.
		var input strings.Builder
		for range n % 20 {
			input.WriteString("a " + line)
			for range n % 5 {
				e := NewEncoder(&input, nil)
				e.SetCommand(func(int64) bool { return true }, nil)
				e.Literal(int64(len(literal)), false, strings.NewReader(literal))
				e.Raw(line)
				e.Flush()
			}
			input.WriteString("\r\n")
		}
		input.WriteString("last NOOP\r\n")
		d := NewDecoder(NewReader(strings.NewReader(input.String()), nil), Options{})
		for range n % 20 {
			err := d.ReadLine()
			if err == nil {
				err = readCommand(d)
			}
			if err != nil && d.Abandon() != nil {
				t.Fatalf("cannot go on: %v", err)
			}
		}
		if err := d.ReadLine(); err != nil || string(d.Line()) != "last NOOP" {
			t.Fatalf("after %q: got %q, %v", input.String(), d.Line(), err)
		}
	})
}
