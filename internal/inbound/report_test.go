package inbound

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/testkit"
	"mox/tlsrpt"
)

// reportNow is when reports are received in these tests.
var reportNow = time.Date(2024, 3, 2, 0, 0, 0, 0, time.UTC)

// aggregate is a report about example.org until the second before reportNow. Texts in
// edits replace others, in pairs.
func aggregate(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(fmt.Sprintf(`<feedback>
<report_metadata><org_name>o</org_name><email>e@reporter.example</email><report_id>1</report_id><date_range><begin>1</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>example.org</domain><p>none</p></policy_published>
<record><row><source_ip>10.0.0.1</source_ip><count>1</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>example.org</header_from></identifiers><auth_results></auth_results></record>
</feedback>`, reportNow.Unix()-1))
}

// tlsReport is one about example.org. Texts in edits replace others, in pairs.
func tlsReport(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`{"organization-name":"o","date-range":{"start-datetime":"2024-03-01T00:00:00Z","end-datetime":"2024-03-01T23:59:59Z"},
"contact-info":"e@reporter.example","report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-domain":"example.org"},
"summary":{"total-successful-session-count":1,"total-failure-session-count":0}}]}`)
}

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipped(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, s := range files {
		f, err := w.Create(fmt.Sprintf("f%d.xml", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// mail is a message with a part of a type.
func mail(typ, data string) string {
	enc := base64.StdEncoding.EncodeToString([]byte(data))
	var b strings.Builder
	for len(enc) > 76 {
		b.WriteString(enc[:76] + "\r\n")
		enc = enc[76:]
	}
	b.WriteString(enc)
	return "From: <r@reporter.example>\r\nSubject: report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nhere\r\n--b\r\nContent-Type: " + typ + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b.String() + "\r\n--b--\r\n"
}

// reporterAuth is of a message that has all that reports need.
func reporterAuth(t testing.TB, from, signer string) *Auth {
	t.Helper()
	parse := func(s string) dns.Domain {
		d, err := dns.ParseDomain(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return &Auth{
		Arrival: Arrival{RemoteIP: netip.MustParseAddr("192.0.2.1")},
		From:    []dns.Domain{parse(from)},
		DMARC:   dmarc.Result{Status: dmarc.StatusPass, From: parse(from)},
		DKIM:    []dkim.Result{{Status: dkim.StatusPass, Signature: &dkim.Sig{Domain: parse(signer), Length: -1}, Record: &dkim.Record{}}},
	}
}

// hereOnly are the domains there can be reports about.
func hereOnly(d dns.Domain) bool {
	return d.ASCII == "example.org" || d.ASCII == "mx.example.org"
}

func reportMessage(auth *Auth, msg string) ReportMessage {
	return ReportMessage{Auth: auth, Content: strings.NewReader(msg), Size: int64(len(msg)), About: hereOnly, Now: reportNow}
}

// checkError checks that an error has a text, or that there is none.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestDMARCReportIsTakenFromItsAuthorAboutDomainsHere(t *testing.T) {
	t.Parallel()
	end := fmt.Sprint(reportNow.Unix() - 1)
	status := func(s dmarc.Status) func(*Auth) { return func(a *Auth) { a.DMARC.Status = s } }
	for name, test := range map[string]struct {
		msg  string
		edit func(*Auth)
		err  string
	}{
		"gzip":                         {msg: mail("application/gzip", gzipped(t, aggregate()))},
		"zip":                          {msg: mail("application/zip", zipped(t, aggregate()))},
		"plain xml":                    {msg: mail("text/xml", aggregate())},
		"unknown type":                 {msg: mail("application/octet-stream", gzipped(t, aggregate()))},
		"domain in other case":         {msg: mail("text/xml", aggregate("<domain>example.org", "<domain>EXAMPLE.org."))},
		"end just ahead of our clock":  {msg: mail("text/xml", aggregate(end, fmt.Sprint(reportNow.Unix()+60)))},
		"end in the future":            {msg: mail("text/xml", aggregate(end, fmt.Sprint(reportNow.Unix()+61))), err: "about the future"},
		"end far in the future":        {msg: mail("text/xml", aggregate(end, "253402300799")), err: "about the future"},
		"other domain":                 {msg: mail("text/xml", aggregate("<domain>example.org", "<domain>example.com")), err: "domain example.com, which is not here"},
		"subdomain":                    {msg: mail("text/xml", aggregate("<domain>example.org", "<domain>sub.example.org")), err: "not here"},
		"no domain":                    {msg: mail("text/xml", aggregate("<domain>example.org", "<domain>")), err: "domain of the policy"},
		"domain that is none":          {msg: mail("text/xml", aggregate("<domain>example.org", "<domain>a b\x7f")), err: "domain of the policy"},
		"no report":                    {msg: mail("text/html", "<p>hi</p>"), err: "no aggregate report"},
		"malformed":                    {msg: mail("text/xml", "<feedback><record>"), err: "xml syntax"},
		"zip of two files":             {msg: mail("application/zip", zipped(t, aggregate(), aggregate())), err: "not one with exactly one file"},
		"dmarc fail":                   {msg: mail("text/xml", aggregate()), edit: status(dmarc.StatusFail), err: "does not pass dmarc: fail"},
		"dmarc none":                   {msg: mail("text/xml", aggregate()), edit: status(dmarc.StatusNone), err: "does not pass dmarc: none"},
		"dmarc temperror":              {msg: mail("text/xml", aggregate()), edit: status(dmarc.StatusTemperror), err: "does not pass dmarc: temperror"},
		"unsigned, but spf is aligned": {msg: mail("text/xml", aggregate()), edit: func(a *Auth) { a.DKIM = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth := reporterAuth(t, "reporter.example", "reporter.example")
			if test.edit != nil {
				test.edit(auth)
			}
			rep, err := NewReportReader().DMARC(context.Background(), reportMessage(auth, test.msg))
			checkError(t, err, test.err)
			if err == nil && (rep.TLS != nil || rep.DMARC.PolicyDomain() != "example.org") {
				t.Errorf("report %+v", rep)
			}
		})
	}
}

func TestTLSReportIsTakenFromItsSignerAboutDomainsHere(t *testing.T) {
	t.Parallel()
	plain := mail("application/tlsrpt+json", tlsReport())
	for name, test := range map[string]struct {
		msg          string
		from, signer string // Empty is reporter.example.
		edit         func(*Auth)
		err          string
	}{
		"json":                     {msg: plain},
		"gzip":                     {msg: mail("application/tlsrpt+gzip", gzipped(t, tlsReport()))},
		"about the host":           {msg: mail("application/tlsrpt+json", tlsReport(`"example.org"`, `"mx.example.org"`))},
		"other domain":             {msg: mail("application/tlsrpt+json", tlsReport(`"example.org"`, `"example.com"`)), err: "not about a domain or host here"},
		"end in the future":        {msg: mail("application/tlsrpt+json", tlsReport("2024-03-01T23:59:59Z", "2024-03-02T00:01:01Z")), err: "about the future"},
		"end ahead of our clock":   {msg: mail("application/tlsrpt+json", tlsReport("2024-03-01T23:59:59Z", "2024-03-02T00:01:00Z"))},
		"no report":                {msg: mail("text/plain", "hi"), err: "no report"},
		"malformed":                {msg: mail("application/tlsrpt+json", "{"), err: "malformed"},
		"signed by a parent":       {msg: plain, from: "mail.reporter.example"},
		"signed by a child":        {msg: plain, signer: "mail.reporter.example", err: "no valid dkim signature"},
		"signed by a sibling":      {msg: plain, from: "a.reporter.example", signer: "b.reporter.example", err: "no valid dkim signature"},
		"signed by another":        {msg: plain, signer: "evil.example", err: "no valid dkim signature"},
		"signed by a namesake":     {msg: plain, from: "notreporter.example", err: "no valid dkim signature"},
		"signed by the registry":   {msg: plain, from: "reporter.co.uk", signer: "co.uk", err: "no valid dkim signature"},
		"from below a private one": {msg: plain, from: "me.github.io", signer: "github.io", err: "no valid dkim signature"},
		"not signed":               {msg: plain, edit: func(a *Auth) { a.DKIM = nil }, err: "no valid dkim signature"},
		"signature fails":          {msg: plain, edit: func(a *Auth) { a.DKIM[0].Status = dkim.StatusFail }, err: "no valid dkim signature"},
		"malformed signature":      {msg: plain, edit: func(a *Auth) { a.DKIM[0].Signature = nil }, err: "no valid dkim signature"},
		"part of the body signed":  {msg: plain, edit: func(a *Auth) { a.DKIM[0].Signature.Length = 0 }, err: "only a part"},
		"key for mail only":        {msg: plain, edit: func(a *Auth) { a.DKIM[0].Record.Services = []string{"email"} }, err: "not for tls reports"},
		"key for both":             {msg: plain, edit: func(a *Auth) { a.DKIM[0].Record.Services = []string{"email", "tlsrpt"} }},
		"second signature is good": {msg: plain, edit: func(a *Auth) {
			bad := a.DKIM[0]
			bad.Status = dkim.StatusFail
			a.DKIM = []dkim.Result{bad, a.DKIM[0]}
		}},
		"two domains in from":                         {msg: plain, edit: func(a *Auth) { a.From = append(a.From, dns.Domain{ASCII: "evil.example"}) }, err: "no single domain"},
		"from that is unclear":                        {msg: plain, edit: func(a *Auth) { a.FromErr = errors.New("unclear") }, err: "no single domain"},
		"dmarc fails, as mailing lists do not matter": {msg: plain, edit: func(a *Auth) { a.DMARC.Status = dmarc.StatusNone }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			domains := [2]string{test.from, test.signer}
			for i := range domains {
				if domains[i] == "" {
					domains[i] = "reporter.example"
				}
			}
			auth := reporterAuth(t, domains[0], domains[1])
			if test.edit != nil {
				test.edit(auth)
			}
			rep, err := NewReportReader().TLS(context.Background(), reportMessage(auth, test.msg))
			checkError(t, err, test.err)
			if err == nil && (rep.DMARC != nil || len(rep.TLS.Domains()) != 1) {
				t.Errorf("report %+v", rep)
			}
		})
	}
}

func TestReportWithoutAuthenticationIsNone(t *testing.T) {
	t.Parallel()
	rr := NewReportReader()
	if _, err := rr.DMARC(context.Background(), reportMessage(nil, mail("text/xml", aggregate()))); !errors.Is(err, errNoAuth) {
		t.Errorf("dmarc: %v", err)
	}
	if _, err := rr.TLS(context.Background(), reportMessage(nil, mail("application/tlsrpt+json", tlsReport()))); !errors.Is(err, errNoAuth) {
		t.Errorf("tls: %v", err)
	}
}

func TestBombsAreRefusedWithLittleMemory(t *testing.T) {
	t.Parallel()
	head, tail, _ := strings.Cut(aggregate(), "<record>")
	record, end, _ := strings.Cut("<record>"+tail, "</feedback>")
	bomb := head + strings.Repeat(" ", 40<<20) + record
	many := head + strings.Repeat(record, report.MaxRecords+1) + "</feedback>" + end
	tlsBomb := strings.Replace(tlsReport(), `"o"`, `"`+strings.Repeat("x", 40<<20)+`"`, 1)
	var nested strings.Builder
	nested.WriteString("Content-Type: multipart/mixed; boundary=b0\r\n")
	for i := range 10_000 {
		fmt.Fprintf(&nested, "\r\n--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n", i, i+1)
	}
	for name, test := range map[string]struct {
		tls bool
		msg string
		err string
	}{
		"gzip":          {msg: mail("application/gzip", gzipped(t, bomb)), err: "too large"},
		"zip":           {msg: mail("application/zip", zipped(t, bomb)), err: "too large"},
		"many records":  {msg: mail("application/gzip", gzipped(t, many)), err: "too large"},
		"nested parts":  {msg: nested.String(), err: "no aggregate report"},
		"tls":           {tls: true, msg: mail("application/tlsrpt+gzip", gzipped(t, tlsBomb)), err: "too large"},
		"tls in nested": {tls: true, msg: nested.String(), err: "no report"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m := reportMessage(reporterAuth(t, "reporter.example", "reporter.example"), test.msg)
		read := NewReportReader().DMARC
		if test.tls {
			read = NewReportReader().TLS
		}
		_, err := read(context.Background(), m)
		runtime.ReadMemStats(&after)
		checkError(t, err, test.err)
		t.Logf("%s: message of %d bytes, %d MB allocated, %v", name, len(test.msg), (after.TotalAlloc-before.TotalAlloc)>>20, err)
	}
}

func TestReportsAreReadFewAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rr := NewReportReader()
		m := reportMessage(reporterAuth(t, "reporter.example", "reporter.example"), mail("text/xml", aggregate()))
		for range MaxReportReaders {
			rr.slots <- struct{}{}
		}
		start := time.Now()
		if _, err := rr.DMARC(context.Background(), m); !errors.Is(err, errReportBusy) || time.Since(start) != reportWait {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := rr.DMARC(ctx, m); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a deadline: %v", err)
		}
		done := make(chan error)
		go func() {
			_, err := rr.DMARC(context.Background(), m)
			done <- err
		}()
		synctest.Wait()
		<-rr.slots
		if err := <-done; err != nil {
			t.Errorf("when another has been read: %v", err)
		}
		if n := len(rr.slots); n != MaxReportReaders-1 {
			t.Errorf("%d slots are taken", n)
		}
	})
}

func TestReportsOfANetworkAreLimited(t *testing.T) {
	t.Parallel()
	rr := NewReportReader()
	auth := reporterAuth(t, "reporter.example", "reporter.example")
	for range MaxReportsDay {
		if _, err := rr.DMARC(context.Background(), reportMessage(auth, "")); !errors.Is(err, report.ErrNoReport) {
			t.Fatal(err) // Also what is no report counts.
		}
	}
	m := reportMessage(auth, mail("text/xml", aggregate()))
	if _, err := rr.DMARC(context.Background(), m); !errors.Is(err, errReportRate) {
		t.Errorf("one more: %v", err)
	}
	m.Now = m.Now.Add(48 * time.Hour)
	if _, err := rr.DMARC(context.Background(), m); err != nil {
		t.Errorf("two days later: %v", err)
	}
	other := reporterAuth(t, "reporter.example", "reporter.example")
	other.RemoteIP = netip.MustParseAddr("2001:db8::1")
	if _, err := rr.DMARC(context.Background(), reportMessage(other, mail("text/xml", aggregate()))); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

func TestReportsOfTheRealWorldAreRead(t *testing.T) {
	t.Parallel()
	all := func(dns.Domain) bool { return true }
	for file, want := range map[string]string{
		"aggregate/Report domain- borschow.com Submitter- google.com Report-ID- 949348866075514174.eml": "borschow.com",
		"aggregate/mimecast-weird-gzip.eml":       "ab.id.au",
		"aggregate/twilight.eml":                  "twlnet.com",
		"smtp_tls/google.com_smtp_tls_report.eml": "",
		"failure/dmarc_ruf_report_linkedin.eml":   "no aggregate report",
	} {
		msg := testkit.ReadFile(t, testkit.Shared(t, "testdata/reports/"+file))
		m := reportMessage(reporterAuth(t, "reporter.example", "reporter.example"), string(msg))
		m.About, m.Now = all, time.Time{}
		rr := NewReportReader()
		if strings.HasPrefix(file, "smtp_tls") {
			if rep, err := rr.TLS(context.Background(), m); err != nil || len(rep.TLS.Domains()) == 0 {
				t.Errorf("%s: %v", file, err)
			}
			if _, err := rr.DMARC(context.Background(), m); err == nil {
				t.Errorf("%s is an aggregate report", file)
			}
			continue
		}
		rep, err := rr.DMARC(context.Background(), m)
		if strings.Contains(want, " ") {
			checkError(t, err, want)
		} else if err != nil || rep.DMARC.PolicyDomain() != want {
			t.Errorf("%s: %+v, %v", file, rep, err)
		}
		if _, err := rr.TLS(context.Background(), m); !errors.Is(err, tlsrpt.ErrNoReport) {
			t.Errorf("%s as tls report: %v", file, err)
		}
		m.About = hereOnly
		if _, err := rr.DMARC(context.Background(), m); err == nil {
			t.Errorf("%s is about a domain here", file)
		}
	}
}

func TestReportErrorFitsInAHeaderField(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                            "plain",
		"a\r\nBcc: x@example.org\x00é\x7f": "a??Bcc: x@example.org???",
		strings.Repeat("x", 5000):          strings.Repeat("x", maxReportError) + "...",
	} {
		if got := ReportError(errors.New(in)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
