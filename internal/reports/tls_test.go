package reports

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/testkit"
	"mox/message"
	"mox/smtp"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

// session returns how TLS went with a host, for mail to a domain.
func session(t testing.TB, domain, policyDomain string, failures int64) tlsrptdb.Session {
	t.Helper()
	s := tlsrptdb.Session{
		RecipientDomain: parseDomain(t, domain),
		PolicyDomain:    parseDomain(t, policyDomain),
		IsHost:          domain != policyDomain,
		SendReport:      true,
		Result:          tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: policyDomain}},
	}
	if failures == 0 {
		s.Result.Add(1, 0)
		return s
	}
	s.Result.Policy.Type = tlsrpt.PolicySTS
	s.Result.Policy.Text = []string{"version: STSv1", "mode: enforce", "mx: *.example.com", "max_age: 86400"}
	s.Result.Policy.MXHost = []string{"*.example.com"}
	if s.IsHost {
		s.Result.Policy = tlsrpt.Policy{Type: tlsrpt.PolicyTLSA, Domain: policyDomain, Text: []string{"3 1 1 abcd"}}
	}
	s.Result.Add(2, failures, tlsrpt.FailureDetail{
		ResultType: tlsrpt.ResultCertificateExpired, SendingMTAIP: "2001:db8::1", ReceivingMXHostname: "mx.example.com",
		ReceivingMXHelo: "mx.example.com", ReceivingIP: "192.0.2.1", Count: failures, FailureReasonCode: "x509-expired",
	})
	return s
}

// connect adds sessions.
func (e *env) connect(l ...tlsrptdb.Session) {
	e.Helper()
	e.check(e.tls.Add(time.Time{}, l...))
	e.check(e.tls.Flush(e.Context()))
}

// wantsTLS makes a domain or host ask for TLS reports.
func (e *env) wantsTLS(domain string, addresses ...string) {
	e.zone.txt["_smtp._tls."+domain] = "v=TLSRPTv1; rua=mailto:" + strings.Join(addresses, ",mailto:")
}

// tlsLeft returns about whom there are results.
func (e *env) tlsLeft() string {
	e.Helper()
	l, err := e.tls.Summaries(e.Context(), time.Now().Add(day))
	e.check(err)
	var s []string
	for _, sum := range l {
		s = append(s, sum.PolicyDomain)
	}
	return strings.Join(s, " ")
}

func parseTLS(t testing.TB, m queued) tlsrpt.Report {
	t.Helper()
	r, err := tlsrpt.ParseMessage(strings.NewReader(m.text), int64(len(m.text)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTLSReportIsSentWhenTheDayIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wantsTLS("example.com", "tls@example.com")
		midnight := time.Now().UTC().Truncate(day).Add(day)
		time.Sleep(time.Until(midnight.Add(-4 * time.Hour)))
		e.connect(session(t, "example.com", "example.com", 3), session(t, "example.com", "mx.example.com", 1), session(t, "example.com", "mx.example.com", 0))
		stop := e.run()
		time.Sleep(time.Until(midnight.Add(time.Minute)))
		e.connect(session(t, "example.com", "example.com", 1)) // Of the next day.
		time.Sleep(time.Until(midnight.Add(239 * time.Second)))
		synctest.Wait()
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("%d messages before the time", len(l))
		}
		time.Sleep(time.Until(midnight.Add(361 * time.Second)))
		synctest.Wait()
		stop()
		l := e.queued()
		if to(l) != "tls@example.com" || e.tlsLeft() != "example.com" {
			t.Fatalf("queued %q, left %q", to(l), e.tlsLeft())
		}
		m := l[0]
		if m.Account != "boss" || m.SenderLocalpart != "postmaster" || m.SenderDomain != "example.org" || m.MaxAttempts != 5 || !m.Bulk ||
			smtp.Notify(m.Notify) != smtp.NotifyNever || m.RequireTLS == nil || *m.RequireTLS || KindOf(m.base) != KindTLS {
			t.Errorf("message %+v, %+v", m.Message, m.base)
		}
		e.verified(m, "TLS-Report-Domain", "TLS-Report-Submitter", "From", "Subject")
		r := parseTLS(t, m)
		checkTLSMessage(t, m, r)
		if !r.Start.Equal(midnight.Add(-day)) || !r.End.Equal(midnight.Add(-time.Second)) {
			t.Errorf("period %s - %s", r.Start, r.End)
		}
		var json bytes.Buffer
		if err := r.WriteJSON(&json); err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, "testdata/tls.json", json.Bytes())
	})
}

