package cli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/dkim"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/testkit"
)

const dmarcZone = `
_dmarc.example.org TXT "v=DMARC1; p=reject; sp=quarantine; np=none; pct=10; rua=mailto:a@example.org,mailto:b@reports.example!10m; ruf=mailto:c@none.example"
sub.example.org A 192.0.2.9
_dmarc.test.example TXT "v=DMARC1; p=reject; t=y; adkim=s; rua=mailto:x@any.example"
_dmarc.bad.example TXT "v=DMARC1; p=oops\007"
_dmarc.several.example TXT "v=DMARC1; p=none"
_dmarc.several.example TXT "v=DMARC1; p=reject"
_dmarc.quiet.example TXT "v=DMARC1; p=none"
_dmarc.rua.example TXT "v=DMARC1; rua=mailto:a@rua.example"
_dmarc.top TXT "v=DMARC1; p=reject; psd=y; ruf=mailto:f@any.example"
*._report._dmarc.any.example TXT "v=DMARC1; rua=mailto:y@any.example"
`

func TestDMARCCommandsExplainRecordsAndAddresses(t *testing.T) {
	t.Parallel()
	server := dnsServer(t, dmarcZone)
	for _, tc := range []commandCase{
		{"dmarc|lookup|example.org", 0, "_dmarc.example.org TXT \"v=DMARC1; p=reject; sp=quarantine; np=none; pct=10; rua=mailto:a@example.org,mailto:b@reports.example!10m; ruf=mailto:c@none.example\"\n" +
			"DNSSEC: verified\n\n" +
			"organizational domain: example.org\n" +
			"policy for example.org: reject (tag p)\n" +
			"policy for subdomains that have no record: quarantine (tag sp)\n" +
			"policy for subdomains that do not exist: none (tag np)\n" +
			"alignment: dkim relaxed, spf relaxed\n" +
			"aggregate reports: mailto:a@example.org\n" +
			"aggregate reports: mailto:b@reports.example\n" +
			"failure reports: mailto:c@none.example\n" +
			"note: pct: pct=10 no longer has a meaning: the policy is for all messages, and t=y is for testing\n" +
			"note: rua: the size limit in \"mailto:b@reports.example!10m\" no longer has a meaning\n", ""},
		{"dmarc|lookup|sub.example.org", 0, "policy for sub.example.org: quarantine (tag sp)\n", ""},
		{"dmarc|lookup|nosuch.example.org", 0, "policy for nosuch.example.org: none (tag np)\n", ""},
		{"dmarc|lookup|test.example", 0, "for testing, it is applied as quarantine (tag t)\nalignment: dkim strict, spf relaxed\n", ""},
		{"dmarc|lookup|bad.example", 0, `TXT "v=DMARC1; p=oops\007"`, ""},
		{"dmarc|lookup|bad.example", 0, `policy: none can be applied, dmarc record has no valid policy and no valid address for reports`, ""},
		{"dmarc|lookup|rua.example", 0, "policy for rua.example: none (tag p)\n", ""},
		{"dmarc|lookup|rua.example", 0, "note: for what is wrong with the policies, p=none is assumed\nnote: p: is absent\n", ""},
		{"dmarc|lookup|shop.top", 0, "top is a public suffix\n", ""},
		{"dmarc|lookup|shop.top", 0, "organizational domain: shop.top\n", ""},
		{"dmarc|lookup|mail.several.example", 1, "", "no dmarc record at _dmarc. of mail.several.example, several.example (has 2, and only one may be there), example (DNSSEC: verified)"},
		{"dmarc|lookup|a..b", 2, "", "empty label"},
		{"dmarc|lookup", 2, "", "usage: mox dmarc lookup domain"},

		{"dmarc|checkreportaddrs|example.org", 1, "" +
			"rua mailto:a@example.org: ok, in the same organization\n" +
			"rua mailto:b@reports.example: destination does not accept reports about the domain: no record at example.org._report._dmarc.reports.example\n" +
			"\tto be published: example.org._report._dmarc.reports.example. TXT \"v=DMARC1\"\n" +
			"ruf mailto:c@none.example: destination does not accept", "2 of 3 addresses will not be sent reports"},
		{"dmarc|checkreportaddrs|test.example", 0, "rua mailto:x@any.example: ok, reports go to [mailto:y@any.example] instead (DNSSEC: verified)\n", ""},
		{"dmarc|checkreportaddrs|quiet.example", 0, "the record asks for no reports\n", ""},
		{"dmarc|checkreportaddrs|a.top", 0, "ruf: not used, since top is a public suffix\n", ""},
		{"dmarc|checkreportaddrs|none.example", 1, "", "no dmarc record"},
		{"dmarc|checkreportaddrs", 2, "", "usage: mox dmarc checkreportaddrs domain"},
	} {
		tc.check(t, server)
	}
}

