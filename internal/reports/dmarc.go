package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/mlog"
	"mox/smtp"
)

// dmarcRound sends all DMARC reports that are due.
func (s *Sender) dmarcRound(ctx context.Context) {
	now := time.Now()
	if _, err := s.opts.Evaluations.Prune(ctx, now); err != nil {
		s.failed(ctx, KindDMARC, "removing old evaluations", "", err)
	}
	if s.opts.Config.Snapshot().Static.NoOutgoingDMARCReports {
		return
	}
	stats, err := s.opts.Evaluations.EvaluationStats(ctx, now)
	if err != nil {
		s.failed(ctx, KindDMARC, "reading evaluations", "", err)
		return
	}
	var due []string
	for _, st := range stats {
		if _, ok, err := s.firstPeriod(ctx, st.PolicyDomain, now); err != nil {
			s.failed(ctx, KindDMARC, "reading evaluations", st.PolicyDomain, err)
		} else if ok {
			due = append(due, st.PolicyDomain)
		}
	}
	spread(ctx, s.log, due, dmarcSpread, s.dmarcDomain)
}

// failed logs and counts an error.
func (s *Sender) failed(ctx context.Context, kind Kind, what, domain string, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return // The server stops.
	}
	if kind == KindTLS {
		metricTLSError.Inc()
	} else {
		metricDMARCError.Inc()
	}
	s.log.ErrorContext(ctx, what, mlog.Err(err), slog.String("kind", string(kind)), slog.String("domain", domain), slog.Bool("retry", temporary(err)))
}

// A period is what a DMARC report is about.
type period struct {
	domain     string    // The policy domain, in ASCII.
	begin, end time.Time // Without the end.
}

// intervals are those in which reports can be sent, in hours, so that they begin at the
// same hours each day.
var intervals = []int32{24, 12, 8, 6, 4, 3, 2, 1}

// interval returns the longest interval that is not longer than a domain wants.
func interval(hours int32) time.Duration {
	for _, h := range intervals {
		if h <= hours {
			return time.Duration(h) * time.Hour
		}
	}
	return day
}

// firstPeriod returns the first period of a domain that has evaluations, if it is over.
func (s *Sender) firstPeriod(ctx context.Context, domain string, now time.Time) (p period, ok bool, err error) {
	p.domain = domain
	err = s.opts.Evaluations.EachEvaluation(ctx, domain, time.Unix(0, 0), now, func(e dmarcdb.Evaluation) (bool, error) {
		length := interval(e.IntervalHours)
		p.begin = e.First.UTC().Truncate(length)
		p.end = p.begin.Add(length)
		ok = !p.end.After(now)
		return false, nil
	})
	return p, ok, err
}

// dmarcDomain reports all periods of a domain that are over, and removes what was
// reported. On a temporary error the rest is left for the next round.
func (s *Sender) dmarcDomain(ctx context.Context, domain string) {
	now := time.Now()
	for {
		p, ok, err := s.firstPeriod(ctx, domain, now)
		if err != nil {
			s.failed(ctx, KindDMARC, "reading evaluations", domain, err)
			return
		} else if !ok {
			return
		}
		if err := s.dmarcPeriod(ctx, p, now); err != nil {
			s.failed(ctx, KindDMARC, "sending dmarc report", domain, err)
			if temporary(err) {
				return
			}
		}
		// What was queued must not stay because the server stops.
		n, err := s.opts.Evaluations.RemoveEvaluations(context.WithoutCancel(ctx), domain, p.end)
		if err == nil && n == 0 {
			err = errors.New("nothing was removed")
		}
		if err != nil {
			s.failed(ctx, KindDMARC, "removing evaluations that were reported", domain, err)
			return
		}
	}
}

// dmarcPeriod queues the reports about a period, if there is a reason for them and
// someone to get them.
func (s *Sender) dmarcPeriod(ctx context.Context, p period, now time.Time) error {
	policies, send, err := s.published(ctx, p)
	if err != nil {
		return fmt.Errorf("%w: %w", errTemporary, err)
	} else if !send {
		return nil
	}
	domain, err := dns.ParseDomainLax(p.domain)
	if err != nil {
		return fmt.Errorf("policy domain %q: %w", p.domain, err)
	}
	to, err := s.dmarcAddresses(ctx, domain, now)
	if err != nil || len(to) == 0 {
		return err
	}
	left := maxReports
	for _, policy := range policies {
		n, err := s.dmarcPolicy(ctx, p, domain, policy, to, left)
		if err != nil {
			return err
		}
		left -= n
	}
	if left <= 0 {
		s.log.WarnContext(ctx, "dmarc reports for a day may not have all messages", slog.Any("domain", domain), slog.Int("reports", maxReports))
	}
	return nil
}

// published returns the policies that a domain had in a period, in the order in which
// they came first, and whether there was a message that is a reason to send a report.
func (s *Sender) published(ctx context.Context, p period) (policies []report.Policy, send bool, err error) {
	err = s.opts.Evaluations.EachEvaluation(ctx, p.domain, p.begin, p.end, func(e dmarcdb.Evaluation) (bool, error) {
		send = send || !e.Optional
		if len(policies) < maxPolicies && !slices.ContainsFunc(policies, func(o report.Policy) bool { return reflect.DeepEqual(o, e.Published) }) {
			policies = append(policies, e.Published)
		}
		return true, nil
	})
	return policies, send, err
}

