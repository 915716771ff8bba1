package report_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"mox/dmarc"
	"mox/dmarc/report"
	"mox/internal/testkit"
	"mox/spf"
)

// checkRoundTrip writes a report that was read and can be written, and reads it
// again.
func checkRoundTrip(t *testing.T, f *report.Feedback) {
	t.Helper()
	var b bytes.Buffer
	if err := report.Write(&b, f); errors.Is(err, report.ErrInvalid) {
		if b.Len() > 0 {
			t.Fatalf("invalid report was written: %s", b.String())
		}
		return
	} else if err != nil {
		t.Fatal(err)
	}
	again, err := report.Parse(b.Bytes())
	if err != nil {
		if errors.Is(err, report.ErrTooLarge) {
			return
		}
		t.Fatalf("reading what was written: %v\n%s", err, b.String())
	}
	want := *f
	want.Namespace, want.Version, want.Notes = report.Namespace9990, "1.0", nil
	want.Policy.Percentage = nil
	want.Metadata.Errors = want.Metadata.Errors[:min(1, len(want.Metadata.Errors))]
	if !equal(again, &want) {
		t.Fatalf("got  %+v\nwant %+v", again, &want)
	}
}

func TestReportsAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	checkRoundTrip(t, fullFeedback())
	f := fullFeedback()
	f.Metadata.OrgName = "<&>\"' ]]> ☺ line\nline"
	f.Metadata.ExtraContactInfo, f.Metadata.Errors, f.Metadata.Generator = "", nil, ""
	f.Policy = report.Policy{Domain: "example.com", Policy: dmarc.PolicyNone}
	f.Records[0].SPF, f.Records[0].DKIM, f.Records[0].Reasons = nil, nil, nil
	checkRoundTrip(t, f)
	f.Metadata.OrgName = "a\x00b\xff"
	var b bytes.Buffer
	if err := report.Write(&b, f); err != nil || !strings.Contains(b.String(), "<org_name>a�b�</org_name>") {
		t.Errorf("invalid characters: %v\n%s", err, b.String())
	}
}

// built is a report as the server makes one.
func built(t testing.TB) *report.Feedback {
	t.Helper()
	rec, err := dmarc.ParseRecord("v=DMARC1; p=reject; np=quarantine; adkim=s; t=y; rua=mailto:a@example.com")
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("192.0.2.1")
	from := domain(t, "example.com")
	base := dmarc.Result{Status: dmarc.StatusFail, From: from, Domain: from, Record: &rec, Policy: dmarc.PolicyReject, PolicyTag: "p", Applied: dmarc.PolicyQuarantine,
		SPF: dmarc.SPFIdentifier{Domain: domain(t, "bounce.example.com"), Status: spf.StatusSoftfail}}
	passed := base
	passed.Status, passed.AlignedSPF = dmarc.StatusPass, true
	passed.SPF.Status = spf.StatusPass
	passed.DKIM = []dmarc.DKIMEvaluation{{DKIMIdentifier: dmarc.DKIMIdentifier{Domain: domain(t, "esp.example"), Selector: "s1", Status: "pass"}}}
	b := report.NewBuilder(0)
	for _, r := range []report.Record{
		report.NewRecord(base, report.Delivery{SourceIP: ip, Applied: dmarc.PolicyQuarantine}),
		report.NewRecord(passed, report.Delivery{SourceIP: ip, EnvelopeFrom: domain(t, "bounce.example.com"), Applied: dmarc.PolicyNone}),
		report.NewRecord(base, report.Delivery{SourceIP: ip, Applied: dmarc.PolicyQuarantine}),
		report.NewRecord(base, report.Delivery{SourceIP: netip.MustParseAddr("2001:db8::1"), Applied: dmarc.PolicyNone,
			Reasons: []dmarc.Override{{Type: dmarc.OverrideMailingList, Comment: "list <x&y>"}}}),
	} {
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return &report.Feedback{
		Metadata: report.Metadata{
			OrgName: "Example Mail", Email: "postmaster@mail.example.org", ReportID: "20260501.example.com@mail.example.org",
			Begin: time.Unix(1777593600, 0).UTC(), End: time.Unix(1777679999, 0).UTC(), Generator: "mox",
			Errors: []string{"pct: no longer has a meaning"},
		},
		Policy:  report.PublishedPolicy(from, rec),
		Records: b.Records(),
	}
}

func TestWrittenReportIsThatOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := report.Write(&b, built(t)); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/report.xml", b.Bytes())
}

