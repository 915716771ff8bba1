package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mox/dns"
	"mox/internal/lex"
)

// A Filename is the name of a file with a report, RFC 9990 §3.5.2.
type Filename struct {
	Receiver   dns.Domain // Who reports.
	Domain     dns.Domain // Where the policy record is.
	Begin, End time.Time  // Whole seconds, in UTC.
	UniqueID   string     // Letters and digits, or empty.
	Extension  string     // "xml" or "xml.gz".
}

// String returns the name. Invalid characters in UniqueID are left out.
//
//	filename = receiver "!" policy-domain "!" begin-timestamp "!" end-timestamp [ "!" unique-id ] "." extension
func (f Filename) String() string {
	s := fmt.Sprintf("%s!%s!%d!%d", f.Receiver.ASCII, f.Domain.ASCII, f.Begin.Unix(), f.End.Unix())
	id := strings.Map(func(r rune) rune {
		if r < 0x80 && lex.LetDig.Has(byte(r)) {
			return r
		}
		return -1
	}, f.UniqueID)
	if id != "" {
		s += "!" + id
	}
	return s + "." + f.Extension
}

// extensions are those of RFC 9990 §3.5.2, and of zip files, which RFC 7489 did not
// have either.
var extensions = []string{"xml.gz", "xml.zip", "xml", "gz", "zip"}

// ParseFilename parses the name of a file with a report. Also accepted are
// extensions of zip files, and "-", "_" and "." in the unique id.
func ParseFilename(name string) (Filename, error) {
	s := lex.NewLimit(name, MaxNameLen)
	defer s.In("filename")()
	notMark := lex.Bytes("!").Not()
	var f Filename
	f.Receiver = needDomain(s, s.NeedRun(notMark, "a receiver"))
	s.NeedByte('!')
	f.Domain = needDomain(s, s.NeedRun(notMark, "a domain"))
	s.NeedByte('!')
	f.Begin = time.Unix(int64(s.NeedUint(maxTime)), 0).UTC()
	s.NeedByte('!')
	f.End = time.Unix(int64(s.NeedUint(maxTime)), 0).UTC()
	hasID := s.TryByte('!')
	pos := s.Pos()
	rest := s.TakeRest()
	for _, ext := range extensions {
		if id, ok := cutSuffixFold(rest, "."+ext); ok {
			f.UniqueID, f.Extension = id, ext
			break
		}
	}
	switch {
	case f.Extension == "":
		s.FailAt(pos, "expected a known extension at the end")
	case hasID && !lex.LetDig.Union(lex.Bytes("-_.")).All(f.UniqueID):
		s.FailAt(pos, "expected letters and digits")
	case !hasID && f.UniqueID != "":
		s.FailAt(pos, "expected \"!\" or the extension")
	}
	if err := s.Err(); err != nil {
		return Filename{}, fmt.Errorf("name of report: %w", err)
	}
	return f, nil
}

func cutSuffixFold(s, suffix string) (string, bool) {
	i := len(s) - len(suffix)
	if i < 0 || !strings.EqualFold(s[i:], suffix) {
		return s, false
	}
	return s[:i], true
}

func needDomain(s *lex.Scanner, text string) dns.Domain {
	d, err := dns.ParseDomainLax(strings.TrimSuffix(text, "."))
	if err != nil {
		s.Fail("malformed domain")
	}
	return d
}

// A Subject is the subject of a message with a report, RFC 9990 §3.5.2.
type Subject struct {
	Domain    dns.Domain // Where the policy record is.
	Submitter dns.Domain // Who reports.
	ReportID  string     // As in the report, without angle brackets. May be empty when parsed.
}

// String returns the subject, in one line.
func (s Subject) String() string {
	text := "Report Domain: " + s.Domain.ASCII + " Submitter: " + s.Submitter.ASCII
	if s.ReportID != "" {
		text += " Report-ID: <" + s.ReportID + ">"
	}
	return text
}

// ParseSubject parses a subject, unfolded or not:
//
//	dmarc-subject = %s"Report" 1*FWS %s"Domain:" 1*FWS domain-name 1*FWS
//	                %s"Submitter:" 1*FWS domain-name 1*FWS
//	                [ %s"Report-ID:" 1*FWS ridtxt ]
//
// Words are taken in any case, since reporters write "Report domain:". The id may
// have any characters other than white space.
func ParseSubject(text string) (Subject, error) {
	s := lex.NewLimit(strings.Trim(text, " \t\r\n"), MaxNameLen)
	defer s.In("dmarc-subject")()
	var sub Subject
	word := lex.VChar.Union(lex.NonASCII)
	fws := lex.WSP.Union(lex.CRLF)
	s.NeedFold("Report")
	s.NeedRun(fws, "white space")
	s.NeedFold("Domain:")
	s.Take(fws)
	sub.Domain = needDomain(s, s.NeedRun(word, "a domain"))
	s.NeedRun(fws, "white space")
	s.NeedFold("Submitter:")
	s.Take(fws)
	sub.Submitter = needDomain(s, s.NeedRun(word, "a domain"))
	if !s.End() {
		s.NeedRun(fws, "white space")
		s.NeedFold("Report-ID:")
		s.Take(fws)
		id := s.NeedRun(word, "an identifier")
		if in, ok := strings.CutPrefix(id, "<"); ok {
			id = strings.TrimSuffix(in, ">")
		}
		sub.ReportID = id
		s.NeedEnd()
	}
	if err := s.Err(); err != nil {
		return Subject{}, fmt.Errorf("subject of report: %w", err)
	}
	return sub, nil
}

// ValidReportID reports whether an id is fit for a report that we write, RFC 9990
// §3.5.1:
//
//	ridfmt = (dot-atom-text ["@" dot-atom-text])
func ValidReportID(id string) bool {
	local, host, ok := strings.Cut(id, "@")
	return len(id) <= MaxNameLen/2 && dotAtom(local) && (!ok || dotAtom(host))
}

func dotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if !lex.AText.All(atom) {
			return false
		}
	}
	return true
}

// formatInt is for numbers in XML.
func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
