package imap

import (
	"errors"
	"strings"
	"testing"
)

func TestParseMailboxName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"a", "a"},
		{"Archive/2026", "Archive/2026"},
		{"inbox", "Inbox"},
		{"INBOX", "Inbox"},
		{"iNbOx/a", "Inbox/a"},
		{"inboxes", "inboxes"},
		{"a/inbox", "a/inbox"},
		{"Entwürfe & 100% * #1", "Entwürfe & 100% * #1"},
		{"台北", "台北"},
		{".hidden", ".hidden"},
		{"a..b/...", "a..b/..."},
		{" leading space", " leading space"},
		{strings.Repeat("x", MaxMailboxLen), strings.Repeat("x", MaxMailboxLen)},
		{strings.Repeat("x/", MaxMailboxLevels-1) + "x", strings.Repeat("x/", MaxMailboxLevels-1) + "x"},
	} {
		if got, err := ParseMailboxName(tc.in); err != nil || got != tc.want {
			t.Errorf("%q: got %q, %v, want %q", tc.in, got, err, tc.want)
		}
	}
}

func TestParseMailboxNameRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in string }{
		{"an empty name", ""},
		{"a leading slash", "/a"},
		{"a trailing slash", "a/"},
		{"a double slash", "a//b"},
		{"a dot", "a/./b"},
		{"two dots", "../b"},
		{"a hash", "#news"},
		{"a control character", "a\tb"},
		{"a delete character", "a\x7f"},
		{"a C1 control character", "a\u0085b"},
		{"a line separator", "a\u2028b"},
		{"a paragraph separator", "a\u2029b"},
		{"decomposed characters", "a\u0308"},
		{"invalid UTF-8", "a\xff"},
		{"a surrogate", "a\xed\xa0\x80"},
		{"a name that is too long", strings.Repeat("x", MaxMailboxLen+1)},
		{"a name of too many levels", strings.Repeat("x/", MaxMailboxLevels) + "x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseMailboxName(tc.in)
			var perr *Error
			if !errors.As(err, &perr) || perr.Type != TypeNO || perr.Code != CodeCannot || perr.Text == "" || got != "" {
				t.Errorf("got %q, %v, want NO [CANNOT]", got, err)
			}
		})
	}
}

func TestMailboxParent(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"a": "", "a/b": "a", "a/b/c": "a/b", "": ""} {
		if got := MailboxParent(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzMailboxName(f *testing.F) {
	for _, s := range []string{"INBOX/a", "a//b", "Entwürfe", "#x", "a\u0308", ".."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := ParseMailboxName(s)
		if err != nil {
			return
		}
		if again, err := ParseMailboxName(name); err != nil || again != name {
			t.Fatalf("%q becomes %q becomes %q, %v", s, name, again, err)
		}
		if text, err := DecodeUTF7(EncodeUTF7(name)); err != nil || text != name {
			t.Fatalf("%q does not survive UTF-7: %q, %v", name, text, err)
		}
		if parent := MailboxParent(name); parent != "" {
			if again, err := ParseMailboxName(parent); err != nil || again != parent {
				t.Fatalf("%q has parent %q, which is %q, %v", name, parent, again, err)
			}
		}
		if !NewPattern("", "*").Match(name) || !NewPattern(MailboxParent(name), "%").Match(name) {
			t.Fatalf("%q is not matched by the patterns for it", name)
		}
	})
}