func TestDMARCCommandsNameTheLookupThatFailed(t *testing.T) {
	t.Parallel()
	s := testkit.NewDNS(t, testkit.DNSOptions{Zone: dmarcZone, Faults: map[string]testkit.DNSFault{
		"_dmarc.down.example": testkit.DNSServFail,
		"_dmarc.org":          testkit.DNSBogus,
		"test.example._report._dmarc.any.example": testkit.DNSServFail,
	}})
	for _, tc := range []commandCase{
		{"dmarc|lookup|down.example", 1, "", "dmarc record of down.example: "},
		{"dmarc|lookup|a.down.example", 1, "", "temporary lookup failure"},
		{"dmarc|lookup|sub.example.org", 1, "", "dmarc record of org: "},
		{"dmarc|lookup|example.org", 0, "organizational domain: unknown, dmarc record of org: ", ""},
		{"dmarc|checkreportaddrs|test.example", 1, "rua mailto:x@any.example: authorization of reports at test.example._report._dmarc.any.example: ", "1 of 1 addresses"},
	} {
		tc.check(t, "-dns="+s.Addr)
	}
}

// signed returns a message of ann@example.org with a signature, and the line for the
// zone with its key.
func signed(t *testing.T) (msg, zone string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("seed"), 8))
	msg = "From: ann@example.org\r\nSubject: test\r\n\r\nhello\r\n"
	sel, err := dkim.ParseSelector("s1")
	if err != nil {
		t.Fatal(err)
	}
	header, err := dkim.Sign(strings.NewReader(msg), int64(len(msg)), dns.Domain{ASCII: "example.org"}, []dkim.Selector{{Name: sel, Key: key}}, dkim.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pub := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	return header + msg, "s1._domainkey.example.org TXT \"v=DKIM1; k=ed25519; p=" + pub + "\"\n"
}

func TestDMARCVerifyTellsWhyAMessagePassesOrFails(t *testing.T) {
	t.Parallel()
	msg, key := signed(t)
	server := dnsServer(t, dmarcZone+key)
	unsigned := "From: ann@example.org\nSubject: x\n\nhello\n"
	for _, tc := range []struct {
		in, args  string
		code      int
		out, errs string
	}{
		{msg, "192.0.2.1|bob@mail.example.org|mail.example.org", 0, "" +
			"spf: none for mail.example.org (mailfrom): record of mail.example.org: no spf record\n" +
			"dkim: pass for example.org (selector s1)\n" +
			"dmarc: pass for example.org\n" +
			"aligned: dkim of example.org (strict)\n" +
			"policy: reject, tag p of the record of example.org\n" +
			"asked for: nothing, since it did not fail\n" +
			"DNSSEC: verified\n", ""},
		{strings.ReplaceAll(msg, "\r\n", "\n"), "192.0.2.1||mail.example.org", 0, "dmarc: pass for example.org\n", ""},
		{unsigned, "192.0.2.1|ann@example.org|mail.example.org", 0, "aligned: spf of example.org\n", ""},
		{strings.Replace(msg, "hello", "HELLO", 1), "203.0.113.1|ann@example.org|x.example", 0, "dmarc: fail for example.org\npolicy: reject, tag p of the record of example.org\nasked for: reject\n", ""},
		{unsigned, "203.0.113.1|<>|x.example", 0, "dkim: none\ndmarc: fail for example.org\n", ""},
		{"From: a@test.example\n\n", "203.0.113.1|<>|x.example", 0, "asked for: quarantine, since the policy is being tested\n", ""},
		{"From: a@quiet.example, b@sub.example.org\n\n", "203.0.113.1|<>|x.example", 0, "\nwith 2 domains in From, what counts is fail for sub.example.org\n", ""},
		{"From: a@nowhere.example\n\n", "203.0.113.1|<>|[203.0.113.1]", 0, "dmarc: none for nowhere.example\norganizational domain: nowhere.example\nDNSSEC: verified\n", ""},
		{"Subject: x\n\n", "203.0.113.1|<>|x.example", 1, "", "no usable domain in from"},
		{unsigned, "203.0.113|<>|x.example", 2, "", `"203.0.113" is not an IP address`},
		{unsigned, "203.0.113.1|ann|x.example", 2, "", `"ann" is not an address for MAIL FROM`},
		{unsigned, "203.0.113.1|<>|x y", 2, "", `"x y" is not a name for EHLO`},
		{unsigned, "203.0.113.1|<>|x.example|/nonexistent/message", 1, "", "no such file"},
		{unsigned, "203.0.113.1", 2, "", "usage: mox dmarc verify ip mailfrom ehlo [file]"},
	} {
		args := append([]string{server, "dmarc", "verify"}, strings.Split(tc.args, "|")...)
		r := mox(t, tc.in, args...)
		t.Run(tc.args, func(t *testing.T) { r.want(t, tc.code, tc.out, tc.errs) })
	}
	file := filepath.Join(t.TempDir(), "msg")
	if err := os.WriteFile(file, []byte(msg), 0600); err != nil {
		t.Fatal(err)
	}
	mox(t, "", server, "dmarc", "verify", "192.0.2.1", "", "mail.example.org", file).want(t, 0, "dmarc: pass for example.org\n", "")
}

