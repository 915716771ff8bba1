package script

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestParseSplitsAScript(t *testing.T) {
	t.Parallel()
	s, err := Parse("x.txt", []byte("A comment\r\n# rfc: 9051 §6\n-- setup --\naccount: mjl\n# no setting\n\naccount: other  \nzone:\n    a A 1\n      b A 2\n\n    c A 3\n\nempty:\n-- talk --\n\n# comment\na> x\n-- msg.eml --\nl1\nl2\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Comment != "A comment\n# rfc: 9051 §6\n" || s.Name != "x.txt" {
		t.Errorf("comment %q, name %q", s.Comment, s.Name)
	}
	want := []Setting{{"account", "mjl"}, {"account", "other"}, {"zone", "a A 1\n  b A 2\n\nc A 3\n"}, {"empty", ""}}
	if !reflect.DeepEqual(s.Setup, want) {
		t.Errorf("setup %q, want %q", s.Setup, want)
	}
	if v, ok := s.Get("account"); !ok || v != "mjl" {
		t.Errorf("Get: %q, %v", v, ok)
	}
	if _, ok := s.Get("absent"); ok {
		t.Error("Get of an absent key")
	}
	if l := s.All("account"); !reflect.DeepEqual(l, []string{"mjl", "other"}) {
		t.Errorf("All: %q", l)
	}
	if b, ok := s.File("msg.eml"); !ok || string(b) != "l1\r\nl2\r\n" {
		t.Errorf("file: %q", b)
	}
}

func TestParseLineOfEachKind(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want line
	}{
		{"", line{}},
		{"  ", line{}},
		{"# imap1> x", line{}},
		{"imap1> a b  c ", line{op: opSend, conn: "imap1", arg: "a b  c "}},
		{"imap1>", line{op: opSend, conn: "imap1"}},
		{"imap1>  x", line{op: opSend, conn: "imap1", arg: " x"}},
		{`a_2>= "x\r\n\x00"`, line{op: opSendBytes, conn: "a_2", arg: "x\r\n\x00"}},
		{"a>> msg.eml", line{op: opSendFile, conn: "a", arg: "msg.eml"}},
		{"a<", line{op: opLine, conn: "a"}},
		{"a< * <x>", line{op: opLine, conn: "a", arg: "* <x>"}},
		{"a< ...", line{op: opLine, conn: "a", arg: "..."}},
		{"a<= `x `", line{op: opQuoted, conn: "a", arg: "x "}},
		{"a<~ .*", line{op: opRegexp, conn: "a", arg: ".*"}},
		{"a<< f", line{op: opFile, conn: "a", arg: "f"}},
		{"a<...", line{op: opSkip, conn: "a"}},
		{"a<!", line{op: opClosed, conn: "a"}},
		{"@advance 2h", line{op: opDirective, args: []string{"advance", "2h"}}},
		{`@x  a "b c" $v`, line{op: opDirective, args: []string{"x", "a", "b c", "$v"}}},
		{"smtp1+ starttls now", line{op: opDirective, conn: "smtp1", args: []string{"starttls", "smtp1", "now"}}},
	} {
		got, err := parseLine(0, tc.text)
		tc.want.text = tc.text
		if tc.want.conn == "smtp1" {
			got.arg = ""
		}
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %+v, %v, want %+v", tc.text, got, err, tc.want)
		}
	}
}

func TestParseErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"", `x: no file "talk"`},
		{"-- talk --\n-- talk --\n", `x: file "talk" occurs twice`},
		{"-- setup --\n\nbad\n-- talk --\n", `x: setup line 2: not "key: value": "bad"`},
		{"-- setup --\n  indented: x\n-- talk --\n", "setup line 1"},
		{"-- talk --\n\na > x\n", "talk line 2: no operator"},
		{"-- talk --\n> x\n", "no name of a connection"},
		{"-- talk --\n1a> x\n", "no name of a connection"},
		{"-- talk --\na>x\n", "no space after operator"},
		{"-- talk --\na<?\n", "no space after operator"},
		{"-- talk --\na\n", "no operator"},
		{"-- talk --\na>= x\n", "not a quoted string"},
		{"-- talk --\na<... x\n", "text after operator"},
		{"-- talk --\n@\n", "no name of a directive"},
		{"-- talk --\na+\n", "no name of a directive"},
		{"-- talk --\n@x \"a\n", "quoted argument"},
		{"-- talk --\na>> absent\n", `x: talk line 1: no file "absent"`},
		{"-- talk --\na<{\n}\n", "talk line 2: empty block"},
		{"-- talk --\na<{\na< x\n", "talk line 2: block without end"},
		{"-- talk --\na<{\na> x\n}\n", "talk line 2: a block can only have lines that expect a line"},
		{"-- talk --\na<{\nb< x\n}\n", `talk line 2: the block is for connection "a"`},
		{"-- talk --\na<{\na<\tx\n}\n", "talk line 2: no space"},
	} {
		_, err := Parse("x", []byte(tc.in))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: got %v, want %s", tc.in, err, tc.want)
		}
	}
	if _, err := ParseFile("testdata/absent.txt"); err == nil {
		t.Error("absent file")
	}
}

