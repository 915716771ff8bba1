package report_test

import (
	"strings"
	"testing"
	"time"

	"mox/dmarc/report"
)

func TestFilenamesAreParsedAndWritten(t *testing.T) {
	t.Parallel()
	// RFC 9990 §3.5.2.
	const sample = "mail.receiver.example!example.com!1013662812!1013749130.xml.gz"
	want := report.Filename{Receiver: domain(t, "mail.receiver.example"), Domain: domain(t, "example.com"),
		Begin: time.Unix(1013662812, 0).UTC(), End: time.Unix(1013749130, 0).UTC(), Extension: "xml.gz"}
	if got, err := report.ParseFilename(sample); err != nil || got != want || got.String() != sample {
		t.Errorf("got %+v, %v", got, err)
	}
	want.UniqueID = "a-1.b☺"
	if s := want.String(); s != "mail.receiver.example!example.com!1013662812!1013749130!a1b.xml.gz" {
		t.Errorf("got %s", s)
	}
	for _, name := range []string{
		"a.example!b.example!1!2!id.XML",
		"a.example!☺.example!1!2.xml",
		"a_b.example!b.example!1!2!1_2-3.4.xml.gz",
		"a.example!b.example!1!2.zip",
	} {
		if _, err := report.ParseFilename(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":                                       "expected a receiver at column 1, in filename",
		"!example.com!1538204542!1538463818.xml": "expected a receiver",
		"a!b!1!2":                                "expected a known extension",
		"a!b!1!2.txt":                            "expected a known extension",
		"a!b!1!2!.xml":                           "expected letters and digits",
		"a!b!1!2!a b.xml":                        "expected letters and digits",
		"a!b!1!2x.xml":                           `expected "!" or the extension`,
		"a!b!x!2.xml":                            "expected a number",
		"a!b!1!99999999999999.xml":               "number larger than",
		"a..b!c!1!2.xml":                         "malformed domain",
		"a!b c!1!2.xml":                          "malformed domain",
		"a!b":                                    `expected "!"`,
		strings.Repeat("a", 3000):                "input longer than 2000 bytes",
	} {
		if f, err := report.ParseFilename(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v, expected %q", name, f, err, want)
		}
	}
}

func TestSubjectsAreParsedAndWritten(t *testing.T) {
	t.Parallel()
	// RFC 9990 §3.5.2.
	const sample = "Report Domain: example.com\r\n    Submitter: mail.receiver.example\r\n    Report-ID: <sample-ridtxt@example.com>"
	want := report.Subject{Domain: domain(t, "example.com"), Submitter: domain(t, "mail.receiver.example"), ReportID: "sample-ridtxt@example.com"}
	got, err := report.ParseSubject(sample)
	if err != nil || got != want || got.String() != "Report Domain: example.com Submitter: mail.receiver.example Report-ID: <sample-ridtxt@example.com>" {
		t.Errorf("got %+v, %v", got, err)
	}
	for text, id := range map[string]string{
		// Of the samples of reporters.
		"Report domain: borschow.com Submitter: google.com Report-ID: 949348866075514174": "949348866075514174",
		"Report domain: ab.id.au Submitter: mimecast.org Report-ID:\r\n 157a5fe":          "157a5fe",
		"Report Domain: a.example Submitter: b.example":                                   "",
		"Report Domain:a.example Submitter:b.example Report-ID:<x>":                       "x",
	} {
		if got, err := report.ParseSubject(text); err != nil || got.ReportID != id {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                             `expected "Report" at column 1, in dmarc-subject`,
		"Re: Report Domain: a Submitter: b":            `expected "Report"`,
		"ReportDomain: a Submitter: b":                 "expected white space",
		"Report Domain: a":                             "expected white space",
		"Report Domain: a b":                           `expected "Submitter:"`,
		"Report Domain: a..b Submitter: c":             "malformed domain",
		"Report Domain: a Submitter: b c":              `expected "Report-ID:"`,
		"Report Domain: a Submitter: b Report-ID: ":    "expected an identifier",
		"Report Domain: a Submitter: b Report-ID: c d": "unexpected data",
		strings.Repeat("Report ", 1000):                "input longer",
	} {
		if got, err := report.ParseSubject(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v, expected %q", text, got, err, want)
		}
	}
	for id, want := range map[string]bool{
		"1721054318-example.com@example.org": true, "2024-03-27_example.com@example.org": true, "a": true,
		"": false, "a b": false, "a@": false, "@a": false, "a..b": false, "<a>": false, "a@b@c": false, strings.Repeat("a", 3000): false,
	} {
		if report.ValidReportID(id) != want {
			t.Errorf("id %.40q: valid is %v", id, !want)
		}
	}
}

func FuzzParseFilename(f *testing.F) {
	f.Add("mail.receiver.example!example.com!1013662812!1013749130.xml.gz")
	f.Add("a!☺.example!0!1!id.zip")
	f.Fuzz(func(t *testing.T, name string) {
		got, err := report.ParseFilename(name)
		if err != nil {
			return
		}
		again, err := report.ParseFilename(got.String())
		got.UniqueID, again.UniqueID = "", "" // Cleaned when written.
		if err != nil || got != again {
			t.Fatalf("%q: got %+v, then %+v, %v", name, got, again, err)
		}
	})
}

func FuzzParseSubject(f *testing.F) {
	f.Add("Report Domain: example.com Submitter: mail.receiver.example Report-ID: <sample-ridtxt@example.com>")
	f.Add("Report domain: a\r\n\tSubmitter: b Report-ID: >")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := report.ParseSubject(text)
		if err != nil || got.ReportID == "" {
			return
		}
		if again, err := report.ParseSubject(got.String()); err != nil || got != again {
			t.Fatalf("%q: got %+v, then %+v, %v", text, got, again, err)
		}
	})
}
