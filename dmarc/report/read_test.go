package report_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/report"
	"mox/spf"
)

// full has all elements of RFC 9990 §A, with an extension in both places.
const full = `<?xml version="1.0"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0" xmlns:ext="urn:x">
  <version>1.0</version>
  <report_metadata>
    <date_range><end>302918399</end><begin>302832000</begin></date_range>
    <generator>G 1</generator>
    <org_name> Reporter &amp; <![CDATA[Co]]> </org_name>
    <email>a@example.org</email>
    <extra_contact_info lang="en">x</extra_contact_info>
    <report_id>id@example.org</report_id>
    <error lang="de">kaputt</error>
  </report_metadata>
  <policy_published>
    <domain>example.com</domain><p>reject</p><sp>quarantine</sp><np>none</np><adkim>s</adkim><aspf>r</aspf>
    <discovery_method>treewalk</discovery_method><fo>1:d</fo><testing>y</testing>
  </policy_published>
  <extension><ext:a><ext:p>none</ext:p></ext:a></extension>
  <record>
    <row>
      <source_ip>2001:db8::1</source_ip><count>7</count>
      <policy_evaluated>
        <disposition>pass</disposition><dkim>pass</dkim><spf>fail</spf>
        <reason><type>policy_test_mode</type></reason>
        <reason><type>other</type><comment lang="en">c</comment></reason>
      </policy_evaluated>
    </row>
    <identifiers><header_from>a.example.com</header_from><envelope_from/><envelope_to>example.org</envelope_to></identifiers>
    <auth_results>
      <dkim><domain>example.com</domain><selector>s</selector><result>pass</result><human_result>h</human_result></dkim>
      <dkim><domain>b.example</domain><selector>t</selector><result>permerror</result></dkim>
      <spf><domain>example.com</domain><scope>mfrom</scope><result>policy</result></spf>
    </auth_results>
    <ext:results><row><count>x</count></row></ext:results>
  </record>
</feedback>
<!-- whatever -->`

// fullFeedback is what is in full.
func fullFeedback() *report.Feedback {
	return &report.Feedback{
		Namespace: report.Namespace9990,
		Version:   "1.0",
		Metadata: report.Metadata{
			OrgName: "Reporter & Co", Email: "a@example.org", ExtraContactInfo: "x", ReportID: "id@example.org",
			Begin: time.Unix(302832000, 0).UTC(), End: time.Unix(302918399, 0).UTC(),
			Errors: []string{"kaputt"}, Generator: "G 1",
		},
		Policy: report.Policy{
			Domain: "example.com", Policy: dmarc.PolicyReject, SubdomainPolicy: dmarc.PolicyQuarantine, NonexistentPolicy: dmarc.PolicyNone,
			ADKIM: dmarc.ModeStrict, ASPF: dmarc.ModeRelaxed, Discovery: report.DiscoveryTreewalk, FailureOptions: "1:d", Testing: true,
		},
		Records: []report.Record{{
			SourceIP: netip.MustParseAddr("2001:db8::1"), Count: 7,
			Disposition: report.DispositionPass, AlignedDKIM: true,
			Reasons:    []dmarc.Override{{Type: dmarc.OverrideTestMode}, {Type: dmarc.OverrideOther, Comment: "c"}},
			HeaderFrom: "a.example.com", EnvelopeTo: "example.org",
			DKIM: []report.DKIMResult{
				{Domain: "example.com", Selector: "s", Result: dkim.StatusPass, HumanResult: "h"},
				{Domain: "b.example", Selector: "t", Result: dkim.StatusPermerror},
			},
			SPF: []report.SPFResult{{Domain: "example.com", Scope: report.ScopeMailFrom, Result: "policy"}},
		}},
	}
}