func TestExampleInTheReadmeParses(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for l := range strings.Lines(string(readme)) {
		if strings.HasPrefix(l, "## ") {
			break // The example comes before the first section.
		}
		if strings.HasPrefix(l, "    ") || strings.TrimSpace(l) == "" {
			b.WriteString(strings.TrimPrefix(l, "    "))
		}
	}
	s, err := Parse("README.md", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := s.Get("zone"); v != "mail.example.org. A 127.0.0.1\n" {
		t.Errorf("zone is %q", v)
	}
	if len(s.talk) < 9 || len(s.files["hello.eml"]) != len("Subject: hello\r\n\r\nHello!\r\n\r\n") {
		t.Errorf("%d lines, file %q", len(s.talk), s.files["hello.eml"])
	}
	for _, o := range operators {
		if !strings.Contains(string(readme), "| `imap1"+string(o)) {
			t.Errorf("operator %q is not in the table", string(o))
		}
	}
}

func newRun(vars map[string]string) *Run {
	return &Run{script: &Script{files: map[string][]byte{"m": []byte("12345\r\n")}}, vars: vars}
}

func TestVariablesExpandInWhatIsSent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want, err string }{
		{"plain", "plain", ""},
		{"a $uid b", "a 17 b", ""},
		{"$uid$uid", "1717", ""},
		{"${uid}x", "17x", ""},
		{"$uid.5", "17.5", ""},
		{"cost $$5 $5 $", "cost $5 $5 $", ""},
		{"($$Junk)", "($Junk)", ""},
		{"$$$uid", "$17", ""},
		{"{${size:m}}", "{7}", ""},
		{"$absent", "", "variable $absent has no value"},
		{"${size:absent}", "", "has no value"},
		{"${uid", "", "${ without a name and }"},
		{"${}", "", "${ without a name and }"},
	} {
		got, err := newRun(map[string]string{"uid": "17"}).expand(tc.in)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: got %q, %v", tc.in, got, err)
		}
	}
}

func TestExpectationsMatchAndBind(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		op        op
		arg, text string
		ok        bool
		bound     map[string]string
	}{
		{opLine, "* OK", "* OK", true, nil},
		{opLine, "* OK", "* OK x", false, nil},
		{opLine, "a.c", "abc", false, nil}, // Literal.
		{opLine, "", "", true, nil},
		{opLine, "[UIDVALIDITY $v] x", "[UIDVALIDITY 12] x", true, map[string]string{"v": "12"}},
		{opLine, "[UIDVALIDITY $v] x", "[UIDVALIDITY ] x", false, nil},
		{opLine, "$v x", "a b x", false, nil}, // Not over spaces.
		{opLine, "$a:$b", "1:2:3", true, map[string]string{"a": "1", "b": "2:3"}},
		{opLine, "$a $a", "1 1", true, map[string]string{"a": "1"}},
		{opLine, "$a $a", "1 2", false, nil},
		{opLine, "$uid", "17", true, nil},
		{opLine, "$uid", "18", false, nil},
		{opLine, "$$Junk $$", "$Junk $", true, nil},
		{opLine, "{${size:m}}", "{7}", true, nil},
		{opQuoted, "a\t$uid ", "a\t$uid ", true, nil},
		{opQuoted, "a", "a ", false, nil},
		{opRegexp, `a|b`, "b", true, nil},
		{opRegexp, `a|b`, "bc", false, nil}, // As a whole.
		{opRegexp, `OK (?P<n>\d+)$`, "OK 5", true, map[string]string{"n": "5"}},
		{opRegexp, `OK (?P<uid>\d+)`, "OK 17", true, nil},
		{opRegexp, `OK (?P<uid>\d+)`, "OK 18", false, nil},
		{opRegexp, `(?P<x>.) (?P<x>.)`, "1 1", true, map[string]string{"x": "1"}},
		{opRegexp, `OK $dot`, "OK a.b", true, nil},
		{opRegexp, `OK $dot`, "OK axb", false, nil},
		{opRegexp, `\$uid $$uid`, "$uid $uid", true, nil},
		{opRegexp, `a|$`, "", true, nil},
	} {
		r := newRun(map[string]string{"uid": "17", "dot": "a.b"})
		m, err := r.matcher(line{op: tc.op, arg: tc.arg})
		if err != nil {
			t.Errorf("%s %s: %v", tc.op, tc.arg, err)
			continue
		}
		if ok := r.match(m, tc.text); ok != tc.ok {
			t.Errorf("%s %s: %q matches: %v", tc.op, tc.arg, tc.text, ok)
		}
		delete(r.vars, "uid")
		delete(r.vars, "dot")
		if len(r.vars) != len(tc.bound) || len(tc.bound) > 0 && !reflect.DeepEqual(r.vars, tc.bound) {
			t.Errorf("%s %s: bound %v, want %v", tc.op, tc.arg, r.vars, tc.bound)
		}
	}
	for _, l := range []line{{op: opRegexp, arg: "("}, {op: opRegexp, arg: "$absent"}, {op: opLine, arg: "${size:absent}"}, {op: opLine, arg: "${x"}, {op: opRegexp, arg: "${x"}} {
		if _, err := newRun(nil).matcher(l); err == nil {
			t.Errorf("%s %s: no error", l.op, l.arg)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("comment\n-- setup --\na: b\nz:\n  x\n-- talk --\na> $x\na<~ (?P<y>.)\na<{\na< 1\n}\n@d \"x\"\n")
	f.Add("-- talk --\na<< m\na+ x\na<...\na<!\na>= \"\\n\"\n-- m --\n1\n")
	f.Fuzz(func(t *testing.T, in string) {
		s, err := Parse("x", []byte(in))
		if err != nil {
			return
		}
		for _, l := range s.talk {
			r := newRun(map[string]string{})
			_, _ = r.expand(l.arg)
			if m, err := r.matcher(l); err == nil && l.op == opQuoted && !r.match(m, l.arg) {
				t.Fatalf("%q does not match itself", l.arg)
			}
		}
	})
}
