package tlsrpt_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mox/dns"
	"mox/internal/testkit"
	"mox/tlsrpt"
)

// appendixB is the example of RFC 8460 B. A URI that is broken over lines there is
// in one piece.
const appendixB = `{
     "organization-name": "Company-X",
     "date-range": {
       "start-datetime": "2016-04-01T00:00:00Z",
       "end-datetime": "2016-04-01T23:59:59Z"
     },
     "contact-info": "sts-reporting@company-x.example",
     "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
     "policies": [{
       "policy": {
         "policy-type": "sts",
         "policy-string": ["version: STSv1","mode: testing",
               "mx: *.mail.company-y.example","max_age: 86400"],
         "policy-domain": "company-y.example",
         "mx-host": "*.mail.company-y.example"
       },
       "summary": {
         "total-successful-session-count": 5326,
         "total-failure-session-count": 303
       },
       "failure-details": [{
         "result-type": "certificate-expired",
         "sending-mta-ip": "2001:db8:abcd:0012::1",
         "receiving-mx-hostname": "mx1.mail.company-y.example",
         "failed-session-count": 100
       }, {
         "result-type": "starttls-not-supported",
         "sending-mta-ip": "2001:db8:abcd:0013::1",
         "receiving-mx-hostname": "mx2.mail.company-y.example",
         "receiving-ip": "203.0.113.56",
         "failed-session-count": 200,
         "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
       }, {
         "result-type": "validation-failure",
         "sending-mta-ip": "198.51.100.62",
         "receiving-ip": "203.0.113.58",
         "receiving-mx-hostname": "mx-backup.mail.company-y.example",
         "failed-session-count": 3,
         "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
       }]
     }]
   }`

func date(y int, m time.Month, d, hour, min, sec int) time.Time {
	return time.Date(y, m, d, hour, min, sec, 0, time.UTC)
}

func appendixBReport() tlsrpt.Report {
	return tlsrpt.Report{
		OrganizationName: "Company-X",
		Start:            date(2016, 4, 1, 0, 0, 0),
		End:              date(2016, 4, 1, 23, 59, 59),
		ContactInfo:      "sts-reporting@company-x.example",
		ReportID:         "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
		Policies: []tlsrpt.PolicyResult{{
			Policy: tlsrpt.Policy{
				Type:   tlsrpt.PolicySTS,
				Text:   []string{"version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"},
				Domain: "company-y.example",
				MXHost: []string{"*.mail.company-y.example"},
			},
			Successes: 5326,
			Failures:  303,
			FailureDetails: []tlsrpt.FailureDetail{
				{
					ResultType:          tlsrpt.ResultCertificateExpired,
					SendingMTAIP:        "2001:db8:abcd:0012::1",
					ReceivingMXHostname: "mx1.mail.company-y.example",
					Count:               100,
				}, {
					ResultType:            tlsrpt.ResultStartTLSNotSupported,
					SendingMTAIP:          "2001:db8:abcd:0013::1",
					ReceivingMXHostname:   "mx2.mail.company-y.example",
					ReceivingIP:           "203.0.113.56",
					Count:                 200,
					AdditionalInformation: "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported",
				}, {
					ResultType:          tlsrpt.ResultValidationFailure,
					SendingMTAIP:        "198.51.100.62",
					ReceivingIP:         "203.0.113.58",
					ReceivingMXHostname: "mx-backup.mail.company-y.example",
					Count:               3,
					FailureReasonCode:   "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
				},
			},
		}},
	}
}

func TestExampleOfTheRFCIsReadAndWritten(t *testing.T) {
	t.Parallel()
	want := appendixBReport()
	got, err := tlsrpt.ParseReport(strings.NewReader(appendixB))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v, expected %+v", got, err, want)
	}
	var plain, compressed bytes.Buffer
	if err := errors.Join(got.WriteJSON(&plain), got.WriteGzip(&compressed)); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*bytes.Buffer{&plain, &compressed} {
		if again, err := tlsrpt.ParseReport(iotest.OneByteReader(b)); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("got %+v, %v, expected %+v", again, err, want)
		}
	}
}

