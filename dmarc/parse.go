package dmarc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mox/internal/lex"
)

// ErrNoVersion says that a text is no policy record: it does not begin with
// v=DMARC1, or is longer than MaxRecordLen. Such texts must be ignored
// altogether.
var ErrNoVersion = errors.New("not a dmarc record: v=DMARC1 must come first")

var (
	notSep   = lex.Bytes(";").Not()
	valueSet = lex.Range(0x20, 0x7e).Without(lex.Bytes(";")) // dmarc-value
)

// ParseRecord parses the text of a TXT record, RFC 9989 §4.8:
//
//	dmarc-record  = dmarc-version *(dmarc-sep dmarc-tag) [dmarc-sep]
//	dmarc-tag     = 1*ALPHA equals 1*dmarc-value
//	dmarc-sep     = *WSP ";" *WSP
//	equals        = *WSP "=" *WSP
//	dmarc-version = "v" equals %s"DMARC1"
//
// The only error is [ErrNoVersion]. What is wrong after the version is ignored and
// has a note; see also [Record.Usable].
func ParseRecord(text string) (Record, error) {
	p := recordParser{rec: DefaultRecord(), values: map[string]string{}, dropped: map[string]bool{}}
	s := lex.New(text)
	if len(text) > MaxRecordLen || !parseVersion(s) {
		return Record{}, ErrNoVersion
	}
	for n := 0; s.TryByte(';'); n++ {
		s.Take(lex.WSP)
		if s.End() {
			break
		}
		if n == MaxTags {
			p.note("", "more than %d tags, the others are ignored", MaxTags)
			break
		}
		p.tag(s)
	}
	p.apply()
	return p.rec, nil
}

// parseVersion reads the first tag up to the separator or the end.
func parseVersion(s *lex.Scanner) bool {
	if !s.TryFold("v") {
		return false
	}
	s.Take(lex.WSP)
	if !s.TryByte('=') {
		return false
	}
	s.Take(lex.WSP)
	if !s.Try("DMARC1") {
		return false
	}
	s.Take(lex.WSP)
	return s.End() || s.PeekIs(lex.Bytes(";"))
}

// recordParser collects tags first: one that is there twice is in error both
// times.
type recordParser struct {
	rec     Record
	values  map[string]string // By tag in lower case.
	dropped map[string]bool   // Tags with a syntax error.
}

func (p *recordParser) note(tag, format string, args ...any) {
	if len(p.rec.Notes) < MaxNotes {
		p.rec.Notes = append(p.rec.Notes, Note{tag, fmt.Sprintf(format, args...)})
	}
}

// drop ignores a tag because of an error in it.
func (p *recordParser) drop(tag, format string, args ...any) {
	p.dropped[tag] = true
	p.note(tag, format, args...)
}

// knownTags are those of RFC 9989 §4.7.
var knownTags = []string{"v", "p", "sp", "np", "psd", "t", "adkim", "aspf", "fo", "rua", "ruf"}

// removedTags are those of RFC 7489 that are no more.
var removedTags = map[string]string{
	"pct": "no longer has a meaning: the policy is for all messages, and t=y is for testing",
	"ri":  "no longer has a meaning: reports are sent at least every 24 hours",
	"rf":  "no longer has a meaning: there is one format of failure reports",
}

// tag reads one tag up to the next separator.
func (p *recordParser) tag(s *lex.Scanner) {
	pos := s.Pos()
	name := strings.ToLower(s.Take(lex.Alpha))
	s.Take(lex.WSP)
	equals := s.TryByte('=')
	value := strings.Trim(s.Take(notSep), " \t")
	text := strings.TrimRight(s.Since(pos), " \t")
	if name == "" || !equals {
		if text == "" {
			p.note("", "empty tag between semicolons")
		} else {
			p.note("", "%q is not of the form tag=value", clip(text))
		}
		return
	}
	if why, ok := removedTags[name]; ok {
		p.note(name, "%s=%s %s", name, clip(value), why)
		return
	}
	switch _, again := p.values[name]; {
	case !slices.Contains(knownTags, name):
		p.note(clip(name), "unknown tag")
	case name == "v":
		p.note(name, "comes a second time")
	case again:
		p.drop(name, "comes more than once, all are ignored")
	case value == "":
		p.values[name] = ""
		p.drop(name, "has no value")
	case !valueSet.All(value):
		p.values[name] = ""
		p.drop(name, "%q has characters that are not allowed", clip(value))
	default:
		p.values[name] = value
	}
}

