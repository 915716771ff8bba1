package report_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mox/dmarc/report"
	"mox/internal/testkit"
)

// samples are the reports in testdata/reports of the shared data, with what is in
// them by reading or counting elements by other means.
var samples = []struct {
	file        string
	org, domain string
	records     int
	messages    int64
	notes       int
	err         string // Part of the error, if there must be one.
	why         string
}{
	{file: "aggregate/!example.com!1538204542!1538463818.xml", org: "", domain: "example.com", records: 1, messages: 1},
	{file: "aggregate/!large-example.com!1711897200!1711983600.xml", org: "", domain: "example.com", records: 2286, messages: 2286},
	{file: "aggregate/Report domain- borschow.com Submitter- google.com Report-ID- 949348866075514174.eml", org: "google.com", domain: "borschow.com", records: 1, messages: 1},
	{file: "aggregate/addisonfoods.com!example.com!1536105600!1536191999.xml", org: "addisonfoods.com", domain: "example.com", records: 1, messages: 1},
	{file: "aggregate/empty_reason.xml", org: "example.org", domain: "example.com", records: 1, messages: 2, notes: 1,
		why: "the schema wants a type in a reason; one without any says nothing"},
	{file: "aggregate/estadocuenta1.infonacot.gob.mx!example.com!1536853302!1536939702!2940.xml.zip", org: "XYZ Corporation", domain: "example.com", records: 1, messages: 1},
	{file: "aggregate/example.net!example.com!1529366400!1529452799.xml", org: "example.net", domain: "example.com", records: 1, messages: 1,
		why: "text between elements"},
	{file: "aggregate/fastmail.com!example.com!1516060800!1516147199!102675056.xml.gz", org: "FastMail Pty Ltd", domain: "indemed.com", records: 1, messages: 1},
	{file: "aggregate/ikea.com!example.de!1538690400!1538776800.xml", org: "ikea.com", domain: "example.de", records: 1, messages: 1, notes: 1,
		why: "in an element of an XML schema that is never closed"},
	{file: "aggregate/invalid_utf_8.xml", org: "", domain: "example.com", records: 1, messages: 1},
	{file: "aggregate/invalid_xml.xml", err: "element feedback/report_metadata/email, line 5: xml syntax",
		why: "the publisher of the samples has it among the good ones, repairs XML and guesses; this is not XML, where RFC 9990 §3.1.1 wants XML"},
	{file: "aggregate/mimecast-weird-gzip.eml", org: "Mimecast", domain: "ab.id.au", records: 1, messages: 1,
		why: "a line end after the gzip data"},
	{file: "aggregate/old_draft_from_wiki.xml", org: "acme.com", domain: "example.com", records: 1, messages: 2},
	{file: "aggregate/protection.outlook.com!example.com!1711756800!1711843200.xml", org: "Outlook.com", domain: "example.com", records: 1, messages: 1},
	{file: "aggregate/rfc9990-example.net!example.com!1700000000!1700086399.xml", org: "example.net", domain: "example.com", records: 2, messages: 7},
	{file: "aggregate/rfc9990-sample.xml", org: "Sample Reporter", domain: "example.com", records: 1, messages: 123},
	{file: "aggregate/twilight.eml", org: "google.com", domain: "twlnet.com", records: 1, messages: 1},
	{file: "aggregate/usssa.com!example.com!1538784000!1538870399.xml", org: "usssa.com", domain: "example.com", records: 2, messages: 2},
	{file: "aggregate/veeam.com!example.com!1530133200!1530219600.xml", org: "veeam.com", domain: "example.com", records: 1, messages: 1},
	{file: "aggregate_invalid/report_with_upper_cased_pass.xml", err: `element feedback/record[1]/row/policy_evaluated/disposition, line 24: "None" is not one of none, pass, quarantine, reject`},
	{file: "extract_report/changed-input.xml", org: "fred.com", domain: "example.com", records: 20, messages: 3047},
	{file: "extract_report/nice-input.xml", org: "google.com", domain: "example.com", records: 20, messages: 3047},
	{file: "extract_report/nice-input.xml.gz", org: "google.com", domain: "example.com", records: 20, messages: 3047},
	{file: "extract_report/nice-input.xml.zip", org: "google.com", domain: "example.com", records: 20, messages: 3047},
	{file: "empty.xml", err: "unexpected EOF"},
}

