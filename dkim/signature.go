package dkim

import (
	"crypto/sha1" // For the size of a historic hash only.
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"mox/dns"
	"mox/internal/lex"
	"mox/smtp"
)

// FieldName is the name of the header field with a signature.
const FieldName = "DKIM-Signature"

// A Sig is a parsed signature, RFC 6376 §3.5.
type Sig struct {
	Algorithm     Algorithm        // a=
	Signature     []byte           // b=
	BodyHash      []byte           // bh=
	HeaderCanon   Canonicalization // c=, before the slash. May be an unknown one,
	BodyCanon     Canonicalization // and so may this, after the slash.
	Domain        dns.Domain       // d=, the SDID: who takes responsibility.
	SignedHeaders []string         // h=, in order and in the case in which they are written.
	Identity      *Identity        // i=, the AUID; nil if absent, which stands for the domain with an empty local-part.
	Length        int64            // l=, octets of the canonicalised body that were hashed; -1 if absent: all.
	QueryMethods  []string         // q=; nil if absent, which stands for "dns/txt".
	Selector      dns.Domain       // s=
	SignTime      int64            // t=, in seconds since 1970; -1 if absent. More than 12 digits are taken as math.MaxInt64.
	ExpireTime    int64            // x=, as SignTime.
	CopiedHeaders []string         // z=, decoded, each "name:value". For diagnosis only.
}

// An Identity is the agent or user on behalf of which a domain signs, RFC 6376
// §3.5 tag i=. It need not be an address.
type Identity struct {
	Localpart *smtp.Localpart // Nil if there is none before the "@".
	Domain    dns.Domain
}

// String returns for example "joe@example.org", or "@example.org".
func (i Identity) String() string {
	return i.format(false)
}

func (i Identity) format(utf8 bool) string {
	s := "@" + i.Domain.XName(utf8)
	if i.Localpart != nil {
		s = i.Localpart.String() + s
	}
	return s
}

// Signs reports whether a header field of a name is signed at least once.
func (s *Sig) Signs(name string) bool {
	return slices.ContainsFunc(s.SignedHeaders, func(h string) bool { return strings.EqualFold(h, name) })
}

// A Form says which tags a field has that is like DKIM-Signature. Tags in neither
// list are ignored.
type Form struct {
	Required string // Names of tags, separated by spaces.
	Optional string
}

// formDKIM is that of DKIM-Signature itself.
var formDKIM = Form{Required: "v a b bh d h s", Optional: "c i l q t x z"}

// ParseSignature parses the value of a DKIM-Signature field, folded or not. An
// error matches [ErrSyntax] and says which tag is wrong.
func ParseSignature(value string) (*Sig, error) {
	s, _, err := ParseForm(value, formDKIM)
	return s, err
}

// ParseForm parses the value of a field that is like DKIM-Signature, such as those
// of RFC 8617, and returns its tags too, for those that have another meaning in it.
func ParseForm(value string, form Form) (*Sig, Tags, error) {
	tags, err := ParseTags(value)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	s := &Sig{HeaderCanon: Simple, BodyCanon: Simple, Length: -1, SignTime: -1, ExpireTime: -1}
	required, optional := form.Required, form.Optional
	for _, t := range tags {
		if !hasWord(required, t.Name) && !hasWord(optional, t.Name) {
			continue
		}
		if err := s.setTag(t); err != nil {
			return nil, nil, fmt.Errorf("%w: tag %s=: %w", ErrSyntax, t.Name, err)
		}
	}
	for name := range strings.FieldsSeq(required) {
		if !tags.Has(name) {
			return nil, nil, fmt.Errorf("%w: no tag %s=", ErrSyntax, name)
		}
	}
	if err := s.check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return s, tags, nil
}

// hasWord reports whether a word is in a list of words separated by spaces.
func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// setTag parses the value of a tag.
func (s *Sig) setTag(t Tag) (err error) {
	switch t.Name {
	case "v":
		if t.Value != "1" {
			return errors.New("unknown version")
		}
	case "a":
		s.Algorithm, err = parseAlgorithm(t.Value)
	case "b":
		s.Signature, err = decodeBase64(t.Value)
		if err == nil && len(s.Signature) == 0 {
			return errors.New("empty")
		}
	case "bh":
		s.BodyHash, err = decodeBase64(t.Value)
	case "c":
		s.HeaderCanon, s.BodyCanon, err = parseCanonicalizations(t.Value)
	case "d":
		s.Domain, err = dns.ParseDomainLax(t.Value)
	case "h":
		s.SignedHeaders, err = parseNames(t.Value)
	case "i":
		s.Identity, err = parseIdentity(t.Value)
	case "l":
		s.Length, err = parseNumber(t.Value, 76)
	case "q":
		s.QueryMethods, err = splitList(t.Value, lex.VChar.Without(lex.Bytes(";:")))
	case "s":
		s.Selector, err = ParseSelector(t.Value)
	case "t":
		s.SignTime, err = parseNumber(t.Value, 12)
	case "x":
		s.ExpireTime, err = parseNumber(t.Value, 12)
	case "z":
		s.CopiedHeaders, err = parseCopied(t.Value)
	}
	return err
}

