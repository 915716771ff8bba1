package imap

import (
	"strings"
	"testing"
	"time"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, ref, pattern string
		match, differ      []string
	}{
		{"a name is itself", "", "a/b", []string{"a/b"}, []string{"a", "a/b/c", "A/b", "xa/b"}},
		{"a star is everything", "", "*", []string{"a", "a/b", "Inbox"}, nil},
		{"a percent is a level", "", "%", []string{"a", "Inbox"}, []string{"a/b"}},
		{"a percent at the end", "", "a/%", []string{"a/b", "a/"}, []string{"a", "a/b/c", "b/c"}},
		{"a percent in front", "", "%/b", []string{"a/b"}, []string{"a/c/b", "b"}},
		{"a percent in the middle", "", "a/%/c", []string{"a/b/c"}, []string{"a/c", "a/b/b/c"}},
		{"a star in the middle", "", "a*c", []string{"ac", "abc", "a/b/c"}, []string{"a", "acb"}},
		{"percents with text between", "", "%b%", []string{"b", "abc", "aabb"}, []string{"a", "a/b"}},
		{"stars and percents", "", "*/%a", []string{"x/a", "x/y/ba"}, []string{"a", "x/a/b"}},
		{"a star beside a percent is a star", "", "a%*", []string{"a", "a/b"}, nil},
		{"a percent beside a star is a star", "", "a*%", []string{"a", "a/b/c"}, nil},
		{"a match is not greedy", "", "*ab", []string{"ab", "aab", "abab"}, []string{"aba"}},
		{"a percent gives up what a star then takes", "", "*%x/y", []string{"x/y", "a/x/y", "x/x/y"}, []string{"x/yy"}},
		{"inbox in any case", "", "inbox", []string{"Inbox"}, []string{"Inbox/a"}},
		{"inbox in upper case with a wildcard", "", "INB%", []string{"Inbox"}, []string{"Inbox/a"}},
		{"below inbox in any case", "", "iNbOx/%", []string{"Inbox/a"}, []string{"inbox/a", "Inbox"}},
		{"a wildcard before the end of inbox", "", "%BOX", []string{"Inbox"}, []string{"toolbox"}},
		{"other names in their case", "", "ARCH%", nil, []string{"Archive"}},
		{"what only starts like inbox in its case", "", "INBOX%", []string{"Inbox"}, []string{"Inboxes"}},
		{"a reference with delimiter", "a/", "%", []string{"a/b"}, []string{"a", "b"}},
		{"a reference without delimiter", "a", "%", []string{"a/b"}, []string{"a", "ab"}},
		{"a reference that is inbox", "INBOX", "*", []string{"Inbox/a"}, []string{"Inbox"}},
		{"a leading delimiter is nowhere", "", "/a", nil, []string{"a", "/a"}},
		{"a leading delimiter behind a reference is nowhere", "a", "/b", nil, []string{"a/b", "a//b"}},
		{"a leading delimiter of the reference is nowhere", "/", "a", nil, []string{"a", "/a"}},
		{"nothing matches nothing", "", "", nil, []string{"a"}},
		{"no regular expression", "", "a.c(d)[e]+", []string{"a.c(d)[e]+"}, []string{"abc(d)[e]+"}},
		{"characters of several bytes", "", "台%", []string{"台北"}, []string{"北台"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := NewPattern(tc.ref, tc.pattern)
			for _, name := range tc.match {
				if !p.Match(name) {
					t.Errorf("does not match %q", name)
				}
			}
			for _, name := range tc.differ {
				if p.Match(name) {
					t.Errorf("matches %q", name)
				}
			}
		})
	}
}

func TestPatternLongerThanAnyNameMatchesNothing(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("x", MaxMailboxLen)
	if !NewPattern("", strings.Repeat("x*", MaxMailboxLen)).Match(name) {
		t.Error("pattern for the longest name does not match it")
	}
	if NewPattern("", strings.Repeat("x*", MaxMailboxLen+1)).Match(name) {
		t.Error("pattern of too many characters matches")
	}
}

// A backtracking matcher would need longer than the age of the universe.
func TestPatternIsNotExponential(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("a", MaxMailboxLen)
	pattern := strings.Repeat("*a", MaxMailboxLen/2) + "b"
	done := make(chan bool)
	go func() { done <- NewPattern("", pattern).Match(name) }()
	select {
	case got := <-done:
		if got {
			t.Error("matches")
		}
	case <-time.After(time.Minute):
		t.Error("still busy after a minute")
	}
}

// simpleMatch is the definition of a match.
func simpleMatch(p, name string) bool {
	if p == "" {
		return name == ""
	}
	if p[0] == '*' || p[0] == '%' {
		for i := 0; ; i++ {
			if simpleMatch(p[1:], name[i:]) {
				return true
			}
			if i == len(name) || p[0] == '%' && name[i] == '/' {
				return false
			}
		}
	}
	return name != "" && p[0] == name[0] && simpleMatch(p[1:], name[1:])
}

func FuzzPattern(f *testing.F) {
	f.Add("*a%b", "xa/ab")
	f.Add("%/%", "a/b")
	f.Add("a*%c", "a/b/c")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 12 || len(name) > 12 || strings.Contains(strings.ToLower(name), "inbox") || strings.HasPrefix(name, "/") || pattern == "" {
			return
		}
		want := simpleMatch(pattern, name) && !strings.HasPrefix(pattern, "/")
		if got := NewPattern("", pattern).Match(name); got != want {
			t.Fatalf("%q and %q: got %v, want %v", pattern, name, got, want)
		}
	})
}

func BenchmarkPattern(b *testing.B) {
	p := NewPattern("", "Archive/*/%march%")
	for b.Loop() {
		p.Match("Archive/2026/customers/the march of time")
	}
}