// checkTLSMessage checks the form of a message with a TLS report, RFC 8460 §5.3.
func checkTLSMessage(t *testing.T, m queued, r tlsrpt.Report) {
	t.Helper()
	rd := strings.NewReader(m.text)
	root, err := message.Parse(rd, rd.Size(), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := message.ReadHeader(rd, rd.Size(), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"From":                 "postmaster@example.org",
		"To":                   "tls@example.com",
		"Subject":              "Report Domain: example.com Submitter: example.org Report-ID: <" + r.ReportID + ">",
		"TLS-Report-Domain":    "example.com",
		"TLS-Report-Submitter": "example.org", // The domain of the contact, RFC 8460 §5.3.
		"TLS-Required":         "No",
		"Message-ID":           m.base.MessageID,
		"Auto-Submitted":       "auto-generated",
	} {
		if got := h.Text(name); got != want {
			t.Errorf("%s: %q, expected %q", name, got, want)
		}
	}
	if r.ContactInfo != "postmaster@example.org" || r.OrganizationName != "mx.example.org" || !strings.HasSuffix(r.ReportID, "@example.org") || !report.ValidReportID(r.ReportID) {
		t.Errorf("report %+v", r)
	}
	if !root.Is("multipart/report") || root.Param("report-type") != "tlsrpt" || len(root.Parts) != 2 || !root.Parts[0].Is("text/plain") || !root.Parts[1].Is("application/tlsrpt+gzip") {
		t.Fatalf("parts %+v", root.Parts)
	}
	want := fmt.Sprintf("example.org!example.com!%d!%d!%s.json.gz", r.Start.Unix(), r.End.Unix(), uniqueID(r.ReportID))
	if name := root.Parts[1].Filename(); name != want {
		t.Errorf("file %q, expected %q", name, want)
	}
}

func TestTLSReportIsSentIfThereIsAReason(t *testing.T) {
	t.Parallel()
	always := func(s *config.Static, _ *config.Dynamic) { s.OutgoingTLSReportsForAllSuccess = true }
	for name, tc := range map[string]struct {
		change   change
		failures int64
		never    bool // Sessions are no reason.
		rua      string
		fault    error
		want     string
		kept     bool
	}{
		"failure":              {failures: 1, want: "tls@example.com"},
		"success":              {},
		"success that counts":  {change: always, want: "tls@example.com"},
		"only reports":         {change: always, failures: 1, never: true},
		"turned off":           {change: func(s *config.Static, _ *config.Dynamic) { s.NoOutgoingTLSReports = true }, failures: 1, kept: true},
		"without dkim":         {change: func(_ *config.Static, d *config.Dynamic) { d.Domains["example.org"] = config.DomainFields{} }, failures: 1, kept: true},
		"only with https":      {failures: 1, rua: "v=TLSRPTv1; rua=https://example.com/"},
		"also with https":      {failures: 1, rua: "v=TLSRPTv1; rua=https://example.com/,mailto:b@other.example,mailto:b@other.example", want: "b@other.example"},
		"two bad addresses":    {failures: 1, rua: "v=TLSRPTv1; rua=mailto:a@b@c,mailto:"},
		"no good record":       {failures: 1, rua: "v=TLSRPTv1; rua="},
		"no record":            {failures: 1, fault: dns.ErrNotFound},
		"temporary dns error":  {failures: 1, fault: dns.ErrTemporary, kept: true},
		"bogus":                {failures: 1, fault: dns.ErrBogus, kept: true},
		"dns error that stays": {failures: 1, fault: dns.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var changes []change
				if tc.change != nil {
					changes = append(changes, tc.change)
				}
				e := newEnv(t, changes...)
				e.wantsTLS("example.com", "tls@example.com")
				if tc.rua != "" {
					e.zone.txt["_smtp._tls.example.com"] = tc.rua
				}
				e.zone.fault("_smtp._tls.example.com", tc.fault)
				s := session(t, "example.com", "example.com", tc.failures)
				s.SendReport = !tc.never
				e.connect(s)
				time.Sleep(day)
				l := e.runFor(30 * time.Minute)
				if to(l) != tc.want || (e.tlsLeft() != "") != tc.kept {
					t.Errorf("sent to %q, left %q", to(l), e.tlsLeft())
				}
				if e.runFor(3 * day); e.tlsLeft() != "" {
					t.Errorf("left after days: %q", e.tlsLeft())
				}
			})
		})
	}
}