func TestReportsAreReadInBothSchemas(t *testing.T) {
	t.Parallel()
	f, err := report.Parse([]byte(full))
	if err != nil || !reflect.DeepEqual(f, fullFeedback()) {
		t.Errorf("got %+v, %v", f, err)
	}

	// RFC 7489: without namespace, with one, and with elements in none below the root.
	old := minimal("</p>", "</p><pct>50</pct>", "</spf></policy", "</spf><reason><type>forwarded</type></reason><reason><type>sampled_out</type></reason></policy",
		"<auth_results>", "<auth_results><spf><domain>h.example</domain><scope>helo</scope><result>unknown</result></spf><spf><domain>x.example</domain><result>error</result></spf>")
	for _, root := range []string{"<feedback>", `<feedback xmlns="http://dmarc.org/dmarc-xml/0.1">`, `<d:feedback xmlns:d="http://dmarc.org/dmarc-xml/0.1">`} {
		text := strings.Replace(old, "<feedback>", root, 1)
		if strings.HasPrefix(root, "<d:") {
			text = strings.Replace(text, "</feedback>", "</d:feedback>", 1)
		}
		f, err := report.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", root, err)
			continue
		}
		r := f.Records[0]
		if f.Policy.Percentage == nil || *f.Policy.Percentage != 50 || len(r.Reasons) != 2 || r.Reasons[1].Type != "sampled_out" ||
			len(r.SPF) != 2 || r.SPF[0] != (report.SPFResult{Domain: "h.example", Scope: report.ScopeHELO, Result: spf.StatusPermerror}) || r.SPF[1].Result != spf.StatusTemperror {
			t.Errorf("%s: got %+v", root, f)
		}
	}
}

func TestWhatHasNoConsequenceIsTolerated(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		edits []string
		notes int
	}{
		{"as it is", nil, 0},
		{"optional words are empty", []string{"</p>", "</p><sp></sp><np/><adkim> </adkim><aspf/><testing/><discovery_method/>"}, 0},
		{"pct is no number", []string{"</p>", "</p><pct>all</pct>"}, 1},
		{"unknown elements", []string{"</p>", "</p><x><p>reject</p></x>", "<row>", "<row><y/>"}, 0},
		{"text between elements", []string{"<row>", "junk<row>junk"}, 0},
		{"comments and instructions", []string{"<row>", "<!-- <row> --><?x y?><row>", ">1</count>", "><!-- 2 -->1</count>"}, 0},
		{"attributes", []string{"<row>", `<row a="b" c:d="e">`}, 0},
		{"white space around values", []string{">none</p>", ">\r\n none\t</p>", ">1</count>", "> 1 </count>"}, 0},
		{"long text for people", []string{"</email>", "</email><extra_contact_info>" + strings.Repeat("ä", report.MaxText) + "</extra_contact_info>"}, 1},
		{"many signatures", []string{"<auth_results>", "<auth_results>" + strings.Repeat("<dkim><domain/><result>pass</result></dkim>", report.MaxSignatures+2)}, 2},
		{"many reasons", []string{"</spf></policy", "</spf>" + strings.Repeat("<reason><type>other</type></reason>", report.MaxReasons+1) + "</policy"}, 1},
		{"many results of spf", []string{"<auth_results>", "<auth_results>" + strings.Repeat("<spf><domain/><result>pass</result></spf>", 101)}, 1},
		{"many things to tolerate", []string{"<auth_results>", "<auth_results>" + strings.Repeat("<dkim><domain/><result>pass</result></dkim>", report.MaxSignatures+100)}, report.MaxNotes},
		{"mapped address", []string{"10.0.0.1", "::ffff:10.0.0.1"}, 0},
		{"something after the end", []string{"</feedback>", "</feedback></x><y&\xff"}, 0},
	} {
		f, err := report.Parse([]byte(minimal(tc.edits...)))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		r := f.Records[0]
		if len(f.Notes) != tc.notes || f.Policy.Policy != dmarc.PolicyNone || f.Policy.SubdomainPolicy != "" || r.Count != 1 ||
			r.SourceIP != netip.MustParseAddr("10.0.0.1") || !r.AlignedDKIM || r.AlignedSPF || len(r.DKIM) > report.MaxSignatures || len(f.Metadata.ExtraContactInfo) > report.MaxText {
			t.Errorf("%s: notes %v, %+v", tc.name, f.Notes, f)
		}
	}
}

