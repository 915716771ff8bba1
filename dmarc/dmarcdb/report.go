package dmarcdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/reportdb"
	"mox/publicsuffix"
)

// A Report is a received aggregate report. Texts are what the reporter wrote.
type Report struct {
	ID int64

	// PolicyDomain is the domain that the report is about, in ASCII.
	PolicyDomain string `bstore:"nonzero,index PolicyDomain+Received,index PolicyDomain+Reporter+Received,index PolicyDomain+End"`

	FromDomain string // Of the message, which DMARC has verified, in ASCII.
	Reporter   string `bstore:"nonzero"` // The organizational domain of that.

	// Digest is of what makes a report the same as another.
	Digest string `bstore:"nonzero,unique"`

	OrgName  string
	Email    string
	ReportID string
	Begin    time.Time // Of messages, both included.
	End      time.Time `bstore:"index"`
	Received time.Time `bstore:"nonzero"`

	Tally   Tally
	Records int32 // Of the report. Kept is how many of them there are in the feedback.
	Kept    int32
	Size    int64 // Of what is kept, in bytes.

	// The message that the report came in: an account, and the content id in it. Zero if
	// it was not stored.
	Account   string
	ContentID int64
}

// A Tally is how many messages a report is about, by what was done with them and
// by what failed.
type Tally struct {
	Messages int64

	None       int64 // Includes disposition "pass".
	Quarantine int64
	Reject     int64

	DKIMFail int64 // Without an aligned signature that passed.
	SPFFail  int64
	BothFail int64 // Failed DMARC.
}

// Add adds the numbers of another tally.
func (t *Tally) Add(o Tally) {
	t.Messages += o.Messages
	t.None += o.None
	t.Quarantine += o.Quarantine
	t.Reject += o.Reject
	t.DKIMFail += o.DKIMFail
	t.SPFFail += o.SPFFail
	t.BothFail += o.BothFail
}

// The names of these types are stored.
type (
	content     reportdb.Content
	reportUsage reportdb.Usage
)

type received = reportdb.Reports[Report, content, reportUsage]

// newReceived returns the reports in a database.
func newReceived(db *bstore.DB) *received {
	return &received{
		DB:     db,
		Kind:   kind,
		Begin:  "Begin",
		Parts:  "records",
		Limits: reportdb.Limits{ReporterDay: MaxReporterDay, DomainDay: MaxDomainDay, DomainReports: MaxDomainReports, DomainSize: MaxDomainSize},
		Meta: func(r Report) reportdb.Meta {
			return reportdb.Meta{ID: r.ID, PolicyDomain: r.PolicyDomain, Reporter: r.Reporter, Digest: r.Digest, Received: r.Received, Size: r.Size, Kept: r.Kept}
		},
	}
}

// An Incoming is a report to be stored. It takes at most about [MaxContent] bytes of
// memory, however large the report was.
type Incoming struct {
	rep     Report
	data    []byte
	metrics []metric
}

// PolicyDomain returns the domain that the report is about, in ASCII.
func (in *Incoming) PolicyDomain() string {
	return in.rep.PolicyDomain
}

// NewIncoming makes a report about a domain of ours, in a message from a domain that
// DMARC has verified, ready to be stored. It keeps nothing of f.
func NewIncoming(f *report.Feedback, policyDomain, from dns.Domain) (*Incoming, error) {
	if policyDomain.IsZero() || from.IsZero() {
		return nil, errors.New("report without a domain")
	}
	data, kept, err := encode(f)
	if err != nil {
		return nil, err
	}
	org, ok := publicsuffix.Organization(from, true)
	if !ok {
		org = from
	}
	in := &Incoming{data: data, rep: Report{
		PolicyDomain: policyDomain.ASCII,
		FromDomain:   from.ASCII,
		Reporter:     org.ASCII,
		Digest:       reportdb.Digest(policyDomain.ASCII, org.ASCII, f.Metadata.OrgName, f.Metadata.ReportID),
		OrgName:      clip(f.Metadata.OrgName),
		Email:        clip(f.Metadata.Email),
		ReportID:     clip(f.Metadata.ReportID),
		Begin:        f.Metadata.Begin,
		End:          f.Metadata.End,
		Records:      int32(len(f.Records)),
		Kept:         int32(kept),
		Size:         int64(len(data)),
	}}
	in.rep.Tally, in.metrics = tally(f)
	return in, nil
}

// clip returns what is kept of a text, on its own memory.
func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Clone(strings.ToValidUTF8(s, ""))
}

// A Reference is the message that a report came in.
type Reference struct {
	Account   string
	ContentID int64
	Received  time.Time // Zero is now.
}

// AddReport stores a report and returns its id. The error matches ErrDuplicate if it
// has been stored before, and ErrLimit if there were too many about its domain
// within 24 hours.
func (d *DB) AddReport(ctx context.Context, in *Incoming, ref Reference) (int64, error) {
	rep := in.rep
	rep.Account, rep.ContentID, rep.Received = ref.Account, ref.ContentID, ref.Received
	if rep.Received.IsZero() {
		rep.Received = time.Now()
	}
	rep.Received = rep.Received.UTC().Round(0)
	err := d.reports.Write(ctx, func(tx *bstore.Tx) error {
		return d.received.Insert(tx, &rep, in.data)
	})
	if err != nil {
		return 0, fmt.Errorf("store dmarc report: %w", err)
	}
	for _, m := range in.metrics {
		m.count(rep.PolicyDomain)
	}
	return rep.ID, nil
}
