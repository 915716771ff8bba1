package message

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCanonicalMessageID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<1234@local.machine.example>":       "1234@local.machine.example",
		"  <ABC@Example.COM>\t":              "abc@example.com",
		`<"01KF8JCEOCBS0045PS"@xxx.yyy.com>`: "01kf8jceocbs0045ps@xxx.yyy.com",
		`<"a b"@x.test>`:                     `"a b"@x.test`,
		"<a (c) @ (d) b>":                    "a@b",
		`<"a..b"@x.test>`:                    `"a..b"@x.test`,
		"<a@b> (added by postmaster)":        "a@b",
		"<a@b>x":                             "<a@b>x",
		"<a @ b>":                            "a@b",
		"<no-at-sign>":                       "no-at-sign",
		"No-Brackets@x":                      "no-brackets@x",
		"<ünï@x>":                            "ünï@x",
		"<Ü@x>":                              "ü@x",
		"<a\xe9@x>":                          "aé@x",
		"<not closed@x":                      "<not closed@x",
		"":                                   "",
		"<>":                                 "",
		"<" + strings.Repeat("a", MaxMessageID) + "@x>": "",
	} {
		if got := CanonicalMessageID(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestParseReferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ refs, reply, want string }{
		{"<a@x> <B@x>\t<c@x>", "<d@x>", "a@x b@x c@x"},
		{"<a@x><b@x>,<c@x>", "", "a@x b@x c@x"},
		{"<a@\r\n x> <b @x>", "", "a@x b@x"},
		{"<a@x> <b@ <c@x> <d@x", "", "a@x c@x"},
		{"", "<d@x> <e@x>", "d@x"},
		{"junk", "Your message of Monday <d@x> from y@z", "d@x"},
		{"<>", "<>", ""},
		{`<"q"@x>`, "", "q@x"},
		{"", "", ""},
	} {
		if got := strings.Join(ParseReferences(c.refs, c.reply), " "); got != c.want {
			t.Errorf("%q, %q: got %q, want %q", c.refs, c.reply, got, c.want)
		}
	}
	var refs strings.Builder
	for i := range 3 * MaxReferences {
		fmt.Fprintf(&refs, "<%d@x> ", i)
	}
	l := ParseReferences(refs.String(), "")
	if len(l) != MaxReferences || l[0] != "0@x" || l[len(l)-1] != fmt.Sprintf("%d@x", 3*MaxReferences-1) {
		t.Errorf("%d references, from %s to %s", len(l), l[0], l[len(l)-1])
	}
	if !slices.IsSortedFunc(l[1:], func(a, b string) int { return len(a) - len(b) }) {
		t.Error("references lost their order")
	}
}

// The rules of RFC 5256 §2.1, each step and their combinations.
func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		reply    bool
	}{
		{"hello", "hello", false},
		{"Re: hello", "hello", true},
		{"RE: Fwd: FW: hello", "hello", true},
		{"Re[2]: hello", "hello", true},
		{"Re [2] : hello", "hello", true},
		{"re :hello", "hello", true},
		{"Res: hello", "res: hello", false},
		{"fwdx: hello", "fwdx: hello", false},
		{"Hello  World\t again\r\n  x", "hello world again x", false},
		{"hello (fwd)", "hello", true},
		{"hello (FWD)  (fwd) ", "hello", true},
		{"[list] hello", "hello", false},
		{"[list] Re: hello", "hello", true},
		{"Re: [list] hello", "hello", true},
		{"Re: [list] Re: [other] hello", "hello", true},
		{"[a][b] [c] hello", "hello", false},
		{"[a][b]Re: hello", "hello", true},
		{"[list]", "[list]", false},
		{"[a] [b]", "[b]", false},
		{"Re: [list]", "[list]", true},
		{"[fwd: hello]", "hello", true},
		{"[Fwd: Re: [x] hello (fwd)]", "hello", true},
		{"[fwd: [fwd: hello]]", "hello", true},
		{"[fwd: hello] world", "world", false},
		{"Re: [fwd: hello]", "hello", true},
		{"[fwd:]", "", true},
		{"Re:", "", true},
		{"Re: Re:", "", true},
		{"", "", false},
		{"   ", "", false},
		{"[unclosed hello", "[unclosed hello", false},
		{"[] hello", "hello", false},
		{"hello [list]", "hello [list]", false},
		{"Re: ÄÖ Straße", "äö straße", true},
		{"a\x00b", "", false},
	} {
		got, reply := BaseSubject(c.in)
		if got != c.want || reply != c.reply {
			t.Errorf("%q: got %q, %v, want %q, %v", c.in, got, reply, c.want, c.reply)
		}
	}
}