func TestHostsAreToldOnceAndAfterDomains(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		domain, other, host []string // Addresses.
		want                string   // Recipients, with the policies that they are told about.
	}{
		"nobody": {want: ""},
		"only host": {host: []string{"h@host.example"},
			want: "h@host.example host.example:4"},
		"all the same": {domain: []string{"t@example.com"}, other: []string{"t@example.com"}, host: []string{"t@example.com"},
			want: "t@example.com example.com:1 host.example:3, t@example.com example.net:1 host.example:1"},
		"host is of one": {domain: []string{"t@example.com"}, other: []string{"x@example.net"}, host: []string{"t@example.com"},
			want: "t@example.com example.com:1 host.example:3, x@example.net example.net:1 host.example:1, t@example.com host.example:1"},
		"host is of another": {domain: []string{"t@example.com"}, host: []string{"h@host.example"},
			want: "t@example.com example.com:1 host.example:3, h@host.example host.example:4"},
		"host has more addresses": {domain: []string{"t@example.com"}, host: []string{"t@example.com", "h@host.example"},
			want: "t@example.com example.com:1 host.example:3, t@example.com host.example:4, h@host.example host.example:4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t)
				for domain, l := range map[string][]string{"example.com": tc.domain, "example.net": tc.other, "host.example": tc.host} {
					if len(l) > 0 {
						e.wantsTLS(domain, l...)
					}
				}
				e.connect(session(t, "example.com", "example.com", 1), session(t, "example.com", "host.example", 3),
					session(t, "example.net", "example.net", 1), session(t, "example.net", "host.example", 1))
				time.Sleep(day)
				var got []string
				for _, m := range e.runFor(50 * time.Minute) {
					s := to([]queued{m})
					for _, p := range parseTLS(t, m).Policies {
						s += fmt.Sprintf(" %s:%d", p.Policy.Domain, p.Failures)
					}
					got = append(got, s)
				}
				if s := strings.Join(got, ", "); s != tc.want || e.tlsLeft() != "" {
					t.Errorf("got  %s\nwant %s\nleft %q", s, tc.want, e.tlsLeft())
				}
			})
		})
	}
}

// Where DANE fails, there are results about the host only.
func TestDomainIsToldOfHostsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wantsTLS("example.com", "tls@example.com")
		e.wantsTLS("mx.example.com", "host@example.com")
		time.Sleep(time.Hour)
		e.connect(session(t, "example.com", "mx.example.com", 2), session(t, "quiet.example", "mx.example.com", 1))
		time.Sleep(day)
		l := e.runFor(3 * time.Hour)
		if got := to(l); got != "tls@example.com host@example.com" && got != "host@example.com tls@example.com" {
			t.Fatalf("queued %q", got)
		}
		for _, m := range l {
			if r := parseTLS(t, m); len(r.Policies) != 1 || r.Policies[0].Policy.Domain != "mx.example.com" || r.Policies[0].Failures == 0 {
				t.Errorf("report %+v", r)
			}
		}
		if e.tlsLeft() != "" {
			t.Errorf("left %q", e.tlsLeft())
		}
	})
}