// schema returns a file with the XML schema of RFC 9990 §A, which is the same as in
// the draft that is among the texts.
func schema(t *testing.T) string {
	t.Helper()
	text := string(testkit.ReadFile(t, testkit.Shared(t, "rfc/draft-ietf-dmarc-aggregate-reporting-32.txt")))
	text = text[strings.LastIndex(text, "Appendix A.  DMARC XML Schema"):]
	start, end := strings.Index(text, "   <?xml"), strings.Index(text, "</xs:schema>")
	if start < 0 || end < start {
		t.Fatal("no schema in the draft")
	}
	text = text[start+3:end] + "</xs:schema>\n"
	// Without what is between pages.
	text = regexp.MustCompile(`(?m)^(Brotman|Internet-Draft).*$|\f`).ReplaceAllString(text, "")
	path := filepath.Join(t.TempDir(), "dmarc.xsd")
	if err := os.WriteFile(path, []byte(text), 0600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrittenReportsFitTheSchema(t *testing.T) {
	t.Parallel()
	xmllint := testkit.Tool(t, "xmllint")
	xsd := schema(t)
	validate := func(f *report.Feedback) ([]byte, error) {
		path := filepath.Join(t.TempDir(), "report.xml")
		var b bytes.Buffer
		if err := report.Write(&b, f); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0600); err != nil {
			t.Fatal(err)
		}
		return exec.Command(xmllint, "--noout", "--schema", xsd, path).CombinedOutput()
	}
	short := fullFeedback()
	short.Metadata.ExtraContactInfo, short.Metadata.Errors, short.Metadata.Generator = "", nil, ""
	short.Policy = report.Policy{Domain: "example.com", Policy: dmarc.PolicyNone}
	short.Records[0].SPF, short.Records[0].DKIM, short.Records[0].Reasons, short.Records[0].EnvelopeTo = nil, nil, nil, ""
	for i, f := range []*report.Feedback{built(t), fullFeedback(), short} {
		if out, err := validate(f); err != nil {
			t.Errorf("report %d: %v\n%s", i, err, out)
		}
	}
	// The validator does find errors: the schema has no such document.
	path := filepath.Join(t.TempDir(), "report.xml")
	if err := os.WriteFile(path, []byte(minimal()), 0600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(xmllint, "--noout", "--schema", xsd, path).CombinedOutput(); err == nil {
		t.Errorf("report without namespace fits: %s", out)
	}
}

func TestGzipIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	f := built(t)
	name := report.Filename{Receiver: domain(t, "mail.example.org"), Domain: domain(t, "example.com"), Begin: f.Metadata.Begin, End: f.Metadata.End, Extension: "xml.gz"}
	var a, b bytes.Buffer
	if err := errors.Join(report.WriteGzip(&a, f, name), report.WriteGzip(&b, f, name)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("%v, differs", err)
	}
	z, err := gzip.NewReader(&a)
	if err != nil || z.Name != "mail.example.org!example.com!1777593600!1777679999.xml" {
		t.Fatalf("%v, name %q", err, z.Name)
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		t.Error(err)
	}
	if got, err := report.Parse(b.Bytes()); err != nil || got.Messages() != 4 {
		t.Errorf("read again: %v, %v", got, err)
	}
}

func TestInvalidReportsAreNotWritten(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(f *report.Feedback){
		"report id":        func(f *report.Feedback) { f.Metadata.ReportID = "a b" },
		"no report id":     func(f *report.Feedback) { f.Metadata.ReportID = "" },
		"times":            func(f *report.Feedback) { f.Metadata.End = f.Metadata.Begin.Add(-time.Second) },
		"no domain":        func(f *report.Feedback) { f.Policy.Domain = "" },
		"policy":           func(f *report.Feedback) { f.Policy.Policy = "" },
		"subdomain policy": func(f *report.Feedback) { f.Policy.SubdomainPolicy = "x" },
		"mode":             func(f *report.Feedback) { f.Policy.ADKIM = "x" },
		"no records":       func(f *report.Feedback) { f.Records = nil },
		"many records":     func(f *report.Feedback) { f.Records = make([]report.Record, report.MaxRecords+1) },
		"address":          func(f *report.Feedback) { f.Records[0].SourceIP = netip.Addr{} },
		"count":            func(f *report.Feedback) { f.Records[0].Count = 0 },
		"disposition":      func(f *report.Feedback) { f.Records[0].Disposition = "x" },
		"header from":      func(f *report.Feedback) { f.Records[0].HeaderFrom = "" },
		"old reason":       func(f *report.Feedback) { f.Records[0].Reasons[0].Type = "forwarded" },
		"dkim result":      func(f *report.Feedback) { f.Records[0].DKIM[0].Result = "" },
		"signatures":       func(f *report.Feedback) { f.Records[0].DKIM = make([]report.DKIMResult, report.MaxSignatures+1) },
		"spf result":       func(f *report.Feedback) { f.Records[0].SPF[0].Result = "x" },
		"old spf scope":    func(f *report.Feedback) { f.Records[0].SPF[0].Scope = report.ScopeHELO },
		"spf twice":        func(f *report.Feedback) { f.Records[0].SPF = append(f.Records[0].SPF, f.Records[0].SPF...) },
	} {
		f := fullFeedback()
		edit(f)
		var b bytes.Buffer
		if err := report.Write(&b, f); !errors.Is(err, report.ErrInvalid) || b.Len() > 0 {
			t.Errorf("%s: %v, wrote %d bytes", name, err, b.Len())
		}
	}
	if err := report.Write(failing{}, fullFeedback()); !errors.Is(err, errAny) {
		t.Errorf("failing writer: %v", err)
	}
	if err := report.WriteGzip(failing{}, fullFeedback(), report.Filename{}); !errors.Is(err, errAny) {
		t.Errorf("failing writer: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errAny }

func TestPublishedPolicyHasDefaults(t *testing.T) {
	t.Parallel()
	r, err := dmarc.ParseRecord("v=DMARC1; p=quarantine; np=reject")
	if err != nil {
		t.Fatal(err)
	}
	want := report.Policy{Domain: "example.com", Policy: dmarc.PolicyQuarantine, SubdomainPolicy: dmarc.PolicyQuarantine, NonexistentPolicy: dmarc.PolicyReject,
		ADKIM: dmarc.ModeRelaxed, ASPF: dmarc.ModeRelaxed, Discovery: report.DiscoveryTreewalk, FailureOptions: "0"}
	if got := report.PublishedPolicy(domain(t, "example.com"), r); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
