package inbound

import (
	"context"
	"strings"
	"testing"

	"mox/dns"
)

// FuzzReportMessages reads messages as both kinds of reports. What is taken for one
// is about a domain here, and why it is not fits in a header field.
func FuzzReportMessages(f *testing.F) {
	f.Add(mail("text/xml", aggregate()))
	f.Add(mail("application/gzip", gzipped(f, aggregate())))
	f.Add(mail("application/zip", zipped(f, aggregate())))
	f.Add(mail("application/tlsrpt+json", tlsReport()))
	f.Add(mail("application/tlsrpt+gzip", gzipped(f, tlsReport())))
	f.Add("Content-Type: application/tlsrpt+json\r\n\r\n" + tlsReport())
	f.Add("Content-Type: text/xml\r\n\r\n" + aggregate())
	f.Fuzz(func(t *testing.T, msg string) {
		rr := NewReportReader()
		m := reportMessage(reporterAuth(t, "reporter.example", "reporter.example"), msg)
		var about []string
		rep, err := rr.DMARC(context.Background(), m)
		if err == nil {
			about = append(about, rep.DMARC.PolicyDomain())
		} else if s := ReportError(err); len(s) > maxReportError+3 || strings.ContainsAny(s, "\r\n") {
			t.Errorf("error %q", s)
		}
		rep, err = rr.TLS(context.Background(), m)
		if err == nil {
			about = append(about, rep.TLS.Domains()...)
		} else if s := ReportError(err); len(s) > maxReportError+3 || strings.ContainsAny(s, "\r\n") {
			t.Errorf("error %q", s)
		}
		for _, domain := range about {
			if !hereOnly(dns.Domain{ASCII: domain}) {
				t.Errorf("report is about %q", domain)
			}
		}
		if len(rr.slots) != 0 {
			t.Error("a slot is taken")
		}
	})
}
