package reports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"mox/dmarc/report"
	"mox/dns"
	"mox/mlog"
	"mox/smtp"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

// dayFormat is how days are written in the database.
const dayFormat = "20060102"

// tlsRound sends all TLS reports that are due: first to recipient domains, about their
// policies and hosts, then to the operators of hosts, about what those were not told.
func (s *Sender) tlsRound(ctx context.Context) {
	now := time.Now()
	if err := s.opts.TLS.Prune(ctx, now); err != nil {
		s.failed(ctx, KindTLS, "removing old tls results", "", err)
	}
	conf := s.opts.Config.Snapshot()
	if conf.Static.NoOutgoingTLSReports {
		return
	}
	if _, ok := conf.SignsFor(conf.Hostname); !ok {
		// Reports without a signature are to be discarded, RFC 8460 §3.
		s.log.DebugContext(ctx, "no tls reports without a domain with dkim at or above the hostname")
		return
	}
	domains, _, err := s.tlsDue(ctx, now)
	if err != nil {
		s.failed(ctx, KindTLS, "reading tls results", "", err)
		return
	}
	spread(ctx, s.log, domains, tlsSpread/2, func(ctx context.Context, d tlsDay) { s.tlsDomain(ctx, d, s.tlsRecipient) })
	left, hosts, err := s.tlsDue(ctx, now)
	if err != nil {
		s.failed(ctx, KindTLS, "reading tls results", "", err)
		return
	}
	hosts = slices.DeleteFunc(hosts, func(h tlsDay) bool {
		return now.Sub(h.begin.Add(day)) < hostsWait && slices.ContainsFunc(left, func(d tlsDay) bool { return d.day == h.day })
	})
	spread(ctx, s.log, hosts, tlsSpread/2, func(ctx context.Context, d tlsDay) { s.tlsDomain(ctx, d, s.tlsHost) })
}

// A tlsDay is a domain or host with results of a day.
type tlsDay struct {
	domain dns.Domain
	host   bool
	day    string
	begin  time.Time
}

// tlsDue returns the recipient domains and the hosts that there are results about, of
// days that are over.
func (s *Sender) tlsDue(ctx context.Context, now time.Time) (domains, hosts []tlsDay, err error) {
	l, err := s.opts.TLS.Summaries(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	untold, err := s.opts.TLS.Untold(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	seen := map[tlsDay]bool{}
	add := func(name string, host bool, date string) {
		domain, err := dns.ParseDomainLax(name)
		begin, terr := time.Parse(dayFormat, date)
		d := tlsDay{domain, host, date, begin}
		switch err := errors.Join(err, terr); {
		case err != nil:
			s.log.ErrorContext(ctx, "tls result cannot be reported", mlog.Err(err), slog.String("domain", name), slog.String("day", date))
			// Until it is old.
		case seen[d]:
		case host:
			hosts = append(hosts, d)
		default:
			domains = append(domains, d)
		}
		seen[d] = true
	}
	for _, sum := range l {
		add(sum.PolicyDomain, sum.IsHost, sum.Day)
	}
	for _, r := range untold {
		add(r.Domain, false, r.Day)
	}
	return domains, hosts, nil
}

// tlsDomain sends a report about a domain or host, if it is wanted, and removes what was
// reported. On a temporary error that is left for the next round.
func (s *Sender) tlsDomain(ctx context.Context, d tlsDay, send func(context.Context, tlsDay, []smtp.Address) error) {
	to, err := s.tlsAddresses(ctx, d.domain)
	if err == nil && len(to) > 0 {
		err = send(ctx, d, to)
	}
	if err != nil {
		s.failed(ctx, KindTLS, "sending tls report", d.domain.ASCII, err)
		if temporary(err) {
			return
		}
	}
	if !d.host {
		// Who wants no report is not asked again because of results about hosts.
		if err := s.opts.TLS.SetSent(context.WithoutCancel(ctx), d.domain, d.day, nil); err != nil {
			s.failed(ctx, KindTLS, "noting that a domain was told", d.domain.ASCII, err)
			return
		}
	}
	if err := s.opts.TLS.Remove(context.WithoutCancel(ctx), d.domain, d.host, d.day); err != nil {
		s.failed(ctx, KindTLS, "removing tls results that were reported", d.domain.ASCII, err)
	}
}

// lookupResult returns the label for the error of a lookup of a record.
func lookupResult(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, tlsrpt.ErrNoRecord):
		return "notfound"
	case temporary(err):
		return "temperror"
	}
	return "error"
}

// tlsAddresses returns who wants reports about a domain or host now. There is no sending
// with HTTPS.
func (s *Sender) tlsAddresses(ctx context.Context, domain dns.Domain) ([]smtp.Address, error) {
	start := time.Now()
	rec, _, _, err := tlsrpt.Lookup(ctx, s.log, s.opts.Resolver, domain)
	metricTLSLookup.WithLabelValues(lookupResult(err)).Observe(time.Since(start).Seconds())
	if err != nil && temporary(err) {
		return nil, err
	} else if err != nil {
		return nil, nil // No record, or none that can be used.
	}
	l := addressList{s: s, db: s.opts.TLS, at: time.Now()}
	for _, uri := range rec.RUA {
		if uri.Scheme() != "mailto" {
			continue
		}
		a, err := uri.Address()
		if err != nil {
			s.log.InfoContext(ctx, "address gets no tls report", slog.Any("domain", domain), slog.String("uri", string(uri)), mlog.Err(err))
			continue
		}
		if err := l.add(ctx, a); err != nil {
			return nil, err
		}
	}
	return l.l, nil
}

