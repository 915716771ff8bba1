package message

import "strings"

// CanonicalMessageID returns the value of a Message-ID field in the form in which
// identifiers are compared: without angle brackets, white space and comments, in
// lower case, the left side without quoting that it does not need (RFC 5256 §3 wants
// the last).
// What is no proper identifier is kept as it is, in lower case; one longer than
// MaxMessageID gives none.
func CanonicalMessageID(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > MaxMessageID {
		return ""
	}
	if strings.HasPrefix(s, "<") {
		if n := strings.IndexByte(s, '>'); n > 0 && (n+1 == len(s) || isSpace(s[n+1])) {
			return canonicalID(s[1:n])
		}
	}
	return strings.ToLower(validUTF8String(s))
}

// canonicalID handles what is between the brackets.
func canonicalID(s string) string {
	if strings.ContainsAny(s, "(\" \t\r\n") {
		var b strings.Builder
		toks := tokens{s: s}
		for t := toks.next(); t.kind != tokenEnd; t = toks.next() {
			if t.kind == tokenQuoted && !isDotAtom(t.text) {
				t.text = quote(t.text)
			}
			b.WriteString(t.text)
		}
		s = b.String()
	}
	return strings.ToLower(validUTF8String(s))
}

// ParseReferences returns the canonical message identifiers of References and, if
// that has none, the first of In-Reply-To (RFC 5256 §3), given their values. White
// space inside an identifier is dropped, one without its closing bracket is passed
// over. Of more than MaxReferences, the first and the last ones are kept.
func ParseReferences(references, inReplyTo string) []string {
	l := messageIDs(references, MaxReferences)
	if len(l) == 0 {
		l = messageIDs(inReplyTo, 1)
	}
	return l
}

// messageIDs collects what is between angle brackets. With a limit of one, the
// first is kept.
func messageIDs(s string, limit int) []string {
	var l []string
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			return l
		}
		s = s[i+1:]
		n := strings.IndexAny(s, "<>")
		if n < 0 {
			return l
		}
		if s[n] == '<' || n == 0 || n > MaxMessageID {
			s = s[n:]
			continue
		}
		id := canonicalID(s[:n])
		s = s[n+1:]
		if id == "" {
			continue
		}
		if len(l) == limit {
			if limit == 1 {
				return l
			}
			l = append(l[:1], l[2:]...)
		}
		l = append(l, id)
	}
}
