package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/dmarc/dmarcdb"
	"mox/dns"
	"mox/internal/safefile"
	"mox/tlsrpt/tlsrptdb"
)

const localhostAggregate = `<feedback>
<report_metadata><org_name>o</org_name><email>e@reporter.example</email><report_id>1</report_id><date_range><begin>1</begin><end>2</end></date_range></report_metadata>
<policy_published><domain>localhost</domain><p>none</p></policy_published>
<record><row><source_ip>10.0.0.1</source_ip><count>7</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>localhost</header_from></identifiers><auth_results></auth_results></record>
</feedback>`

const localhostTLSReport = `{"organization-name":"o","date-range":{"start-datetime":"2024-03-01T00:00:00Z","end-datetime":"2024-03-01T23:59:59Z"},
"contact-info":"e@reporter.example","report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-domain":"localhost"},
"summary":{"total-successful-session-count":1,"total-failure-session-count":0}}]}`

func TestReportsAreAddedFromFilesAndMessages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made ", "")
	add := func(in, kind string, args ...string) result {
		return mox(t, in, append([]string{"-config", filepath.Join(dir, "mox.conf"), kind, "addreport"}, args...)...)
	}
	file := filepath.Join(t.TempDir(), "report")
	if err := os.WriteFile(file, []byte(localhostAggregate), 0600); err != nil {
		t.Fatal(err)
	}
	add("", "dmarcdb", "reporter.example", file).want(t, 0, "report: report stored\n", "")
	add("", "dmarcdb", "reporter.example", file).want(t, 1, "", "report was received before")
	message := "Content-Type: text/xml\r\n\r\n" + strings.Replace(localhostAggregate, "<report_id>1", "<report_id>2", 1)
	add(message, "dmarcdb", "reporter.example").want(t, 0, "standard input: report stored\n", "")
	add(strings.Replace(localhostAggregate, "<domain>localhost", "<domain>example.com", 1), "dmarcdb", "reporter.example").want(t, 1, "", "not in the configuration")
	add("x", "dmarcdb", "reporter.example").want(t, 1, "", "standard input: ")
	add(localhostAggregate, "dmarcdb", "not a domain").want(t, 1, "", "domain")
	add("", "dmarcdb").want(t, 2, "", "usage: mox dmarcdb addreport fromdomain [file ...]")

	add(localhostTLSReport, "tlsrptdb", "-hostreport", "reporter.example").want(t, 0, "report stored", "")
	add(localhostTLSReport, "tlsrptdb", "reporter.example").want(t, 1, "", "report was received before")
	add(strings.Replace(localhostTLSReport, `"localhost"`, `"example.com"`, 1), "tlsrptdb", "reporter.example").want(t, 1, "", "not about a domain or host here")
	add("x", "tlsrptdb", "reporter.example", filepath.Join(dir, "absent")).want(t, 1, "", "no such file")

	data := filepath.Join(dir, "data")
	db, err := dmarcdb.Open(t.Context(), dmarcdb.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	l, err := db.Reports(t.Context(), dns.Domain{}, time.Time{}, time.Now(), 0)
	if err != nil || len(l) != 2 || l[0].Tally.Messages != 7 || l[0].FromDomain != "reporter.example" {
		t.Errorf("dmarc reports %+v, %v", l, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	tdb, err := tlsrptdb.Open(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tdb.Reports(t.Context(), dns.Domain{}, time.Time{}, time.Now(), 0)
	if err != nil || len(r) != 1 || !r[0].HostReport || r[0].Successes != 1 {
		t.Errorf("tls reports %+v, %v", r, err)
	}
	if err := tdb.Close(); err != nil {
		t.Fatal(err)
	}

	lock, err := safefile.LockDir(data)
	if err != nil {
		t.Fatal(err)
	}
	add(localhostAggregate, "dmarcdb", "reporter.example").want(t, 1, "", "stop the server first")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}
