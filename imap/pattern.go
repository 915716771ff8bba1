package imap

import "strings"

// A Pattern matches mailbox names as LIST does: "*" matches anything, "%" anything
// but the hierarchy delimiter. RFC 9051 §6.3.9
type Pattern struct {
	prefix string // Literal text before the first wildcard.
	rest   string // From the first wildcard on, without runs of wildcards.
	never  bool
}

// NewPattern returns the pattern for a reference and a mailbox pattern of a LIST
// command, both in UTF-8. The reference is a level of hierarchy: a delimiter is put
// behind it if there is none. A pattern that starts with the delimiter matches
// nothing, as no mailbox name does.
func NewPattern(reference, pattern string) Pattern {
	if reference != "" && !strings.HasSuffix(reference, string(Delimiter)) {
		reference += string(Delimiter)
	}
	s := reference + pattern
	if strings.HasPrefix(s, string(Delimiter)) || strings.HasPrefix(pattern, string(Delimiter)) {
		return Pattern{never: true}
	}
	s = CanonicalInbox(collapseWildcards(s))
	literals := len(s) - strings.Count(s, "*") - strings.Count(s, "%")
	if literals > MaxMailboxLen {
		return Pattern{never: true} // It also bounds the work of Match.
	}
	i := strings.IndexAny(s, "*%")
	if i < 0 {
		i = len(s)
	}
	return Pattern{prefix: s[:i], rest: s[i:]}
}

// collapseWildcards makes one wildcard of each run of them: "*" if there is one in
// the run.
func collapseWildcards(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		if (c == '*' || c == '%') && len(b) > 0 {
			if last := b[len(b)-1]; last == '*' || last == '%' {
				if c == '*' {
					b[len(b)-1] = '*'
				}
				continue
			}
		}
		b = append(b, c)
	}
	return string(b)
}

// Match reports whether the mailbox name, as returned by [ParseMailboxName], matches.
// Its work is at most proportional to the product of the lengths of both.
func (p Pattern) Match(name string) bool {
	if p.never {
		return false
	}
	inbox := 0 // Bytes at the start of name that match in any case.
	if name == Inbox || strings.HasPrefix(name, Inbox+string(Delimiter)) {
		inbox = len(Inbox)
	}
	n := len(p.prefix)
	if len(name) < n || !equalFrom(name[:n], p.prefix, inbox) {
		return false
	}
	switch p.rest {
	case "":
		return len(name) == n
	case "*":
		return true
	case "%":
		return strings.IndexByte(name[n:], Delimiter) < 0
	}
	return matchRest(p.rest, name[n:], max(inbox-n, 0))
}

// equalFrom reports whether a and b, of equal length, are the same, in any case for
// the first fold bytes.
func equalFrom(a, b string, fold int) bool {
	fold = min(fold, len(a))
	return strings.EqualFold(a[:fold], b[:fold]) && a[fold:] == b[fold:]
}

// matchRest matches by keeping the set of positions in the pattern that some way of
// matching the name so far ends at.
func matchRest(p, name string, fold int) bool {
	cur := make([]bool, len(p)+1)
	next := make([]bool, len(p)+1)
	cur[0] = true
	skipWildcards(p, cur)
	for i := range len(name) {
		c := name[i]
		any := false
		clear(next)
		for j, ok := range cur[:len(p)] {
			if !ok {
				continue
			}
			switch pc := p[j]; {
			case pc == '*' || pc == '%' && c != Delimiter:
				next[j], any = true, true
			case pc != '%' && (pc == c || i < fold && lower(pc) == lower(c)):
				next[j+1], any = true, true
			}
		}
		if !any {
			return false
		}
		skipWildcards(p, next)
		cur, next = next, cur
	}
	return cur[len(p)]
}

// skipWildcards adds the positions that are reached when wildcards match nothing.
func skipWildcards(p string, set []bool) {
	for j := range len(p) {
		if set[j] && (p[j] == '*' || p[j] == '%') {
			set[j+1] = true
		}
	}
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
