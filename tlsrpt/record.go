package tlsrpt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"mox/internal/lex"
	"mox/smtp"
)

// A Pair is a field that this package does not know: an extension.
type Pair struct {
	Name, Value string
}

// A Record is the TXT record at "_smtp._tls." and a domain, RFC 8460 §3.
type Record struct {
	// RUA are where reports are to be sent, at least one and at most MaxRUA. A field
	// that is repeated adds to them.
	RUA []RUA

	// Extensions are the other fields, in the order of the record.
	Extensions []Pair
}

// A RUA is a URI for reports, as in the record. It may have a scheme that is not
// supported: RFC 8460 §3 has mailto and https.
type RUA string

// Scheme returns the scheme in lower case.
func (u RUA) Scheme() string {
	scheme, _, _ := strings.Cut(string(u), ":")
	return strings.ToLower(scheme)
}

// Address returns the address of a mailto URI. Header fields in it are ignored: a
// report is not a message that its recipient composes (RFC 6068 §4 leaves that to
// us).
func (u RUA) Address() (smtp.Address, error) {
	_, rest, _ := strings.Cut(string(u), ":")
	if u.Scheme() != "mailto" {
		return smtp.Address{}, fmt.Errorf("%q is not a mailto uri", string(u))
	}
	addr, _, _ := strings.Cut(rest, "?")
	addr, err := url.PathUnescape(addr)
	if err != nil {
		return smtp.Address{}, fmt.Errorf("%q: %w", string(u), err)
	}
	a, err := smtp.ParseAddress(addr, smtp.Lenient)
	if err != nil {
		return smtp.Address{}, fmt.Errorf("%q: %w", string(u), err)
	}
	return a, nil
}

// URL returns the URL of an https URI.
func (u RUA) URL() (*url.URL, error) {
	if u.Scheme() != "https" {
		return nil, fmt.Errorf("%q is not an https uri", string(u))
	}
	v, err := url.Parse(string(u))
	if err != nil {
		return nil, err
	}
	if v.Host == "" {
		return nil, fmt.Errorf("%q has no host", string(u))
	}
	return v, nil
}

// ErrRecordSyntax means that a record is malformed.
var ErrRecordSyntax = errors.New("tlsrpt: malformed record")

const (
	recordVersion = "v=TLSRPTv1"
	maxName       = 32 // Of a field.
)

var (
	nameFirst  = lex.Alpha.Union(lex.Digit)
	nameRest   = nameFirst.Union(lex.Bytes("_-."))
	extValue   = lex.VChar.Without(lex.Bytes("=;")) // tlsrpt-ext-value
	schemeRest = nameFirst.Union(lex.Bytes("+-."))  // RFC 3986 §3.1

	// uriChar are the characters of RFC 3986 §2 except "!", "," and ";", which RFC 8460
	// §3 wants encoded, and "%".
	uriChar = nameFirst.Union(lex.Bytes("-._~:/?#[]@$&'()*+="))
)

// String returns the record in the form in which it is published.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString(recordVersion + "; rua=")
	for i, u := range r.RUA {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(u))
	}
	for _, e := range r.Extensions {
		fmt.Fprintf(&b, "; %s=%s", e.Name, e.Value)
	}
	return b.String()
}

// isRecord reports whether a TXT record counts when there are several. RFC 8460 §3
// has "v=TLSRPTv1;", where its grammar allows white space before the semicolon.
func isRecord(txt string) bool {
	rest, ok := strings.CutPrefix(txt, recordVersion)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";")
}

// ParseRecord parses a TXT record. Errors match ErrRecordSyntax.
func ParseRecord(txt string) (Record, error) {
	s := lex.NewLimit(txt, maxRecordSize)
	r := recordFields(s)
	if err := s.Err(); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecordSyntax, err)
	}
	return r, nil
}

// tlsrpt-record = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]
// field-delim   = *WSP ";" *WSP
func recordFields(s *lex.Scanner) Record {
	defer s.In("tlsrpt-record")()
	var r Record
	s.Need(recordVersion)
	for n := 0; !s.End(); n++ {
		s.Take(lex.WSP)
		s.NeedByte(';')
		s.Take(lex.WSP)
		if n > 0 && s.End() {
			break
		}
		recordField(s, &r)
	}
	if len(r.RUA) == 0 {
		s.Fail("no field rua")
	}
	return r
}

// tlsrpt-rua       = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)
// tlsrpt-extension = tlsrpt-ext-name "=" tlsrpt-ext-value
func recordField(s *lex.Scanner, r *Record) {
	defer s.In("tlsrpt-field")()
	name := fieldName(s)
	s.NeedByte('=')
	if name != "rua" {
		value := s.NeedRun(extValue, "a value")
		r.Extensions = append(r.Extensions, Pair{name, value})
		return
	}
	for {
		u := uri(s)
		if len(r.RUA) < MaxRUA {
			r.RUA = append(r.RUA, u)
		}
		pos := s.Pos()
		s.Take(lex.WSP)
		if !s.TryByte(',') {
			s.Seek(pos)
			return
		}
		s.Take(lex.WSP)
	}
}

// tlsrpt-ext-name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
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

// tlsrpt-uri = URI, of RFC 3986 §3: scheme ":" and more. Of the rest, characters and
// percent-encoding are checked.
func uri(s *lex.Scanner) RUA {
	defer s.In("tlsrpt-uri")()
	pos := s.Pos()
	s.NeedOne(lex.Alpha, "a uri")
	s.Take(schemeRest)
	s.NeedByte(':')
	s.NeedRun(uriChar.Union(lex.Bytes("%")), "a uri")
	if !s.OK() {
		return ""
	}
	u := s.Since(pos)
	for i := 0; i < len(u); i++ {
		if u[i] == '%' && (i+2 >= len(u) || !lex.HexDig.All(u[i+1:i+3])) {
			s.FailAt(pos+i, "malformed percent-encoding")
			return ""
		}
	}
	return RUA(u)
}
