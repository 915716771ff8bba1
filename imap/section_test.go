package imap

import (
	"math"
	"testing"
)

func TestSection(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		s    Section
		want string
	}{
		{Section{}, "[]"},
		{Section{Spec: SpecHeader}, "[HEADER]"},
		{Section{Part: []uint32{1, 2}}, "[1.2]"},
		{Section{Part: []uint32{4}, Spec: SpecMIME}, "[4.MIME]"},
		{Section{Spec: SpecHeaderFields, Fields: []string{"DATE", "FROM"}}, "[HEADER.FIELDS (DATE FROM)]"},
		{Section{Part: []uint32{3}, Spec: SpecHeaderFieldsNot, Fields: []string{`a"\`, "b c", "d]"}}, `[3.HEADER.FIELDS.NOT ("a\"\\" "b c" d])]`},
	} {
		if got := tc.s.String(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestPartialClip(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ offset, count, size, start, end int64 }{
		{0, 10, 100, 0, 10},
		{95, 10, 100, 95, 100},
		{100, 10, 100, 100, 100},
		{200, 10, 100, 100, 100},
		{1, math.MaxInt64, 100, 1, 100},
		{math.MaxInt64, math.MaxInt64, 100, 100, 100},
		{0, 1, 0, 0, 0},
	} {
		start, end := Partial{tc.offset, tc.count}.Clip(tc.size)
		if start != tc.start || end != tc.end {
			t.Errorf("%+v: got %d, %d", tc, start, end)
		}
	}
}

func TestFetchItem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		item FetchItem
		want string
		seen bool
	}{
		{FetchItem{Attr: FetchFlags}, "FLAGS", false},
		{FetchItem{Attr: FetchBody}, "BODY", false},
		{FetchItem{Attr: FetchBodySection}, "BODY[]", true},
		{FetchItem{Attr: FetchBodySection, Peek: true, Section: Section{Spec: SpecText}, Partial: &Partial{10, 20}}, "BODY.PEEK[TEXT]<10.20>", false},
		{FetchItem{Attr: FetchBinary, Section: Section{Part: []uint32{1}}}, "BINARY[1]", true},
		{FetchItem{Attr: FetchBinary, Peek: true}, "BINARY.PEEK[]", false},
		{FetchItem{Attr: FetchBinarySize, Section: Section{Part: []uint32{2, 1}}}, "BINARY.SIZE[2.1]", false},
		{FetchItem{Attr: FetchPreview, Lazy: true}, "PREVIEW (LAZY)", false},
		// RFC 3501 §6.4.5: RFC822 and RFC822.TEXT set \Seen, RFC822.HEADER does not.
		{FetchItem{Attr: FetchRFC822}, "RFC822", true},
		{FetchItem{Attr: FetchRFC822Text}, "RFC822.TEXT", true},
		{FetchItem{Attr: FetchRFC822Header}, "RFC822.HEADER", false},
	} {
		if got := tc.item.String(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
		if got := tc.item.SetsSeen(); got != tc.seen {
			t.Errorf("%s sets seen: %v, want %v", tc.want, got, tc.seen)
		}
	}
}

// RFC 9051 §6.4.5 has what the macros stand for.
func TestFetchMacro(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"FAST": "FLAGS INTERNALDATE RFC822.SIZE ",
		"ALL":  "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE ",
		"FULL": "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY ",
		"NONE": "",
	} {
		got := ""
		for _, item := range FetchMacro(name) {
			got += item.String() + " "
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestFetchAttrNames(t *testing.T) {
	t.Parallel()
	for a := FetchUID; a <= FetchThreadID; a++ {
		got, ok := ParseFetchAttr(a.String())
		if a.HasSection() {
			// BODY alone is another attribute, the others have no form without section.
			if ok && got != FetchBody {
				t.Errorf("%s without section is %s", a, got)
			}
			continue
		}
		if !ok || got != a {
			t.Errorf("%s is %s, %v", a, got, ok)
		}
	}
	if FetchAttr(0).String() != "" || FetchAttr(200).String() != "" {
		t.Error("what is no attribute has a name")
	}
	for _, name := range []string{"", "uid", "X"} {
		if a, ok := ParseFetchAttr(name); ok {
			t.Errorf("%q is %s", name, a)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"UID", "BODY", "RFC822.SIZE", "UNSEEN", "HEADER", "MESSAGES", "DELETED-STORAGE", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, ok := ParseFetchAttr(s); ok && a.String() != s {
			t.Fatalf("%q is fetch attribute %s", s, a)
		}
		if op, flag, ok := ParseSearchOp(s); ok {
			if flag == 0 && op.String() != s || flag != 0 && op != SearchFlag && op != SearchNotFlag {
				t.Fatalf("%q is search operation %d %s", s, op, flag)
			}
		}
		if item, ok := ParseStatusItem(s); ok {
			if again, ok := ParseStatusItem(string(item)); !ok || again != item {
				t.Fatalf("%q is status item %q", s, item)
			}
		}
	})
}