func TestReportsAreWrittenWithTheNamesOfTheRFC(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := tlsrpt.Report{
		OrganizationName: "<x>", Start: date(2026, 1, 2, 0, 0, 0), End: date(2026, 1, 3, 0, 0, 0), ContactInfo: "a@b.example", ReportID: "1",
		Policies: []tlsrpt.PolicyResult{{
			Policy: tlsrpt.Policy{Type: tlsrpt.PolicyTLSA, Text: []string{"3 1 1 ab"}, Domain: "mx.example", MXHost: []string{"mx.example"}},
			FailureDetails: []tlsrpt.FailureDetail{{tlsrpt.ResultTLSAInvalid, "10.0.0.1", "mx.example", "helo.example", "10.0.0.2",
				1, "https://b.example/", "code"}},
		}, {Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: "b.example"}}},
	}
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"organization-name":"<x>","date-range":{"start-datetime":"2026-01-02T00:00:00Z","end-datetime":"2026-01-03T00:00:00Z"},` +
		`"contact-info":"a@b.example","report-id":"1","policies":[{"policy":{"policy-type":"tlsa","policy-string":["3 1 1 ab"],` +
		`"policy-domain":"mx.example","mx-host":["mx.example"]},"summary":{"total-successful-session-count":0,"total-failure-session-count":0},` +
		`"failure-details":[{"result-type":"tlsa-invalid","sending-mta-ip":"10.0.0.1","receiving-mx-hostname":"mx.example","receiving-mx-helo":"helo.example",` +
		`"receiving-ip":"10.0.0.2","failed-session-count":1,"additional-information":"https://b.example/","failure-reason-code":"code"}]},` +
		`{"policy":{"policy-type":"no-policy-found","policy-domain":"b.example"},"summary":{"total-successful-session-count":0,"total-failure-session-count":0}}]}`
	got := strings.NewReplacer("\n", "", "\t", "", `": `, `":`).Replace(b.String())
	if got != want {
		t.Errorf("got %s\nexpected %s", got, want)
	}
	// Policies are an array also if there are none.
	b.Reset()
	if err := (tlsrpt.Report{}).WriteJSON(&b); err != nil || !strings.Contains(b.String(), `"policies": []`) {
		t.Errorf("got %s, %v", b.String(), err)
	}
}

func TestFileNameIsThatOfTheRFC(t *testing.T) {
	t.Parallel()
	// The example of RFC 8460 §5.1.
	r := tlsrpt.Report{Start: time.Unix(1470013207, 0), End: time.Unix(1470186007, 0)}
	got := r.FileName(dns.Domain{ASCII: "mail.sndr.example.com"}, dns.Domain{ASCII: "example.net"}, "001")
	if want := "mail.sndr.example.com!example.net!1470013207!1470186007!001.json.gz"; got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
	got = r.FileName(dns.Domain{ASCII: "a.example"}, dns.Domain{ASCII: "xn--bcher-kva.example", Unicode: "bücher.example"}, "")
	if want := "a.example!xn--bcher-kva.example!1470013207!1470186007.json.gz"; got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
}

func TestReportsOfRealReportersAreRead(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/reports/smtp_tls")
	sts := func(domain string, text ...string) tlsrpt.Policy {
		return tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: domain, Text: text}
	}
	want := map[string]tlsrpt.Report{
		"mail.ru.json": {
			OrganizationName: "Mail.ru", Start: date(2024, 2, 22, 0, 0, 0), End: date(2024, 2, 23, 0, 0, 0),
			ContactInfo: "tls_support@corp.mail.ru", ReportID: "b28254de-7b2e-be36-bb5c-4c3b92da8b25@mail.ru",
			Policies: []tlsrpt.PolicyResult{{
				Policy: sts("example.com"), Failures: 1,
				FailureDetails: []tlsrpt.FailureDetail{
					{ResultType: tlsrpt.ResultSTSPolicyFetchError, Count: 1, FailureReasonCode: "bad https response code: 404"},
					{ResultType: tlsrpt.ResultSTSPolicyFetchError, Count: 1, FailureReasonCode: "bad https response code: 500"},
				},
			}},
		},
		"rfc8460.json": appendixBReport(),
		"smtp_tls.json": {
			OrganizationName: "Example Inc.", Start: date(2024, 1, 9, 0, 0, 0), End: date(2024, 1, 9, 23, 59, 59),
			ContactInfo: "smtp-tls-reporting@example.com", ReportID: "2024-01-09T00:00:00Z_example.com",
			Policies: []tlsrpt.PolicyResult{{
				Policy: sts("example.com", "version: STSv1", "mode: testing", "mx: example.com", "max_age: 86400"), Failures: 3,
				FailureDetails: []tlsrpt.FailureDetail{
					{ResultType: tlsrpt.ResultValidationFailure, SendingMTAIP: "209.85.222.201", ReceivingIP: "173.212.201.41", ReceivingMXHostname: "example.com", Count: 2},
					{ResultType: tlsrpt.ResultValidationFailure, SendingMTAIP: "209.85.208.176", ReceivingIP: "173.212.201.41", ReceivingMXHostname: "example.com", Count: 1},
				},
			}},
		},
		"google.com_smtp_tls_report.eml": {
			OrganizationName: "Google Inc.", Start: date(2024, 9, 3, 0, 0, 0), End: date(2024, 9, 3, 23, 59, 59),
			ContactInfo: "smtp-tls-reporting@google.com", ReportID: "2024-09-03T00:00:00Z_cardinalhealth.ca",
			Policies: []tlsrpt.PolicyResult{{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: "cardinalhealth.ca"}, Successes: 48}},
		},
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data := testkit.ReadFile(t, filepath.Join(dir, f.Name()))
		var got tlsrpt.Report
		if strings.HasSuffix(f.Name(), ".eml") {
			got, err = tlsrpt.ParseMessage(bytes.NewReader(data), int64(len(data)))
		} else {
			got, err = tlsrpt.ParseReport(bytes.NewReader(data))
		}
		if w, ok := want[f.Name()]; err != nil || !ok || !reflect.DeepEqual(got, w) {
			t.Errorf("%s: got %+v, %v, expected %+v", f.Name(), got, err, w)
		}
	}
}

// report returns a report with what is different in policies.
func report(policies string) string {
	return `{"date-range":{"start-datetime":"2026-01-02T00:00:00Z","end-datetime":"2026-01-03T00:00:00Z"},"policies":` + policies + `}`
}

func TestParsingToleratesWhatReportersDo(t *testing.T) {
	t.Parallel()
	policy := func(p tlsrpt.PolicyResult) tlsrpt.Report {
		return tlsrpt.Report{Start: date(2026, 1, 2, 0, 0, 0), End: date(2026, 1, 3, 0, 0, 0), Policies: []tlsrpt.PolicyResult{p}}
	}
	for _, tc := range []struct {
		name, json string
		want       tlsrpt.PolicyResult
	}{
		{"null instead of failures and strings", report(`[{"policy":{"policy-type":null,"policy-string":null,"mx-host":null},"summary":null,"failure-details":null}]`), tlsrpt.PolicyResult{}},
		{"a single policy", report(`{"summary":{"total-successful-session-count":1}}`), tlsrpt.PolicyResult{Successes: 1}},
		{"a single detail", report(`[{"failure-details":{"result-type":"x","failed-session-count":2}}]`),
			tlsrpt.PolicyResult{FailureDetails: []tlsrpt.FailureDetail{{ResultType: "x", Count: 2}}}},
		{"a policy as one string", report(`[{"policy":{"policy-string":"3 1 1 ab","mx-host":["a","b"]}}]`),
			tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Text: []string{"3 1 1 ab"}, MXHost: []string{"a", "b"}}}},
		{"empty strings", report(`[{"policy":{"policy-string":"","mx-host":""},"summary":{"total-failure-session-count":""}}]`), tlsrpt.PolicyResult{}},
		{"numbers in strings and as floats", report(`[{"summary":{"total-successful-session-count":"12","total-failure-session-count":3.0}}]`), tlsrpt.PolicyResult{Successes: 12, Failures: 3}},
		{"names in another case and with underscores", report(`[{"Policy":{"Policy_Type":"STS"}}]`), tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: "STS"}}},
		{"other fields", `{"version":{"a":[1,{}]},` + report(`[{"x":1,"policy":{"y":[[]]},"summary":{"z":null},"failure-details":[{"q":"","failed-session-count":1}]}]`)[1:],
			tlsrpt.PolicyResult{FailureDetails: []tlsrpt.FailureDetail{{Count: 1}}}},
		{"a number as reason", report(`[{"failure-details":[{"failure-reason-code":42}]}]`), tlsrpt.PolicyResult{FailureDetails: []tlsrpt.FailureDetail{{FailureReasonCode: "42"}}}},
		{"the name of a field in the text of the RFC", report(`[{"failure-details":[{"additional-info-uri":"u"}]}]`), tlsrpt.PolicyResult{FailureDetails: []tlsrpt.FailureDetail{{AdditionalInformation: "u"}}}},
		{"a byte order mark and white space", "\xef\xbb\xbf\n" + report(`[{}]`) + "\r\n\r\n", tlsrpt.PolicyResult{}},
		{"text that is not utf-8", report("[{\"policy\":{\"policy-domain\":\"a\xff\"}}]"), tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Domain: "a\ufffd"}}},
	} {
		got, err := tlsrpt.ParseReport(strings.NewReader(tc.json))
		if want := policy(tc.want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, expected %+v", tc.name, got, err, want)
		}
	}
	for _, s := range []string{
		"2026-01-02T00:00:00Z", "2026-01-02T01:00:00+01:00", "2026-01-02t00:00:00z", "2026-01-02T00:00:00.0Z", "2026-01-02T00:00:00",
		"2026-01-02 00:00:00", "2026-01-02 00:00:00Z", "2026-01-02T00:00:00+0000", "2026-01-02 00:00:00 +00:00", "2026-01-02", "1767312000",
	} {
		got, err := tlsrpt.ParseReport(strings.NewReader(`{"date-range":{"start-datetime":"` + s + `"},"policies":[]}`))
		if err != nil || !got.Start.Equal(date(2026, 1, 2, 0, 0, 0)) {
			t.Errorf("time %s: got %v, %v", s, got.Start, err)
		}
	}
}

func TestMalformedReportsAreErrorsThatSayWhere(t *testing.T) {
	t.Parallel()
	good := report(`[]`)
	for _, tc := range []struct{ json, want string }{
		{"", "report: unexpected EOF"},
		{"null", "report: expected an object"},
		{"[]", "report: expected an object"},
		{`"x"`, "report: expected an object"},
		{"{}", "report: no date-range"},
		{`{"date-range":{}}`, "report: no policies"},
		{"<xml>", "invalid character"},
		{good[:len(good)-1], "unexpected EOF"},
		{good + "{}", "data after the end"},
		{good + "x", "data after the end"},
		{`{"date-range":[]}`, "report.date-range: expected an object"},
		{`{"date-range":{"start-datetime":"soon"}}`, "report.date-range.start-datetime: expected a date"},
		{`{"date-range":{"start-datetime":"9999-12-31T23:59:59-01:00"}}`, "report.date-range.start-datetime: expected a date"},
		{`{"report-id":{}}`, "report.report-id: expected a string"},
		{report(`1`), "report.policies: expected an array"},
		{report(`[1]`), "report.policies.0: expected an object"},
		{report(`[{},{"failure-details":[{},{"failed-session-count":-1}]}]`), "report.policies.1.failure-details.1.failed-session-count: negative"},
		{report(`[{"summary":{"total-failure-session-count":1.5}}]`), "expected a number of sessions"},
		{report(`[{"summary":{"total-failure-session-count":1e300}}]`), "expected a number of sessions"},
		{report(`[{"summary":{"total-failure-session-count":99999999999999999999}}]`), "expected a number of sessions"},
		{report(`[{"policy":{"policy-string":{}}}]`), "report.policies.0.policy.policy-string: expected an array of strings"},
		{report(`[{"policy":{"policy-string":[[]]}}]`), "expected a string"},
		{`{"` + strings.Repeat("x", 1000) + `":` + "}", "report." + strings.Repeat("x", 64) + ":"},
		{`{"x":` + strings.Repeat("[", 1_000_000), "report.x: "},
		{`{"policies":` + strings.Repeat("[", 1_000_000), "expected an object"},
		{"\x1f\x8b", "gzip"},
		{"\x1f\x8b\x08hello, not gzip", ""},
	} {
		_, err := tlsrpt.ParseReport(strings.NewReader(tc.json))
		if !errors.Is(err, tlsrpt.ErrReport) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.80q: got %v, expected %q", tc.json, err, tc.want)
		}
	}
	failing := errors.New("failing")
	if _, err := tlsrpt.ParseReport(iotest.ErrReader(failing)); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
}

// spaces is a reader of white space without end.
type spaces struct{ read int64 }

var blanks = bytes.Repeat([]byte{' '}, 64<<10)

func (s *spaces) Read(p []byte) (int, error) {
	n := copy(p, blanks)
	s.read += int64(n)
	return n, nil
}

func compress(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := io.Copy(zw, r); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBombsAreRefusedEarly(t *testing.T) {
	t.Parallel()
	repeat := func(s string, n int) string { return "[" + strings.Repeat(s+",", n) + s + "]" }
	for _, tc := range []struct {
		name string
		r    io.Reader
	}{
		{"white space", &spaces{}},
		{"compressed white space", bytes.NewReader(compress(t, io.LimitReader(&spaces{}, 40<<20)))},
		{"a long string", io.MultiReader(strings.NewReader(`{"x":"`), &spaces{})},
		{"white space after the report", io.MultiReader(strings.NewReader(report("[]")), &spaces{})},
		{"many policies", strings.NewReader(report(repeat("{}", tlsrpt.MaxPolicies)))},
		{"many policies in several fields", strings.NewReader(strings.TrimSuffix(report(repeat("{}", 6000)), "}") + `,"policies":` + repeat("{}", 6000) + "}")},
		{"many details", strings.NewReader(report(repeat(`{"failure-details":`+repeat("{}", 50)+"}", 3000)))},
		{"many lines", strings.NewReader(report(repeat(`{"policy":{"policy-string":`+repeat(`""`, 9000)+"}}", 20)))},
	} {
		if _, err := tlsrpt.ParseReport(tc.r); !errors.Is(err, tlsrpt.ErrTooLarge) {
			t.Errorf("%s: got %v", tc.name, err)
		}
		if s, ok := tc.r.(*spaces); ok && s.read > tlsrpt.MaxReportSize+1<<20 {
			t.Errorf("%s: read %d bytes", tc.name, s.read)
		}
	}
	if _, err := tlsrpt.ParseMessage(strings.NewReader(""), tlsrpt.MaxMessageSize+1); !errors.Is(err, tlsrpt.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestResultsAreMerged(t *testing.T) {
	t.Parallel()
	sts := tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: "a.example", Text: []string{"mode: none"}}
	none := tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: "a.example"}
	expired := tlsrpt.FailureDetail{ResultType: tlsrpt.ResultCertificateExpired, ReceivingMXHostname: "mx.example", Count: 1}
	other := expired
	other.ReceivingIP = "10.0.0.1"
	var r tlsrpt.Report
	details := []tlsrpt.FailureDetail{expired, other, expired}
	r.Add(
		tlsrpt.PolicyResult{Policy: sts, Successes: 1, Failures: 2, FailureDetails: details},
		tlsrpt.PolicyResult{Policy: none, Successes: 3},
	)
	r.Add(tlsrpt.PolicyResult{Policy: sts, Successes: 10, Failures: math.MaxInt64, FailureDetails: []tlsrpt.FailureDetail{expired}})
	want := []tlsrpt.PolicyResult{
		{Policy: sts, Successes: 11, Failures: math.MaxInt64, FailureDetails: []tlsrpt.FailureDetail{expired, other}},
		{Policy: none, Successes: 3},
	}
	want[0].FailureDetails[0].Count = 3
	if !reflect.DeepEqual(r.Policies, want) {
		t.Errorf("got %+v, expected %+v", r.Policies, want)
	}
	if details[0].Count != 1 {
		t.Error("what was added was changed")
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(appendixB))
	f.Add([]byte(report(`{"failure-details":[{"failed-session-count":"3"}]}`)))
	f.Add(compress(f, strings.NewReader(report("[]"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := tlsrpt.ParseReport(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := r.WriteGzip(&b); err != nil {
			t.Fatal(err)
		}
		again, err := tlsrpt.ParseReport(&b)
		r.Start, r.End = r.Start.Truncate(time.Second), r.End.Truncate(time.Second)
		for i := range r.Policies {
			// An array without elements is left out.
			p := &r.Policies[i].Policy
			if len(p.Text) == 0 {
				p.Text = nil
			}
			if len(p.MXHost) == 0 {
				p.MXHost = nil
			}
		}
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", r) {
			t.Errorf("got %+v, %v, expected %+v", again, err, r)
		}
	})
}

func BenchmarkParseReport(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tlsrpt.ParseReport(strings.NewReader(appendixB)); err != nil {
			b.Fatal(err)
		}
	}
}