func TestErrorsNameTheElement(t *testing.T) {
	t.Parallel()
	second := []string{"</record>", "</record><record><row><source_ip>x</source_ip></row></record>"}
	for _, tc := range []struct {
		edits []string
		want  string
	}{
		{[]string{"<feedback>", "<html>"}, `line 1: the root element is "html" instead of feedback`},
		{[]string{"<feedback>", `<feedback xmlns="urn:y">`}, `feedback is in the unknown namespace "urn:y"`},
		{[]string{"<feedback>", `<!DOCTYPE f [<!ENTITY a "b">]><feedback>`}, "document type declarations are refused"},
		{[]string{"<row>", "<!ENTITY x SYSTEM 'file:///etc/passwd'><row>"}, "element feedback/record[1], line 4: document type declarations are refused"},
		{[]string{">o<", ">&nbsp;<"}, "element feedback/report_metadata/org_name, line 2: xml syntax: invalid character entity &nbsp;"},
		{[]string{"<email>e@example.org</email>", ""}, `element feedback/report_metadata, line 2: has no element "email"`},
		{[]string{"<begin>1</begin>", ""}, `element feedback/report_metadata/date_range, line 2: has no element "begin"`},
		{[]string{"<begin>1</begin>", "<begin>3</begin>"}, `element feedback/report_metadata/date_range, line 2: end is before begin`},
		{[]string{"<begin>1</begin>", "<begin>-1</begin>"}, `date_range/begin, line 2: "-1" is not a number from 0 to 253402300799`},
		{[]string{"<p>none</p>", ""}, `element feedback/policy_published, line 3: has no element "p"`},
		{[]string{"<p>none</p>", "<p/>"}, `element feedback/policy_published/p, line 3: "" is not one of none, quarantine, reject`},
		{[]string{"<p>none</p>", "<p>none</p><p>none</p>"}, `element feedback/policy_published/p, line 3: is there more than once`},
		{[]string{"<p>none</p>", "<p>none</p><sp>x</sp>"}, `element feedback/policy_published/sp, line 3: "x" is not one of`},
		{[]string{">example.com</domain>", "><a>example.com</a></domain>"}, `element feedback/policy_published/domain, line 3: has element "a" where text is expected`},
		{[]string{"10.0.0.1", "10.0.0"}, `element feedback/record[1]/row/source_ip, line 4: "10.0.0" is not an ip address`},
		{[]string{"10.0.0.1", "fe80::1%eth0"}, `is not an ip address`},
		{[]string{">1</count>", ">1.5</count>"}, `element feedback/record[1]/row/count, line 4: "1.5" is not a number`},
		{[]string{">1</count>", ">99999999999999999999</count>"}, `is not a number`},
		{[]string{"<spf>fail</spf>", "<spf>neutral</spf>"}, `element feedback/record[1]/row/policy_evaluated/spf, line 4: "neutral" is not one of pass, fail`},
		{[]string{"<auth_results></auth_results>", ""}, `element feedback/record[1], line 5: has no element "auth_results"`},
		{[]string{"<auth_results>", "<auth_results><dkim><domain/><result>Pass</result></dkim>"}, `element feedback/record[1]/auth_results/dkim/result, line 5: "Pass" is not one of`},
		{[]string{"<auth_results>", "<auth_results><spf><result>pass</result></spf>"}, `element feedback/record[1]/auth_results/spf, line 5: has no element "domain"`},
		{[]string{"</spf></policy", "</spf><reason><type>because</type></reason></policy"}, `policy_evaluated/reason/type, line 4: "because" is not one of`},
		{second, `element feedback/record[2]/row/source_ip, line 5: "x" is not an ip address`},
		{[]string{"</feedback>", ""}, "element feedback, line 6: xml syntax: unexpected EOF"},
		{[]string{"</row>", ""}, "xml syntax: element <row> closed by </record>"},
		{[]string{">example.com</header", ">" + strings.Repeat("x", report.MaxText+1) + "</header"}, "identifiers/header_from, line 5: has more than 4096 bytes of text"},
		{[]string{">example.com</header", ">" + strings.Repeat("x", report.MaxToken+1) + "</header"}, "tag or text of more than 65536 bytes"},
		{[]string{"<row>", "<row a='" + strings.Repeat("x", report.MaxToken+1) + "'>"}, "tag or text of more than 65536 bytes"},
		{[]string{"<row>", "<!--" + strings.Repeat("<x>", report.MaxToken) + "--><row>"}, "tag or text of more than 65536 bytes"},
		{[]string{"<row>", strings.Repeat("<x>", report.MaxDepth) + "<row>"}, "elements more than 32 deep"},
	} {
		f, err := report.Parse([]byte(minimal(tc.edits...)))
		var e *report.Error
		if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.As(err, &e) {
			t.Errorf("%.100q: got %v, %v, expected %q", tc.edits, f, err, tc.want)
		}
	}
	text := minimal()
	i, j := strings.Index(text, "<record>"), strings.Index(text, "</feedback>")
	if _, err := report.Parse([]byte(text[:i] + text[j:])); err == nil || !strings.Contains(err.Error(), `element feedback, line 4: has no element "record"`) {
		t.Errorf("without record: %v", err)
	}
}