// check checks what concerns several tags.
func (s *Sig) check() error {
	size := len(s.BodyHash)
	switch {
	case s.BodyHash == nil: // Not in this form.
	case s.Algorithm.Hash == "sha256" && size != sha256.Size, s.Algorithm.Hash == "sha1" && size != sha1.Size:
		return fmt.Errorf("tag bh=: %d bytes are no %s hash", size, s.Algorithm.Hash)
	}
	if s.SignTime >= 0 && s.ExpireTime >= 0 && s.ExpireTime <= s.SignTime {
		return errors.New("tag x=: expired before it was signed")
	}
	if s.Identity != nil && !isBelow(s.Identity.Domain, s.Domain) {
		return errors.New("tag i=: domain is not d= or below it")
	}
	return nil
}

// isBelow reports whether d is parent or a subdomain of it.
func isBelow(d, parent dns.Domain) bool {
	return d.ASCII == parent.ASCII || strings.HasSuffix(d.ASCII, "."+parent.ASCII)
}

// hdrName are the bytes of hdr-name, which is field-name without a semicolon.
var hdrName = lex.FText.Without(lex.Bytes(";"))

// parseNames parses the names of signed header fields:
//
//	sig-h-tag = %x68 [FWS] "=" [FWS] hdr-name *( [FWS] ":" [FWS] hdr-name )
func parseNames(s string) ([]string, error) {
	if n := strings.Count(s, ":"); n >= MaxSignedFields {
		return nil, fmt.Errorf("more than %d names", MaxSignedFields)
	}
	return splitList(s, hdrName)
}

// parseIdentity parses:
//
//	sig-i-tag = %x69 [FWS] "=" [FWS] [ Local-part ] "@" domain-name
func parseIdentity(s string) (*Identity, error) {
	s, err := decodeQP(s, false)
	if err != nil {
		return nil, err
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return nil, errors.New(`no "@"`)
	}
	var id Identity
	if id.Domain, err = dns.ParseDomainLax(s[at+1:]); err != nil {
		return nil, err
	}
	if at > 0 {
		l, err := smtp.ParseLocalpart(s[:at], smtp.Lenient)
		if err != nil {
			return nil, err
		}
		id.Localpart = &l
	}
	return &id, nil
}

// parseNumber parses a decimal number of at most some digits. One that does not
// fit is math.MaxInt64.
func parseNumber(s string, digits int) (int64, error) {
	if !lex.Digit.All(s) {
		return 0, errors.New("not a number")
	}
	if len(s) > digits {
		// RFC 6376 §3.5 on t=: "MAY consider any value longer than 12 digits to be
		// infinite".
		return math.MaxInt64, nil
	}
	var v int64
	for i := range len(s) {
		d := int64(s[i] - '0')
		if v > (math.MaxInt64-d)/10 {
			return math.MaxInt64, nil
		}
		v = v*10 + d
	}
	return v, nil
}

// parseCopied parses copied header fields:
//
//	sig-z-tag      = %x7A [FWS] "=" [FWS] sig-z-tag-copy *( "|" [FWS] sig-z-tag-copy )
//	sig-z-tag-copy = hdr-name [FWS] ":" qp-hdr-value
func parseCopied(s string) ([]string, error) {
	var l []string
	for f := range strings.SplitSeq(s, "|") {
		name, value, ok := strings.Cut(removeFWS(f), ":")
		if !ok || !hdrName.All(name) {
			return nil, errors.New("malformed copy of a header field")
		}
		value, err := decodeQP(value, false)
		if err != nil {
			return nil, err
		}
		if len(l) == MaxSignedFields {
			return nil, fmt.Errorf("more than %d copied header fields", MaxSignedFields)
		}
		l = append(l, name+":"+value)
	}
	return l, nil
}
