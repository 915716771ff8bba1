package deliver

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mox/config"
	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/inbound"
	"mox/mlog"
	"mox/publicsuffix"
	"mox/tlsrpt/tlsrptdb"
)

// Reports that come in, and what goes into those that are sent out. Both are about
// mail, and no part of it: whatever goes wrong with them is logged, and changes
// nothing for the message.

// DMARCReports stores reports. A *dmarcdb.DB is one.
type DMARCReports interface {
	AddReport(ctx context.Context, in *dmarcdb.Incoming, ref dmarcdb.Reference) (int64, error)
}

// TLSReports stores reports. A *tlsrptdb.DB is one.
type TLSReports interface {
	AddReport(ctx context.Context, in *tlsrptdb.Incoming, ref tlsrptdb.Reference) error
}

// ReportStores is where reports are stored. Those for which it is nil are not.
type ReportStores struct {
	DMARC DMARCReports
	TLS   TLSReports
}

// Store stores a report whose message has been delivered, and reports whether it did.
func (s ReportStores) Store(ctx context.Context, log *slog.Logger, rep *inbound.Report, res Result, received time.Time) bool {
	var kind string
	var err error
	switch {
	case rep == nil:
		return false
	case rep.DMARC != nil && s.DMARC != nil:
		kind = "dmarc"
		_, err = s.DMARC.AddReport(ctx, rep.DMARC, dmarcdb.Reference{Account: res.Account, ContentID: res.Message.ContentID, Received: received})
	case rep.TLS != nil && s.TLS != nil:
		kind = "tls"
		err = s.TLS.AddReport(ctx, rep.TLS, tlsrptdb.Reference{Account: res.Account, ContentID: res.Message.ContentID, Received: received})
	default:
		return false
	}
	level := slog.LevelDebug
	switch {
	case err == nil:
	case errors.Is(err, dmarcdb.ErrDuplicate), errors.Is(err, tlsrptdb.ErrDuplicate):
	case errors.Is(err, dmarcdb.ErrLimit), errors.Is(err, tlsrptdb.ErrLimit):
		level = slog.LevelInfo
	default:
		level = slog.LevelError
	}
	log.Log(ctx, level, "report received", slog.String("kind", kind), slog.Bool("stored", err == nil), mlog.Err(err))
	return err == nil
}

// Evaluations is told of messages. A *dmarcdb.DB is one.
type Evaluations interface {
	AddEvaluation(e dmarcdb.Evaluation) error
}

// Evaluated is what became of a message for one recipient, as far as the domain in
// From can be told.
type Evaluated struct {
	Auth *inbound.Auth // Nil for mail that was not looked at.
	Rcpt dns.Domain
	Time time.Time // Zero is now.

	Accepted   bool
	RejectCopy bool // Accepted is set because the user wants to see what is refused.

	// Applied is what was done because DMARC failed: none, also for what was refused or
	// set apart for other reasons, quarantine or reject. Overrides say why it is
	// not what the domain asks for.
	Applied   dmarc.Policy
	Overrides []dmarc.Override

	// ToReports says that the recipient is an address for reports, and Known that the
	// user has got mail from the organizational domain that is not junk, or has sent
	// some to it.
	ToReports bool
	Known     bool
}

// reportInterval is how often domains get reports. The tag ri, with which they could
// ask for more, is gone (RFC 9989).
const reportInterval = 24 // Hours.

// Evaluated returns what becomes of the message for its recipient if it is delivered, or
// refused, as the verdict says.
func (del Delivery) Evaluated() *Evaluated {
	v := del.Verdict
	return &Evaluated{
		Auth:       del.Auth,
		Rcpt:       del.Rcpt.IPDomain.Domain,
		Time:       del.Received,
		Accepted:   v.Accept,
		RejectCopy: v.IsReject,
		Applied:    v.Applied,
		Overrides:  v.Overrides,
		ToReports:  del.Recipient.Report != config.ReportNone,
		Known:      v.Known,
	}
}

