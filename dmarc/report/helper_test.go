package report_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"mox/dmarc/report"
	"mox/dns"
)

func equal(a, b *report.Feedback) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

func domain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomainLax(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// minimal is a report with the least that it must have. Texts in edits replace
// others, in pairs.
func minimal(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`<feedback>
<report_metadata><org_name>o</org_name><email>e@example.org</email><report_id>1</report_id><date_range><begin>1</begin><end>2</end></date_range></report_metadata>
<policy_published><domain>example.com</domain><p>none</p></policy_published>
<record><row><source_ip>10.0.0.1</source_ip><count>1</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>example.com</header_from></identifiers><auth_results></auth_results></record>
</feedback>`)
}

// base64Lines encodes data for a mail message.
func base64Lines(data string) string {
	s := base64.StdEncoding.EncodeToString([]byte(data))
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}
