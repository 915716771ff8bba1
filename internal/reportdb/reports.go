package reportdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
)

// Errors, to be matched with errors.Is.
var (
	// ErrDuplicate: the report has been stored before.
	ErrDuplicate = errors.New("report was received before")
	// ErrLimit: there are too many reports already.
	ErrLimit = errors.New("too many reports")
	// ErrNotFound: there is no such report.
	ErrNotFound = errors.New("no such report")
)

// Content is what is kept of a report.
type Content struct {
	ReportID int64 `bstore:"noauto"`
	Data     []byte
}

// Usage is what there is for a policy domain.
type Usage struct {
	PolicyDomain string
	Reports      int64
	Size         int64
}

// Content and Usage are stored with the names of types of each database.
type (
	contentType interface {
		~struct {
			ReportID int64 `bstore:"noauto"`
			Data     []byte
		}
	}
	usageType interface {
		~struct {
			PolicyDomain string
			Reports      int64
			Size         int64
		}
	}
)

// Meta is what is looked at of the record of a report. The record has these fields, some
// of them with an index, and the times End and what Reports.Begin names.
type Meta struct {
	ID           int64
	PolicyDomain string // That the report is about, in ASCII.
	Reporter     string // The organizational domain of the sender.
	Digest       string // See Digest.
	Received     time.Time
	Size         int64 // Of the content, in bytes.
	Kept         int32 // How many parts there are in the content.
}

// Limits are on what is stored, see the constants of those names in dmarcdb and tlsrptdb.
type Limits struct {
	ReporterDay, DomainDay, DomainReports int
	DomainSize                            int64
}

// Reports are the received reports in a database. R is the record of a report, C is made
// from Content, and U from Usage.
type Reports[R any, C contentType, U usageType] struct {
	DB     *bstore.DB
	Kind   string // For errors: "dmarc" or "tls".
	Begin  string // The field of R for the begin of what the report is about.
	Parts  string // What is in the content, for problems.
	Meta   func(R) Meta
	Limits Limits
}

// Digest returns what makes a report the same as another. The reporter counts, because
// anyone can give the name and id of another.
func Digest(policyDomain, reporter, orgName, reportID string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{policyDomain, reporter, orgName, reportID}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// Insert stores a report and sets the id in its record. The error matches ErrDuplicate or
// ErrLimit if nothing was done. The oldest reports about the domain are removed until all
// are within the limits.
func (t *Reports[R, C, U]) Insert(tx *bstore.Tx, rep *R, data []byte) error {
	if err := t.admit(tx, t.Meta(*rep)); err != nil {
		return err
	}
	if err := tx.Insert(rep); err != nil {
		return err
	}
	m := t.Meta(*rep)
	c := C(Content{m.ID, data})
	if err := tx.Insert(&c); err != nil {
		return err
	}
	return t.account(tx, m)
}

// admit returns why a report is not stored.
func (t *Reports[R, C, U]) admit(tx *bstore.Tx, m Meta) error {
	exists, err := bstore.QueryTx[R](tx).FilterEqual("Digest", m.Digest).Exists()
	if err != nil {
		return err
	} else if exists {
		return ErrDuplicate
	}
	about := func(limit int) *bstore.Query[R] {
		return bstore.QueryTx[R](tx).FilterEqual("PolicyDomain", m.PolicyDomain).FilterGreater("Received", m.Received.Add(-24*time.Hour)).Limit(limit)
	}
	n, err := about(t.Limits.ReporterDay).FilterEqual("Reporter", m.Reporter).Count()
	if err != nil {
		return err
	} else if n >= t.Limits.ReporterDay {
		return fmt.Errorf("%w about %s from %s", ErrLimit, m.PolicyDomain, m.Reporter)
	}
	n, err = about(t.Limits.DomainDay).Count()
	if err != nil {
		return err
	} else if n >= t.Limits.DomainDay {
		return fmt.Errorf("%w about %s", ErrLimit, m.PolicyDomain)
	}
	return nil
}

// account counts a report that was inserted, and removes the oldest.
func (t *Reports[R, C, U]) account(tx *bstore.Tx, m Meta) error {
	rec := U(Usage{PolicyDomain: m.PolicyDomain})
	err := tx.Get(&rec)
	isNew := errors.Is(err, bstore.ErrAbsent)
	if err != nil && !isNew {
		return err
	}
	u := Usage(rec)
	u.Reports++
	u.Size += m.Size
	for u.Reports > 1 && (u.Reports > int64(t.Limits.DomainReports) || u.Size > t.Limits.DomainSize) {
		old, err := bstore.QueryTx[R](tx).FilterEqual("PolicyDomain", m.PolicyDomain).FilterNotEqual("ID", m.ID).SortAsc("Received").Limit(1).Get()
		if err != nil {
			return fmt.Errorf("oldest report: %w", err)
		}
		om := t.Meta(old)
		c := C(Content{ReportID: om.ID})
		if err := tx.Delete(&c); err != nil {
			return err
		}
		if err := tx.Delete(&old); err != nil {
			return err
		}
		u.Reports--
		u.Size -= om.Size
	}
	rec = U(u)
	if isNew {
		return tx.Insert(&rec)
	}
	return tx.Update(&rec)
}

// Period returns a query for reports about a period: from from, before until.
func (t *Reports[R, C, U]) Period(ctx context.Context, from, until time.Time) *bstore.Query[R] {
	return bstore.QueryDB[R](ctx, t.DB).FilterGreaterEqual("End", from).FilterLess(t.Begin, until)
}

// List returns the reports about a domain, or about all for the zero domain, and about a
// period. The newest are first, at most max of them; zero is no limit.
func (t *Reports[R, C, U]) List(ctx context.Context, domain dns.Domain, from, until time.Time, max int) ([]R, error) {
	q := t.Period(ctx, from, until).SortDesc("End")
	if !domain.IsZero() {
		q.FilterEqual("PolicyDomain", domain.ASCII)
	}
	if max > 0 {
		q.Limit(max)
	}
	l, err := q.List()
	if err != nil {
		return nil, fmt.Errorf("read %s reports: %w", t.Kind, err)
	}
	return l, nil
}

// Get reads the report with an id, which is in rep already, and returns its content. The
// error matches ErrNotFound if there is none.
func (t *Reports[R, C, U]) Get(ctx context.Context, id int64, rep *R) ([]byte, error) {
	c := C(Content{ReportID: id})
	err := t.DB.Read(ctx, func(tx *bstore.Tx) error {
		if err := tx.Get(rep); err != nil {
			return err
		}
		return tx.Get(&c)
	})
	if errors.Is(err, bstore.ErrAbsent) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("read %s report: %w", t.Kind, err)
	}
	return Content(c).Data, nil
}

// RenameAccount has reports say that the messages they came in are in another account, or
// if to is empty in none, because the account was removed. R has the fields Account and
// ContentID.
func (t *Reports[R, C, U]) RenameAccount(ctx context.Context, from, to string) error {
	q := bstore.QueryDB[R](ctx, t.DB).FilterEqual("Account", from)
	fields := map[string]any{"Account": to}
	if to == "" {
		fields["ContentID"] = int64(0)
	}
	if _, err := q.UpdateFields(fields); err != nil {
		return fmt.Errorf("rename account %q in reports: %w", from, err)
	}
	return nil
}
