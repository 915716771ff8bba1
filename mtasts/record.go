package mtasts

import (
	"fmt"
	"strings"

	"mox/internal/lex"
)

// A Pair is a field that this package does not know: an extension.
type Pair struct {
	Name, Value string
}

// A Record is the TXT record at "_mta-sts." and a domain, RFC 8461 §3.1.
type Record struct {
	// ID identifies the current policy: letters and digits, at most 32. Two policies
	// with the same ID are the same; there is no order.
	ID string

	// Extensions are the other fields, in the order of the record.
	Extensions []Pair
}

const recordVersion = "v=STSv1"

// maxName is how long a name of a field and an ID may be.
const maxName = 32

var (
	nameFirst = lex.Alpha.Union(lex.Digit)
	nameRest  = nameFirst.Union(lex.Bytes("_-."))
	extValue  = lex.VChar.Without(lex.Bytes("=;")) // sts-ext-value
	idChar    = nameFirst
)

// String returns the record in the form in which it is published.
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; id=%s;", recordVersion, r.ID)
	for _, e := range r.Extensions {
		fmt.Fprintf(&b, " %s=%s;", e.Name, e.Value)
	}
	return b.String()
}

// isRecord reports whether a TXT record is about MTA-STS, so that it counts when
// there are several. RFC 8461 §3.1 has "v=STSv1;", where its grammar allows white
// space before the semicolon.
func isRecord(txt string) bool {
	rest, ok := strings.CutPrefix(txt, recordVersion)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";")
}

// ParseRecord parses a TXT record. Names and the version are case-sensitive. Of a
// field that is repeated only the first counts (RFC 8461 §3.2). Errors match
// ErrRecordSyntax.
func ParseRecord(txt string) (Record, error) {
	s := lex.NewLimit(txt, maxRecordSize)
	r := recordFields(s)
	if err := s.Err(); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecordSyntax, err)
	}
	return r, nil
}

// sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
// sts-field-delim = *WSP ";" *WSP
func recordFields(s *lex.Scanner) Record {
	defer s.In("sts-text-record")()
	var r Record
	seen := map[string]bool{}
	s.Need(recordVersion)
	for n := 0; !s.End(); n++ {
		s.Take(lex.WSP)
		s.NeedByte(';')
		s.Take(lex.WSP)
		if n > 0 && s.End() {
			break
		}
		recordField(s, &r, seen)
	}
	if !seen["id"] {
		s.Fail("no field id")
	}
	return r
}

// sts-id        = %s"id=" 1*32(ALPHA / DIGIT)
// sts-extension = sts-ext-name "=" sts-ext-value
func recordField(s *lex.Scanner, r *Record, seen map[string]bool) {
	defer s.In("sts-field")()
	name := fieldName(s)
	s.NeedByte('=')
	isID := name == "id" && !seen[name]
	var value string
	if isID {
		pos := s.Pos()
		value = s.NeedRun(idChar, "letters and digits")
		if len(value) > maxName {
			s.FailAt(pos+maxName, "id longer than %d characters", maxName)
		}
		r.ID = value
	} else {
		value = s.NeedRun(extValue, "a value")
	}
	if !isID && !seen[name] {
		r.Extensions = append(r.Extensions, Pair{name, value})
	}
	seen[name] = true
}

// sts-ext-name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
func fieldName(s *lex.Scanner) string {
	pos := s.Pos()
	s.NeedOne(nameFirst, "a name")
	s.TakeN(nameRest, maxName-1)
	if s.PeekIs(nameRest) {
		s.Fail("name longer than %d characters", maxName)
	}
	if !s.OK() {
		return ""
	}
	return s.Since(pos)
}