func TestEncodingsAreRead(t *testing.T) {
	t.Parallel()
	utf16Text := func(order binary.AppendByteOrder, mark bool, s string) string {
		var b []byte
		if mark {
			b = order.AppendUint16(b, 0xfeff)
		}
		for _, u := range utf16.Encode([]rune(s)) {
			b = order.AppendUint16(b, u)
		}
		return string(b)
	}
	text := func(encoding, org string) string {
		decl := "<?xml version='1.0'?>"
		if encoding != "" {
			decl = "<?xml version='1.0' encoding = \"" + encoding + "\"?>"
		}
		return decl + minimal(">o<", ">"+org+"<")
	}
	for _, tc := range []struct{ name, text, want string }{
		{"none", text("", "ä"), "ä"},
		{"utf-8", text("UTF-8", "ä"), "ä"},
		{"utf-8 with mark", "\xef\xbb\xbf" + text("utf-8", "ä"), "ä"},
		{"latin 1", text("ISO-8859-1", "\xe4"), "ä"},
		{"windows-1251", text("windows-1251", "\xe4"), "д"},
		{"unknown", text("x-klingon", "ä"), "ä"},
		{"utf-8 that is none", text("utf-8", "\xe4b\x01"), "�b�"},
		{"utf-8 declared utf-16", text("utf-16", "ä"), "ä"},
		{"utf-16", utf16Text(binary.LittleEndian, true, text("utf-16", "ä")), "ä"},
		{"utf-16 other order", utf16Text(binary.BigEndian, true, text("utf-16", "ä")), "ä"},
		{"utf-16 without mark", utf16Text(binary.LittleEndian, false, text("utf-16", "ä")), "ä"},
		{"utf-16 without mark, other order", utf16Text(binary.BigEndian, false, text("utf-16", "ä")), "ä"},
	} {
		f, err := report.Parse([]byte(tc.text))
		if err != nil || f.Metadata.OrgName != tc.want {
			t.Errorf("%s: got %+v, %v, expected %q", tc.name, f, err, tc.want)
		}
	}
}

func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	text := minimal()
	head := text[:strings.Index(text, "<record>")]
	const record = "<record><row><source_ip>::</source_ip><count>1</count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>" +
		"<identifiers><header_from/></identifiers><auth_results/></record>"
	for endless, want := range map[string]string{
		record: "more than 50000 records",
		"<a/>": "more than 1000000 elements",
		strings.Repeat(" ", report.MaxToken-100) + "<a/>": "xml of more than 20971520 bytes",
	} {
		_, err := report.ParseXML(io.MultiReader(strings.NewReader(head), &repeat{text: endless}))
		if !errors.Is(err, report.ErrTooLarge) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q without end: got %v, expected %q", endless, err, want)
		}
	}
}

// repeat reads a text again and again.
type repeat struct {
	text string
	pos  int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.pos:])
	r.pos = (r.pos + n) % len(r.text)
	return n, nil
}

func FuzzParseXML(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(minimal()))
	f.Add([]byte("<?xml version='1.0' encoding='latin1'?>" + minimal(">o<", ">\xe4<")))
	f.Add([]byte("<!DOCTYPE x [<!ENTITY a '&a;&a;'>]>" + minimal(">o<", ">&a;<")))
	f.Add([]byte(gz(f, minimal())))
	f.Add([]byte(zipped(f, minimal(), "x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		fb, err := report.Parse(data)
		if plain, xerr := report.ParseXML(bytes.NewReader(data)); xerr == nil && (err != nil || !equal(fb, plain)) {
			t.Fatalf("as a file: %v, differs", err)
		}
		if err != nil {
			return
		}
		if len(fb.Records) == 0 || fb.Messages() < 0 || len(fb.Notes) > report.MaxNotes {
			t.Fatalf("got %+v", fb)
		}
		checkRoundTrip(t, fb)
	})
}

func BenchmarkParseXML(b *testing.B) {
	text := minimal()
	i, j := strings.Index(text, "<record>"), strings.Index(text, "</record>")+len("</record>")
	text = text[:i] + strings.Repeat(text[i:j], 1000) + text[j:]
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := report.ParseXML(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