// apply sets the fields of the record.
func (p *recordParser) apply() {
	r := &p.rec
	keyword(p, "p", &r.Policy, PolicyNone, PolicyQuarantine, PolicyReject)
	keyword(p, "sp", &r.SubdomainPolicy, PolicyNone, PolicyQuarantine, PolicyReject)
	keyword(p, "np", &r.NonexistentPolicy, PolicyNone, PolicyQuarantine, PolicyReject)
	keyword(p, "psd", &r.PSD, PSDYes, PSDNo, PSDUnknown)
	keyword(p, "adkim", &r.ADKIM, ModeRelaxed, ModeStrict)
	keyword(p, "aspf", &r.ASPF, ModeRelaxed, ModeStrict)
	t := "n"
	keyword(p, "t", &t, "y", "n")
	r.Testing = t == "y"
	p.failure()
	r.RUA = p.uris("rua")
	r.RUF = p.uris("ruf")

	if r.Policy != "" && !p.dropped["sp"] && !p.dropped["np"] {
		return
	}
	if r.Policy == "" && !p.dropped["p"] {
		p.note("p", "is absent")
	}
	r.Policy, r.SubdomainPolicy, r.NonexistentPolicy = "", "", ""
	if len(r.RUA) > 0 {
		r.Policy = PolicyNone
		r.Assumed = true
	}
}

// take returns the value of a tag that is there and not dropped.
func (p *recordParser) take(tag string) (string, bool) {
	v, ok := p.values[tag]
	return v, ok && !p.dropped[tag]
}

// keyword sets dst if the tag has one of the words as value, in any case.
func keyword[T ~string](p *recordParser, tag string, dst *T, words ...T) {
	value, ok := p.take(tag)
	if !ok {
		return
	}
	for _, w := range words {
		if strings.EqualFold(value, string(w)) {
			*dst = w
			return
		}
	}
	p.drop(tag, "%q is not one of %q", clip(value), words)
}

// failure parses fo:
//
//	dmarc-fo   = ("0" / "1") *(":" dmarc-afrf)
//	           / dmarc-afrf [":" ("0" / "1")] [":" dmarc-afrf]
//	           / *(dmarc-afrf ":") ("0" / "1")
//	dmarc-afrf = "d" / "s"
//
// each at most once, which is a list in any order without 0 and 1 together.
func (p *recordParser) failure() {
	value, ok := p.take("fo")
	if !ok {
		return
	}
	var o FailureOptions
	fields := map[byte]*bool{'0': &o.All, '1': &o.Any, 'd': &o.DKIM, 's': &o.SPF}
	s := lex.New(strings.ToLower(value))
	for more := true; more; more = s.TryByte(':') {
		b, _ := s.TryOne(lex.Bytes("01ds"))
		f := fields[b]
		if f == nil || *f {
			p.drop("fo", "%q is not a list of different ones of 0, 1, d, s, with colons between them", clip(value))
			return
		}
		*f = true
	}
	switch {
	case !s.End():
		p.drop("fo", "%q is not a list of different ones of 0, 1, d, s, with colons between them", clip(value))
	case o.All && o.Any:
		p.drop("fo", "0 and 1 exclude each other")
	default:
		p.rec.Failure = o
	}
}

// uris parses rua and ruf:
//
//	dmarc-urilist = (dmarc-uri / obs-dmarc-uri) *(*WSP "," *WSP (dmarc-uri / obs-dmarc-uri))
//
// One that is malformed costs only itself.
func (p *recordParser) uris(tag string) []URI {
	value, ok := p.take(tag)
	if !ok {
		return nil
	}
	var l []URI
	s := lex.New(value)
	for more := true; more; more = s.TryByte(',') {
		text := strings.Trim(s.Take(lex.Bytes(",").Not()), " \t")
		u, sized, err := parseURI(text)
		switch {
		case err != nil:
			p.note(tag, "%q: %s", clip(text), err)
			continue
		case len(l) == MaxURIs:
			p.note(tag, "more than %d addresses, the others are ignored", MaxURIs)
			return l
		case sized:
			p.note(tag, "the size limit in %q no longer has a meaning", clip(text))
		}
		l = append(l, u)
	}
	return l
}