// RecordEvaluation records a message, if it is one that is reported: once, for reports
// count messages and not recipients (RFC 7489 §7.2). That someone has got it counts more
// than that it was refused for others.
func RecordEvaluation(ctx context.Context, log *slog.Logger, db Evaluations, recipients ...*Evaluated) {
	var l []dmarcdb.Evaluation
	for _, e := range recipients {
		if ev, ok := e.evaluation(); ok {
			l = append(l, ev)
		}
	}
	if len(l) == 0 || db == nil {
		return
	}
	ev := slices.MinFunc(l, func(a, b dmarcdb.Evaluation) int { return rank(a) - rank(b) })
	if err := db.AddEvaluation(ev); err != nil {
		log.ErrorContext(ctx, "recording dmarc evaluation", mlog.Err(err), slog.String("domain", ev.PolicyDomain))
	}
}

// rank is lower for what says more of a message.
func rank(e dmarcdb.Evaluation) int {
	n := 0
	if e.Record.Disposition == report.DispositionReject {
		n += 2
	}
	if e.Optional {
		n++
	}
	return n
}

// evaluation returns what is recorded of a message. What is refused as junk is not
// reported: that would tell the sender what we think of it.
func (e Evaluated) evaluation() (dmarcdb.Evaluation, bool) {
	if e.Auth == nil || !e.Auth.RemoteIP.IsValid() {
		return dmarcdb.Evaluation{}, false
	}
	res := e.Auth.DMARC
	refused := !e.Accepted && e.Applied == dmarc.PolicyReject
	if !refused && (!e.Accepted || e.RejectCopy) || res.Record == nil || res.Policy == "" || res.Status == dmarc.StatusPermerror {
		return dmarcdb.Evaluation{}, false
	}
	rua := mailAddresses(res.Record.RUA)
	if len(rua) == 0 {
		return dmarcdb.Evaluation{}, false
	}
	applied := e.Applied
	if applied == "" {
		applied = dmarc.PolicyNone
	}
	var reasons []dmarc.Override
	if res.Status != dmarc.StatusPass {
		reasons = append(append(reasons, res.Overrides...), e.Overrides...)
	}
	res.DKIM = ownSignatures(res)
	return dmarcdb.Evaluation{
		Last: e.Time,
		// Mail to an address for reports is often a report itself, so that two servers
		// would tell each other of their reports for ever. And who is refused and
		// unknown to everyone is perhaps only there to be told so.
		Optional:      e.ToReports || refused && !e.Known,
		IntervalHours: reportInterval,
		RUA:           rua,
		Published:     report.PublishedPolicy(res.Domain, *res.Record),
		Record: report.NewRecord(res, report.Delivery{
			SourceIP:     e.Auth.RemoteIP,
			EnvelopeFrom: e.Auth.MailFrom.IPDomain.Domain,
			EnvelopeTo:   e.Rcpt,
			Applied:      applied,
			Reasons:      reasons,
		}),
	}, true
}

// mailAddresses returns the URIs to which reports can be sent.
func mailAddresses(uris []dmarc.URI) []string {
	var l []string
	for _, u := range uris {
		if u.Scheme() == "mailto" {
			l = append(l, string(u))
		}
	}
	return l
}

// ownSignatures returns the signatures of the organization in From. Those of others,
// such as forwarders and services, say whom our users deal with.
func ownSignatures(res dmarc.Result) []dmarc.DKIMEvaluation {
	org := res.OrgDomain
	if org.IsZero() {
		var ok bool
		if org, ok = publicsuffix.Organization(res.From, true); !ok {
			org = res.From
		}
	}
	var l []dmarc.DKIMEvaluation
	for _, d := range res.DKIM {
		if d.Domain == org || strings.HasSuffix(d.Domain.ASCII, "."+org.ASCII) {
			l = append(l, d)
		}
	}
	return l
}