// dmarcAddresses returns who wants reports about a domain now. The limits on size that
// addresses could have are gone (RFC 9989 §4.7), and with them the mails about reports
// that were too large. If nobody can be told because of errors that may pass, the error
// is temporary.
func (s *Sender) dmarcAddresses(ctx context.Context, domain dns.Domain, now time.Time) ([]smtp.Address, error) {
	walker := dmarc.NewWalker(s.log, s.opts.Resolver)
	entry := walker.Entry(ctx, domain)
	if entry.Err != nil || entry.Record == nil {
		return nil, entry.Err
	}
	l := addressList{s: s, db: s.opts.Evaluations, at: now}
	var failed error
	for _, uri := range entry.Record.RUA[:min(len(entry.Record.RUA), maxAddresses)] {
		if uri.Scheme() != "mailto" {
			continue
		}
		dest := walker.CheckDestination(ctx, domain, uri, dmarc.Aggregate)
		if dest.Err != nil {
			s.log.InfoContext(ctx, "address gets no dmarc report", slog.Any("domain", domain), slog.String("uri", string(uri)), mlog.Err(dest.Err))
			if temporary(dest.Err) {
				failed = dest.Err
			}
			continue
		}
		for _, u := range dest.Send {
			a, err := u.Address()
			if err != nil {
				s.log.InfoContext(ctx, "address gets no dmarc report", slog.Any("domain", domain), slog.String("uri", string(u)), mlog.Err(err))
				continue
			}
			if err := l.add(ctx, a); err != nil {
				return nil, err
			}
		}
	}
	if len(l.l) > 0 {
		failed = nil
	}
	return l.l, failed
}

// dmarcPolicy queues reports about messages under one policy, at most left, and returns
// how many there were.
func (s *Sender) dmarcPolicy(ctx context.Context, p period, domain dns.Domain, policy report.Policy, to []smtp.Address, left int) (int, error) {
	conf := s.opts.Config.Snapshot()
	from := smtp.NewAddress(postmaster, conf.Hostname)
	text, err := json.Marshal(policy)
	if err != nil {
		return 0, fmt.Errorf("published policy: %w", err)
	}
	done := 0 // Evaluations in earlier reports.
	for n := 0; ; n++ {
		if n >= left {
			return n, nil
		}
		records, next, err := s.records(ctx, p, policy, done)
		if err != nil {
			return n, fmt.Errorf("%w: %w", errTemporary, err)
		} else if len(records) == 0 {
			return n, nil
		}
		done = next
		f := &report.Feedback{
			Version: "1.0",
			Metadata: report.Metadata{
				OrgName:   conf.Hostname.ASCII,
				Email:     from.XString(false),
				ReportID:  reportID(p.begin, conf.Hostname, KindDMARC, p.domain, p.end.Unix(), string(text), n),
				Begin:     p.begin,
				End:       p.end.Add(-time.Second),
				Generator: "mox",
			},
			Policy:  policy,
			Records: records,
		}
		m, err := dmarcMail(f, domain, from, conf.Hostname)
		if err != nil {
			return n, err
		}
		m.to = to
		if err := s.send(ctx, m); err != nil {
			return n, err
		}
	}
}

// records returns the records of a report with one policy, as many as it may have, from
// evaluations after the first done. Next is how many these are now.
func (s *Sender) records(ctx context.Context, p period, policy report.Policy, done int) (l []report.Record, next int, err error) {
	b := report.NewBuilder(maxRows)
	bad := 0
	err = s.opts.Evaluations.EachEvaluation(ctx, p.domain, p.begin, p.end, func(e dmarcdb.Evaluation) (bool, error) {
		if !reflect.DeepEqual(e.Published, policy) {
			return true, nil
		}
		if next < done {
			next++
			return true, nil
		}
		if err := b.Add(e.Record); errors.Is(err, report.ErrFull) {
			return false, nil
		} else if err != nil {
			bad++
		}
		next++
		return true, nil
	})
	if bad > 0 {
		s.log.ErrorContext(ctx, "evaluations cannot be reported", slog.String("domain", p.domain), slog.Int("evaluations", bad))
	}
	return b.Records(), next, err
}

// dmarcMail makes the message with a report, RFC 9990 §3.5.
func dmarcMail(f *report.Feedback, domain dns.Domain, from smtp.Address, hostname dns.Domain) (mail, error) {
	id := f.Metadata.ReportID
	name := report.Filename{Receiver: hostname, Domain: domain, Begin: f.Metadata.Begin, End: f.Metadata.End, UniqueID: uniqueID(id), Extension: "xml.gz"}
	var file bytes.Buffer
	if err := report.WriteGzip(&file, f, name); err != nil {
		return mail{}, fmt.Errorf("write report: %w", err)
	}
	text := fmt.Sprintf(`This is a DMARC aggregate report about messages with domain %s in From,
received by the mail server at %s.

Domain: %s
Submitter: %s
Report-ID: %s
Period: %s - %s UTC
Messages: %d
`, domain.ASCII, hostname.ASCII, domain.ASCII, hostname.ASCII, id, f.Metadata.Begin.Format(time.DateTime), f.Metadata.End.Format(time.DateTime), f.Messages())
	return mail{
		kind:        KindDMARC,
		id:          id,
		from:        from,
		subject:     report.Subject{Domain: domain, Submitter: hostname, ReportID: id}.String(),
		multipart:   []string{"mixed"},
		text:        text,
		contentType: "application/gzip",
		filename:    name.String(),
		file:        file.Bytes(),
	}, nil
}