// tlsRecipient tells a recipient domain of deliveries to it.
func (s *Sender) tlsRecipient(ctx context.Context, d tlsDay, to []smtp.Address) error {
	l, err := s.opts.TLS.ForRecipientDomain(ctx, d.domain, d.day)
	if err != nil {
		return fmt.Errorf("%w: %w", errTemporary, err)
	}
	sent, err := s.tlsReport(ctx, d, to, l)
	if err != nil || !sent {
		return err
	}
	if err := s.opts.TLS.SetSent(context.WithoutCancel(ctx), d.domain, d.day, addressTexts(to)); err != nil {
		return fmt.Errorf("%w: %w", errTemporary, err)
	}
	return nil
}

// tlsHost tells who is responsible for a host of deliveries to it, but not of those for
// recipient domains that told the same addresses.
func (s *Sender) tlsHost(ctx context.Context, d tlsDay, to []smtp.Address) error {
	l, err := s.opts.TLS.ForPolicyDomain(ctx, d.domain, true, d.day)
	if err != nil {
		return fmt.Errorf("%w: %w", errTemporary, err)
	}
	texts := addressTexts(to)
	l = slices.DeleteFunc(l, func(r tlsrptdb.TLSResult) bool {
		told := func(a string) bool { return slices.Contains(r.RecipientDomainReportingAddresses, a) }
		return r.SentToRecipientDomain && !slices.ContainsFunc(texts, func(a string) bool { return !told(a) })
	})
	_, err = s.tlsReport(ctx, d, to, l)
	return err
}

// addressTexts returns addresses as they are kept in the database.
func addressTexts(l []smtp.Address) []string {
	var texts []string
	for _, a := range l {
		texts = append(texts, a.XString(false))
	}
	return texts
}

// tlsReport queues a report with results, if there is a reason to send one.
func (s *Sender) tlsReport(ctx context.Context, d tlsDay, to []smtp.Address, l []tlsrptdb.TLSResult) (sent bool, err error) {
	conf := s.opts.Config.Snapshot()
	signer, ok := conf.SignsFor(conf.Hostname)
	if !ok {
		return false, fmt.Errorf("%w: %w", errTemporary, errUnsigned)
	}
	from := smtp.NewAddress(postmaster, signer.Domain)
	r := tlsrpt.Report{
		OrganizationName: conf.Hostname.ASCII,
		Start:            d.begin,
		End:              d.begin.Add(day - time.Second),
		ContactInfo:      from.XString(false),
		ReportID:         reportID(d.begin, signer.Domain, KindTLS, d.domain.ASCII, d.host),
	}
	wanted := addResults(&r, l)
	failures := slices.ContainsFunc(r.Policies, func(p tlsrpt.PolicyResult) bool { return p.Failures > 0 })
	if !wanted || !failures && !conf.Static.OutgoingTLSReportsForAllSuccess {
		return false, nil
	}
	m, err := tlsMail(r, d.domain, from, conf.Hostname)
	if err != nil {
		return false, err
	}
	m.to = to
	err = s.send(ctx, m)
	if errors.Is(err, errUnsigned) { // Until someone has seen the error in the log.
		err = fmt.Errorf("%w: %w", errTemporary, err)
	}
	return err == nil, err
}

// addResults adds results to a report, and returns whether one is a reason to send it.
func addResults(r *tlsrpt.Report, l []tlsrptdb.TLSResult) (wanted bool) {
	details := 0
	for _, res := range l {
		wanted = wanted || res.SendReport
		for _, p := range res.Results {
			p.FailureDetails = p.FailureDetails[:min(len(p.FailureDetails), maxDetails-details)]
			details += len(p.FailureDetails)
			r.Add(p)
		}
	}
	return wanted
}

// tlsMail makes the message with a report, RFC 8460 §5.3.
func tlsMail(r tlsrpt.Report, domain dns.Domain, from smtp.Address, hostname dns.Domain) (mail, error) {
	var file bytes.Buffer
	if err := r.WriteGzip(&file); err != nil {
		return mail{}, fmt.Errorf("write report: %w", err)
	}
	var successes, failures int64
	for _, p := range r.Policies {
		successes, failures = successes+p.Successes, failures+p.Failures
	}
	text := fmt.Sprintf(`This is a TLS report about connections for mail from the mail server at %s
to %s.

Domain: %s
Submitter: %s
Report-ID: %s
Period: %s - %s UTC
Successful: %d
Failed: %d
`, hostname.ASCII, domain.ASCII, domain.ASCII, from.Domain.ASCII, r.ReportID, r.Start.Format(time.DateTime), r.End.Format(time.DateTime), successes, failures)
	return mail{
		kind:    KindTLS,
		id:      r.ReportID,
		from:    from,
		subject: report.Subject{Domain: domain, Submitter: from.Domain, ReportID: r.ReportID}.String(),
		fields: [][2]string{
			{"TLS-Report-Domain", domain.ASCII},
			{"TLS-Report-Submitter", from.Domain.ASCII},
			{"TLS-Required", "No"}, // RFC 8689 §5
		},
		sign:          []string{"TLS-Report-Domain", "TLS-Report-Submitter"},
		multipart:     []string{"report", `report-type="tlsrpt"`},
		text:          text,
		contentType:   "application/tlsrpt+gzip",
		filename:      r.FileName(from.Domain, domain, uniqueID(r.ReportID)),
		file:          file.Bytes(),
		needSignature: true,
		anyTLS:        true,
	}, nil
}
