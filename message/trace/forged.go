package trace

import (
	"bytes"
	"iter"
	"strings"

	"mox/dns"
	"mox/internal/lex"
	"mox/message"
)

// Ours says which fields of a message are ours alone to add.
type Ours struct {
	// AuthservIDs are the identifiers that we use in Authentication-Results, or used
	// to use.
	AuthservIDs []string

	// Names are the names of other fields that mean something only if we have added
	// them, such as "X-Mox-Reason". They are removed whatever their value.
	Names []string
}

// RemoveForged returns a header section without the fields that claim to be ours,
// and how many there were. It is for messages from outside; RFC 8601 §5 requires
// the removal. If there are none, header itself is returned, otherwise a copy.
//
// An Authentication-Results field is removed if its identifier is one of ours, in
// any case and with A-labels or U-labels. If it cannot be parsed, it is removed if
// one of ours is anywhere in it, since a program less strict than this may take it
// for ours. One with a version that is not supported is removed too.
//
// All else stays as it is, byte for byte, also lines that are no fields. Time is
// linear in the size of the header.
func RemoveForged(header []byte, ours Ours) (kept []byte, removed int) {
	start := 0 // Of what is not in kept yet.
	for from, to := range fields(header) {
		if !ours.claimed(header[from:to]) {
			continue
		}
		kept = append(kept, header[start:from]...)
		start = to
		removed++
	}
	if removed == 0 {
		return header, 0
	}
	return append(kept, header[start:]...), removed
}

// fields iterates over the ranges of fields in a header section, which are lines
// with the continuation lines after them, up to the first blank line.
func fields(header []byte) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for i := 0; i < len(header); {
			if header[i] == '\n' || bytes.HasPrefix(header[i:], []byte("\r\n")) {
				return
			}
			from := i
			for {
				n := bytes.IndexByte(header[i:], '\n')
				if n < 0 {
					i = len(header)
					break
				}
				i += n + 1
				if i == len(header) || !lex.WSP.Has(header[i]) {
					break
				}
			}
			if !yield(from, i) {
				return
			}
		}
	}
}

// claimed reports whether a field claims to be ours.
func (o Ours) claimed(field []byte) bool {
	name, value, ok := bytes.Cut(field, []byte(":"))
	if !ok {
		return false
	}
	name = bytes.TrimRight(name, " \t\r\n") // RFC 5322 §4.5 allows space before the colon.
	for _, n := range o.Names {
		if equalFold(name, n) {
			return true
		}
	}
	return equalFold(name, FieldName) && o.claimedResults(value)
}

func equalFold(name []byte, s string) bool {
	return len(name) == len(s) && strings.EqualFold(string(name), s)
}

// claimedResults reports whether the value of an Authentication-Results field
// claims to be ours.
func (o Ours) claimedResults(value []byte) bool {
	value = bytes.TrimRight(value, "\r\n")
	a, err := Parse(string(value))
	if err != nil {
		return o.mentioned(value)
	}
	if !a.Supported() {
		return true
	}
	for _, id := range o.AuthservIDs {
		if SameAuthservID(a.AuthservID, id) {
			return true
		}
	}
	return false
}

// mentioned reports whether one of our identifiers is anywhere in a value.
func (o Ours) mentioned(value []byte) bool {
	text := string(value)
	for _, form := range []string{text, message.DecodeText(text)} {
		if o.hasDomain(form) {
			return true
		}
		form = reduce(form)
		for _, id := range o.AuthservIDs {
			if containsID(form, id) {
				return true
			}
		}
	}
	return false
}

// reduce returns s in lower case without what can be put between the characters of
// a word without changing what it means to some reader.
func reduce(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// containsID reports whether the forms of an identifier are in s, which is reduced.
func containsID(s, id string) bool {
	id = strings.TrimSuffix(id, ".")
	if strings.Contains(s, strings.ToLower(id)) {
		return true
	}
	d, err := dns.ParseDomainLax(id)
	return err == nil && (strings.Contains(s, d.ASCII) || strings.Contains(s, d.Name()))
}

// hasDomain reports whether one of our identifiers is a word of s in a form with
// A-labels and U-labels mixed, or with characters that are mapped for lookups. Words
// after MaxLen bytes are not looked at, since this is slow.
func (o Ours) hasDomain(s string) bool {
	if !strings.Contains(strings.ToLower(s), "xn--") && lex.NonASCII.Index(s) < 0 {
		return false
	}
	s = s[:min(len(s), MaxLen)]
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`;()=/,@:<>[]?"\`, r) }) {
		for _, id := range o.AuthservIDs {
			if SameAuthservID(word, id) {
				return true
			}
		}
	}
	return false
}
