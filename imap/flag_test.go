package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The bits are in databases.
func TestFlagBitsDoNotChange(t *testing.T) {
	t.Parallel()
	want := map[Flags]string{
		1: `\Seen`, 2: `\Answered`, 4: `\Flagged`, 8: `\Deleted`, 16: `\Draft`,
		32: "$Forwarded", 64: "$Junk", 128: "$NotJunk", 256: "$Phishing", 512: "$MDNSent",
	}
	for f, name := range want {
		if f.String() != name {
			t.Errorf("%d is %q, want %q", f, f, name)
		}
		for _, n := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got, ok := FlagByName(n); !ok || got != f {
				t.Errorf("%q is %d, %v, want %d", n, got, ok, f)
			}
		}
	}
	if FlagsAll != 1023 || FlagsSystem != 31 {
		t.Errorf("all are %d, system flags are %d", FlagsAll, FlagsSystem)
	}
	if s := (FlagSeen | FlagJunk).String(); s != `\Seen $Junk` {
		t.Errorf("got %q", s)
	}
	if !(FlagSeen | FlagJunk).Has(FlagJunk) || FlagSeen.Has(FlagSeen|FlagJunk) {
		t.Error("Has is wrong")
	}
}

func TestParseFlag(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in      string
		flag    Flags
		keyword string
		ok      bool
	}{
		{`\seen`, FlagSeen, "", true},
		{"$junk", FlagJunk, "", true},
		{"Important", 0, "important", true},
		{"$Important", 0, "$important", true},
		{"seen", 0, "seen", true},
		{"a+b=c&", 0, "a+b=c&", true},
		{strings.Repeat("x", MaxKeywordLen), 0, strings.Repeat("x", MaxKeywordLen), true},
		{`\Recent`, 0, "", false}, // Only the server can set it. RFC 3501 §2.3.2
		{`\*`, 0, "", false},
		{`\Unknown`, 0, "", false},
		{`\`, 0, "", false},
		{"", 0, "", false},
		{"a b", 0, "", false},
		{"a]", 0, "", false},
		{"a*", 0, "", false},
		{"ä", 0, "", false},
		{"a\x00", 0, "", false},
		{strings.Repeat("x", MaxKeywordLen+1), 0, "", false},
	} {
		flag, keyword, err := ParseFlag(tc.in)
		if flag != tc.flag || keyword != tc.keyword || (err == nil) != tc.ok {
			t.Errorf("%q: got %d, %q, %v, want %d, %q, ok %v", tc.in, flag, keyword, err, tc.flag, tc.keyword, tc.ok)
		}
	}
}

func TestFlagSet(t *testing.T) {
	t.Parallel()
	set, err := NewFlagSet(`\Seen`, "Zeta", "alpha", `\SEEN`, "$JUNK", "ALPHA")
	if err != nil {
		t.Fatal(err)
	}
	if set.Flags != FlagSeen|FlagJunk || !slices.Equal(set.Keywords, []string{"alpha", "zeta"}) {
		t.Errorf("got %v", set)
	}
	if s := set.String(); s != `\Seen $Junk alpha zeta` {
		t.Errorf("got %q", s)
	}
	if _, err := NewFlagSet("a", `\Foo`); err == nil {
		t.Error("unknown system flag is not refused")
	}
}

func TestFlagSetHasAtMostSoManyKeywords(t *testing.T) {
	t.Parallel()
	var set FlagSet
	for i := range MaxKeywords {
		if err := set.Add(fmt.Sprintf("k%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.Add("k0"); err != nil {
		t.Errorf("keyword that is in the set already: %v", err)
	}
	if err := set.Add(`\Seen`); err != nil {
		t.Errorf("flag: %v", err)
	}
	if err := set.Add("another"); err == nil {
		t.Error("another keyword is not refused")
	}
}

func FuzzFlag(f *testing.F) {
	for _, s := range []string{`\Seen`, "$Junk", "keyword", `\Recent`, "a b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		flag, keyword, err := ParseFlag(s)
		if err != nil {
			return
		}
		if (flag == 0) == (keyword == "") {
			t.Fatalf("%q is flag %d and keyword %q", s, flag, keyword)
		}
		again, keyword2, err := ParseFlag(flag.String() + keyword)
		if err != nil || again != flag || keyword2 != keyword {
			t.Fatalf("%q does not survive writing: %d, %q, %v", s, again, keyword2, err)
		}
		if keyword != "" {
			if k, err := ParseKeyword(s); err != nil || k != keyword {
				t.Fatalf("%q is keyword %q and %q, %v", s, keyword, k, err)
			}
		}
	})
}
