package tlsrptdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/internal/batch"
	"mox/internal/dbformat"
	"mox/internal/metrics"
	"mox/internal/reportdb"
	"mox/mlog"
	"mox/tlsrpt"
)

// ResultsName is the name of the database with results in the data directory.
const ResultsName = "tlsrptresult.db"

// ErrClosed: the database is closed.
var ErrClosed = batch.ErrClosed

// A TLSResult is how TLS went in a day with deliveries to a recipient domain, as far as
// it is about one policy domain.
type TLSResult struct {
	ID int64

	// PolicyDomain is the recipient domain, or a host of it, and RecipientDomain that of
	// the recipients, both in ASCII. Day is in UTC, like "20240301". They can be the same
	// for a domain that is its own host.
	PolicyDomain    string `bstore:"nonzero,unique PolicyDomain+Day+RecipientDomain+IsHost"`
	Day             string `bstore:"nonzero,index"`
	RecipientDomain string `bstore:"nonzero,index RecipientDomain+Day"`
	IsHost          bool

	Created, Updated time.Time

	// SendReport says that there is a session that is a reason to send a report.
	SendReport bool

	// SentToRecipientDomain says that the recipient domain was told, and at which
	// addresses, so that who is responsible for the host is not told again.
	SentToRecipientDomain             bool
	RecipientDomainReportingAddresses []string

	// Results has one element for each policy that was in force during the day.
	Results []tlsrpt.PolicyResult
}

// ResultsOptions are for [OpenResults]. Dir is needed.
type ResultsOptions struct {
	Dir string       // The data directory.
	Log *slog.Logger // Nil logs nothing.
}

// Results is the database of how TLS went with our own deliveries.
type Results struct {
	reportdb.SuppressList // Addresses that get no TLS reports.

	log    *slog.Logger
	bdb    *bstore.DB
	limits resultLimits
	writer *batch.Writer[pending]
}

// resultLimits are variable for tests.
type resultLimits struct {
	results, policyDay, recipientDay, hosts int
}

// OpenResults opens or creates the database in a data directory.
func OpenResults(ctx context.Context, opts ResultsOptions) (*Results, error) {
	metrics.PanicPackages(pkgName)
	d := &Results{log: opts.Log, limits: resultLimits{MaxResults, MaxPolicyDay, MaxRecipientDay, MaxHosts}}
	if d.log == nil {
		d.log = mlog.Discard()
	}
	d.writer = d.newWriter()
	var err error
	if d.bdb, err = dbformat.OpenIn(ctx, opts.Dir, ResultsName, resultFormat, resultTypes()...); err != nil {
		return nil, err
	}
	d.SuppressList = reportdb.NewSuppressList(d.bdb, kind)
	return d, nil
}

// Close writes what waits to be written and closes the database.
func (d *Results) Close() error {
	return errors.Join(d.writer.Close(), d.bdb.Close())
}

// Suppress adds an address, or changes until when and why it gets no reports. The error
// matches ErrLimit if there are too many. A long comment is cut.
func (d *Results) Suppress(ctx context.Context, address string, until time.Time, comment string) (reportdb.Suppression, error) {
	return d.SuppressList.Suppress(ctx, address, until, cut(comment, reportdb.MaxComment))
}

// A Session is how TLS went on one connection, as far as it is about one policy.
type Session struct {
	RecipientDomain dns.Domain
	PolicyDomain    dns.Domain // The recipient domain, or the host.
	IsHost          bool       // PolicyDomain is a host.

	// SendReport says that this is a reason to send a report. Sessions with reports are
	// none, for otherwise two servers would report to each other for ever.
	SendReport bool

	Result tlsrpt.PolicyResult
}

// dayOf returns the day of a time, as in records.
func dayOf(t time.Time) string { return t.UTC().Format("20060102") }

// newResult makes a record of a session, with texts of bounded size, on its own memory.
func newResult(s Session, at time.Time) (TLSResult, error) {
	if s.RecipientDomain.IsZero() || s.PolicyDomain.IsZero() {
		return TLSResult{}, fmt.Errorf("result without recipient domain or policy domain: %q, %q", s.RecipientDomain, s.PolicyDomain)
	}
	at = at.UTC().Round(0)
	p := s.Result
	p.Successes, p.Failures = bound(p.Successes), bound(p.Failures)
	p.Policy.Domain = cut(p.Policy.Domain, maxString)
	p.Policy.Text, p.Policy.MXHost = cutAll(p.Policy.Text), cutAll(p.Policy.MXHost)
	p.FailureDetails = slices.Clone(p.FailureDetails[:min(len(p.FailureDetails), maxResultDetails)])
	for i := range p.FailureDetails {
		f := &p.FailureDetails[i]
		f.Count = bound(f.Count)
		for _, s := range []*string{&f.SendingMTAIP, &f.ReceivingMXHostname, &f.ReceivingMXHelo, &f.ReceivingIP, &f.AdditionalInformation, &f.FailureReasonCode} {
			*s = cut(*s, maxText)
		}
	}
	return TLSResult{
		PolicyDomain:    s.PolicyDomain.ASCII,
		Day:             dayOf(at),
		RecipientDomain: s.RecipientDomain.ASCII,
		IsHost:          s.IsHost,
		Created:         at,
		Updated:         at,
		SendReport:      s.SendReport,
		Results:         []tlsrpt.PolicyResult{p},
	}, nil
}

// merge adds another record for the same domains and day, and returns how many
// sessions of it are left out.
func (r *TLSResult) merge(o TLSResult) (dropped int64) {
	rep := tlsrpt.Report{Policies: r.Results}
	for _, p := range o.Results {
		n := len(rep.Policies)
		if rep.Add(p); len(rep.Policies) > max(n, maxResultPolicies) {
			rep.Policies = rep.Policies[:n]
			dropped += p.Successes + p.Failures
		}
	}
	r.Results = rep.Policies
	for i := range r.Results {
		if p := &r.Results[i]; len(p.FailureDetails) > maxResultDetails {
			p.FailureDetails = p.FailureDetails[:maxResultDetails]
		}
	}
	r.SendReport = r.SendReport || o.SendReport
	if o.Updated.After(r.Updated) {
		r.Updated = o.Updated
	}
	if o.Created.Before(r.Created) {
		r.Created = o.Created
	}
	return dropped
}

// sessions returns how many sessions there are in a record.
func (r *TLSResult) sessions() (successes, failures int64) {
	for _, p := range r.Results {
		successes += p.Successes
		failures += p.Failures
	}
	return successes, failures
}