func parseSample(t *testing.T, path string) (*report.Feedback, error) {
	t.Helper()
	data := testkit.ReadFile(t, path)
	if strings.HasSuffix(path, ".eml") {
		return report.ParseMessage(bytes.NewReader(data), int64(len(data)))
	}
	return report.Parse(data)
}

func TestSamplesOfReportersAreRead(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/reports")
	var known []string
	for _, tc := range samples {
		known = append(known, tc.file)
		f, err := parseSample(t, filepath.Join(dir, tc.file))
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: got error %v, expected %q", tc.file, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.file, err)
			continue
		}
		if f.Metadata.OrgName != tc.org || f.Policy.Domain != tc.domain || len(f.Records) != tc.records || f.Messages() != tc.messages || len(f.Notes) != tc.notes {
			t.Errorf("%s: got %q about %q, %d records, %d messages, notes %v", tc.file, f.Metadata.OrgName, f.Policy.Domain, len(f.Records), f.Messages(), f.Notes)
		}
	}
	for _, sub := range []string{"aggregate", "aggregate_invalid", "extract_report"} {
		files, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if name := sub + "/" + file.Name(); !slices.Contains(known, name) {
				t.Errorf("%s is not in the table", name)
			}
		}
	}
}

func TestCompressedSamplesAreThatOfXML(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/reports/extract_report")
	want, err := parseSample(t, filepath.Join(dir, "nice-input.xml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nice-input.xml.gz", "nice-input.xml.zip"} {
		got, err := parseSample(t, filepath.Join(dir, name))
		if err != nil || !equal(got, want) {
			t.Errorf("%s: %v, differs from the plain one", name, err)
		}
	}
	if changed, err := parseSample(t, filepath.Join(dir, "changed-input.xml")); err != nil || equal(changed, want) {
		t.Errorf("changed-input.xml: %v, is the same", err)
	}
}

func TestMessagesOfSamplesHaveNamesAndSubjects(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, receiver, domain, id, ext string }{
		{"estadocuenta1.infonacot.gob.mx!example.com!1536853302!1536939702!2940.xml.zip", "estadocuenta1.infonacot.gob.mx", "example.com", "2940", "xml.zip"},
		{"fastmail.com!example.com!1516060800!1516147199!102675056.xml.gz", "fastmail.com", "example.com", "102675056", "xml.gz"},
		{"google.com!twlnet.com!1549756800!1549843199.zip", "google.com", "twlnet.com", "", "zip"},
		{"protection.outlook.com!example.com!1711756800!1711843200.xml", "protection.outlook.com", "example.com", "", "xml"},
	} {
		f, err := report.ParseFilename(tc.name)
		if err != nil || f.Receiver.ASCII != tc.receiver || f.Domain.ASCII != tc.domain || f.UniqueID != tc.id || f.Extension != tc.ext || f.String() != tc.name {
			t.Errorf("%s: got %+v, %v, written %q", tc.name, f, err, f.String())
		}
	}
}

func TestOtherReportsAreNoAggregateReports(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/reports")
	failures, err := filepath.Glob(filepath.Join(dir, "failure", "*.eml"))
	if err != nil || len(failures) == 0 {
		t.Fatalf("no samples of failure reports, %v", err)
	}
	for _, path := range failures {
		if f, err := parseSample(t, path); !errors.Is(err, report.ErrNoReport) {
			t.Errorf("%s: got %v, %v", path, f, err)
		}
	}
	// Its attachment claims to be gzip, which aggregate reports are, and has JSON in it.
	if f, err := parseSample(t, filepath.Join(dir, "smtp_tls", "google.com_smtp_tls_report.eml")); err == nil {
		t.Errorf("report about tls: got %v", f)
	}
}
