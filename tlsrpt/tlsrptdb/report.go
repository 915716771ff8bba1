package tlsrptdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/internal/reportdb"
	"mox/publicsuffix"
	"mox/tlsrpt"
)

// A Report is what a received report says about one domain or host. Texts are what
// the reporter wrote.
type Report struct {
	ID int64

	// PolicyDomain is the domain or host that the policies are for, in ASCII.
	PolicyDomain string `bstore:"nonzero,index PolicyDomain+Received,index PolicyDomain+Reporter+Received,index PolicyDomain+End"`

	// HostReport says that the report came to the address for reports about this host,
	// and not to that of a domain.
	HostReport bool

	FromDomain string // Of the message, which DKIM has verified, in ASCII.
	Reporter   string `bstore:"nonzero"` // The organizational domain of that.

	// Digest is of what makes a report the same as another.
	Digest string `bstore:"nonzero,unique"`

	OrgName     string
	ContactInfo string
	ReportID    string
	Start       time.Time
	End         time.Time `bstore:"index"`
	Received    time.Time `bstore:"nonzero"`

	Successes int64 // Sessions.
	Failures  int64
	Details   int32 // Of failures, in the report. Kept is how many of them there are here.
	Kept      int32
	Size      int64 // Of what is kept, in bytes.

	// The message that the report came in: an account, and the content id in it. Zero if
	// it was not stored.
	Account   string
	ContentID int64
}

// The names of these types are stored.
type (
	content reportdb.Content
	usage   reportdb.Usage
)

type received = reportdb.Reports[Report, content, usage]

// newReceived returns the reports in a database.
func newReceived(db *bstore.DB) *received {
	return &received{
		DB:     db,
		Kind:   kind,
		Begin:  "Start",
		Parts:  "details",
		Limits: reportdb.Limits{ReporterDay: MaxReporterDay, DomainDay: MaxDomainDay, DomainReports: MaxDomainReports, DomainSize: MaxDomainSize},
		Meta: func(r Report) reportdb.Meta {
			return reportdb.Meta{ID: r.ID, PolicyDomain: r.PolicyDomain, Reporter: r.Reporter, Digest: r.Digest, Received: r.Received, Size: r.Size, Kept: r.Kept}
		},
	}
}

// An Incoming is a report to be stored. It takes at most about [MaxContent] bytes of
// memory, however large the report was.
type Incoming struct {
	parts []part
}

// A part is about one domain.
type part struct {
	rep      Report
	data     []byte
	sessions map[string]float64
}

// Domains returns the domains and hosts of ours that the report is about, in ASCII.
func (in *Incoming) Domains() []string {
	var l []string
	for _, p := range in.parts {
		l = append(l, p.rep.PolicyDomain)
	}
	return l
}

// maxCount bounds numbers of sessions, so that sums do not overflow and metrics stay
// useful.
const maxCount = 1 << 40

// NewIncoming makes a report ready to be stored, in a message from a domain that
// DKIM has verified. Ours says which domains and hosts we want to know about; what
// is about others is left out, and if that is all, the error is ErrOtherDomains. Host
// is for Report.HostReport. It keeps nothing of r.
func NewIncoming(r tlsrpt.Report, ours func(dns.Domain) bool, host bool, from dns.Domain) (*Incoming, error) {
	if from.IsZero() {
		return nil, errors.New("report without a domain")
	}
	var domains []string
	policies := map[string][]tlsrpt.PolicyResult{}
	for _, p := range r.Policies {
		d, err := dns.ParseDomainLax(strings.TrimSuffix(p.Policy.Domain, "."))
		if err != nil || !ours(d) {
			continue
		}
		if policies[d.ASCII] == nil {
			if len(domains) == MaxDomains {
				continue
			}
			domains = append(domains, d.ASCII)
		}
		policies[d.ASCII] = append(policies[d.ASCII], p)
	}
	if len(domains) == 0 {
		return nil, ErrOtherDomains
	}
	org, ok := publicsuffix.Organization(from, true)
	if !ok {
		org = from
	}
	in := &Incoming{}
	b := budget{MaxContentText, MaxContent}
	for _, domain := range domains {
		rep := Report{
			PolicyDomain: domain,
			HostReport:   host,
			FromDomain:   from.ASCII,
			Reporter:     org.ASCII,
			Digest:       reportdb.Digest(domain, org.ASCII, r.OrganizationName, r.ReportID),
			OrgName:      cut(r.OrganizationName, maxText),
			ContactInfo:  cut(r.ContactInfo, maxText),
			ReportID:     cut(r.ReportID, maxText),
			Start:        r.Start.UTC(),
			End:          r.End.UTC(),
		}
		p, err := newPart(rep, policies[domain], &b)
		if err != nil {
			return nil, err
		}
		in.parts = append(in.parts, p)
	}
	return in, nil
}

// newPart counts and encodes the policies for a domain.
func newPart(rep Report, policies []tlsrpt.PolicyResult, b *budget) (part, error) {
	for _, p := range policies {
		rep.Successes += bound(p.Successes)
		rep.Failures += bound(p.Failures)
		rep.Details += int32(len(p.FailureDetails))
	}
	data, kept, err := b.encode(policies)
	if err != nil {
		return part{}, err
	}
	rep.Kept, rep.Size = int32(kept), int64(len(data))
	return part{rep, data, sessions(policies)}, nil
}

func bound(n int64) int64 {
	return min(max(n, 0), maxCount)
}

// A Reference is the message that a report came in.
type Reference struct {
	Account   string
	ContentID int64
	Received  time.Time // Zero is now.
}

// AddReport stores a report. If nothing of it is stored, the error matches
// ErrDuplicate if all has been stored before, and ErrLimit if there were too many
// about its domains within 24 hours.
func (d *DB) AddReport(ctx context.Context, in *Incoming, ref Reference) error {
	if ref.Received.IsZero() {
		ref.Received = time.Now()
	}
	received := ref.Received.UTC().Round(0)
	var stored []part
	var refused error
	err := d.received.DB.Write(ctx, func(tx *bstore.Tx) error {
		stored, refused = nil, nil
		for _, p := range in.parts {
			rep := p.rep
			rep.Account, rep.ContentID, rep.Received = ref.Account, ref.ContentID, received
			if err := d.received.Insert(tx, &rep, p.data); errors.Is(err, ErrDuplicate) || errors.Is(err, ErrLimit) {
				refused = err
				continue
			} else if err != nil {
				return err
			}
			stored = append(stored, p)
		}
		return nil
	})
	if err == nil && len(stored) == 0 {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("store tls report: %w", err)
	}
	for _, p := range stored {
		for typ, n := range p.sessions {
			metricSession.WithLabelValues(typ).Add(n)
		}
	}
	return nil
}