func TestHostsWaitForDomainsThatCannotBeToldYet(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"in the end told": true, "never told": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t)
				e.wantsTLS("example.com", "t@example.com")
				e.wantsTLS("host.example", "t@example.com")
				e.zone.fault("_smtp._tls.example.com", dns.ErrTemporary)
				e.connect(session(t, "example.com", "example.com", 1), session(t, "example.com", "host.example", 1))
				time.Sleep(day)
				if l := e.runFor(5 * time.Hour); len(l) != 0 || e.tlsLeft() != "example.com host.example" {
					t.Fatalf("%d messages, left %q", len(l), e.tlsLeft())
				}
				want, policies := "example.com", 2
				if ends {
					e.zone.fault("_smtp._tls.example.com", nil)
				} else {
					want, policies = "host.example", 1
				}
				l := e.runFor(20 * time.Hour)
				if len(l) != 1 || e.tlsLeft() != strings.TrimPrefix("example.com", map[bool]string{true: "example.com"}[ends]) {
					t.Fatalf("%d messages, left %q", len(l), e.tlsLeft())
				}
				if r := parseTLS(t, l[0]); len(r.Policies) != policies || !strings.Contains(l[0].base.Subject, "Domain: "+want) {
					t.Errorf("%s: %+v", l[0].base.Subject, r)
				}
			})
		})
	}
}

func TestTLSReportIsSentAgainWithTheSameID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wantsTLS("example.com", "t@example.com")
		e.connect(session(t, "example.com", "example.com", 1))
		time.Sleep(day)
		good := e.opts
		e.opts.Queue = &broken{Queue: e.queue, after: errors.New("killed")}
		if l := e.runFor(10 * time.Minute); len(l) != 1 || e.tlsLeft() == "" {
			t.Fatalf("%d messages, left %q", len(l), e.tlsLeft())
		}
		e.opts = good
		l := e.runFor(10 * time.Minute)
		if len(l) != 2 || e.tlsLeft() != "" {
			t.Fatalf("%d messages, left %q", len(l), e.tlsLeft())
		}
		if a, b := parseTLS(t, l[0]), parseTLS(t, l[1]); a.ReportID != b.ReportID || l[0].base.MessageID != l[1].base.MessageID {
			t.Errorf("ids %s and %s", a.ReportID, b.ReportID)
		}
	})
}

func TestSuppressedAddressGetsNoTLSReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wantsTLS("example.com", "t@xn--bcher-kva.example", "u@xn--bcher-kva.example")
		_, err := e.tls.Suppress(t.Context(), "T@bücher.example", time.Now().Add(3*day), "")
		e.check(err)
		e.connect(session(t, "example.com", "example.com", 1))
		time.Sleep(day)
		if l := e.runFor(10 * time.Minute); to(l) != "u@xn--bcher-kva.example" {
			t.Errorf("sent to %q", to(l))
		}
	})
}

func TestDetailsOfATLSReportAreBounded(t *testing.T) {
	t.Parallel()
	var l []tlsrptdb.TLSResult
	for i := range 300 {
		p := tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: "host.example"}}
		for j := range 100 {
			p.Add(0, 1, tlsrpt.FailureDetail{ResultType: tlsrpt.ResultValidationFailure, ReceivingIP: fmt.Sprint(i, ".", j), Count: 1})
		}
		l = append(l, tlsrptdb.TLSResult{SendReport: i == 7, Results: []tlsrpt.PolicyResult{p}})
	}
	var r tlsrpt.Report
	if !addResults(&r, l) || len(r.Policies) != 1 || len(r.Policies[0].FailureDetails) != maxDetails || r.Policies[0].Failures != 30_000 {
		t.Errorf("%d policies, %d details, %d failures", len(r.Policies), len(r.Policies[0].FailureDetails), r.Policies[0].Failures)
	}
}