const dmarcReport = `<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><report_metadata><org_name>A&amp;B</org_name><email>e@example.org</email><report_id>1</report_id>
<date_range><begin>1</begin><end>2</end></date_range></report_metadata><policy_published><domain>example.com</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>example.com</header_from></identifiers><auth_results/></record></feedback>`

func TestDMARCParseReportMsgPrintsJSON(t *testing.T) {
	t.Parallel()
	msg := "Subject: Report Domain: example.com Submitter: example.org\nContent-Type: text/xml\n\n" + dmarcReport
	for _, in := range []string{msg, dmarcReport} {
		r := mox(t, in, "dmarc", "parsereportmsg")
		r.want(t, 0, `"OrgName": "A&B",`, "")
		var f report.Feedback
		if err := json.Unmarshal([]byte(r.out), &f); err != nil || f.Messages() != 3 || f.Records[0].SourceIP.String() != "192.0.2.1" {
			t.Errorf("got %+v, %v", f, err)
		}
	}
	dir := testkit.Dir(t, map[string]string{"a.eml": msg, "b.xml": dmarcReport, "bad.xml": "<feedback>\n</feedback>", "mail.eml": "Subject: x\n\nhello\n"})
	a, b := filepath.Join(dir, "a.eml"), filepath.Join(dir, "b.xml")
	if r := mox(t, "", "dmarc", "parsereportmsg", a, b); r.code != 0 || strings.Count(r.out, `"ReportID": "1"`) != 2 {
		t.Errorf("two files: %+v", r)
	}
	bad := filepath.Join(dir, "bad.xml")
	mox(t, "", "dmarc", "parsereportmsg", bad).want(t, 1, "", bad+`: aggregate report, element feedback, line 2: has no element "report_metadata"`)
	mox(t, "", "dmarc", "parsereportmsg", filepath.Join(dir, "mail.eml")).want(t, 1, "", "message has no aggregate report in it")
	mox(t, "", "dmarc", "parsereportmsg", filepath.Join(dir, "absent")).want(t, 1, "", "no such file")
	mox(t, "", "dmarc", "parsereportmsg").want(t, 1, "", "message has no aggregate report in it")
}

func TestDMARCParseReportMsgReadsSamples(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/reports")
	for file, want := range map[string]string{
		"aggregate/twilight.eml":            `"Domain": "twlnet.com"`,
		"extract_report/nice-input.xml.zip": `"OrgName": "google.com"`,
		"extract_report/nice-input.xml.gz":  `"OrgName": "google.com"`,
	} {
		mox(t, "", "dmarc", "parsereportmsg", filepath.Join(dir, file)).want(t, 0, want, "")
	}
}
