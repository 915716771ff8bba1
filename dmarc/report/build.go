package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
)

// PublishedPolicy returns what a report says about the record that was used for a
// message. All messages of a report must have the same (RFC 9990 §3.1.2).
func PublishedPolicy(domain dns.Domain, r dmarc.Record) Policy {
	sub, _ := r.ForSubdomain(true)
	absent, _ := r.ForSubdomain(false)
	return Policy{
		Domain:            domain.ASCII,
		Policy:            r.Policy,
		SubdomainPolicy:   sub,
		NonexistentPolicy: absent,
		ADKIM:             r.ADKIM,
		ASPF:              r.ASPF,
		Discovery:         DiscoveryTreewalk,
		FailureOptions:    r.Failure.String(),
		Testing:           r.Testing,
	}
}

// A Delivery is what else a record says about a message.
type Delivery struct {
	SourceIP     netip.Addr
	EnvelopeFrom dns.Domain // Zero for a null reverse-path.
	EnvelopeTo   dns.Domain // Zero to leave it out, which protects recipients.

	// Applied is what was done with the message, and Reasons why that is not what the
	// policy says.
	Applied dmarc.Policy
	Reasons []dmarc.Override
}

// NewRecord returns the record for one message with the result res, which must have
// a policy.
func NewRecord(res dmarc.Result, d Delivery) Record {
	r := Record{
		SourceIP:     d.SourceIP.Unmap().WithZone(""),
		Count:        1,
		Disposition:  Disposition(d.Applied),
		AlignedDKIM:  res.AlignedDKIM,
		AlignedSPF:   res.AlignedSPF,
		Reasons:      d.Reasons[:min(len(d.Reasons), MaxReasons)],
		HeaderFrom:   res.From.ASCII,
		EnvelopeFrom: d.EnvelopeFrom.ASCII,
		EnvelopeTo:   d.EnvelopeTo.ASCII,
		DKIM:         signatures(res.DKIM),
	}
	if d.Applied == dmarc.PolicyNone && res.Status == dmarc.StatusPass && res.Policy != dmarc.PolicyNone {
		r.Disposition = DispositionPass
	}
	// A reason MUST be there in this case, RFC 9990 §A.
	if res.Status != dmarc.StatusPass && d.Applied != res.Policy && len(r.Reasons) == 0 {
		r.Reasons = []dmarc.Override{{Type: dmarc.OverrideLocalPolicy}}
		if d.Applied == res.Applied {
			r.Reasons = []dmarc.Override{{Type: dmarc.OverrideTestMode}}
		}
	}
	if !res.SPF.Domain.IsZero() && res.SPF.Status != "" {
		r.SPF = []SPFResult{{Domain: res.SPF.Domain.ASCII, Scope: ScopeMailFrom, Result: res.SPF.Status}}
	}
	return r
}

// signatures returns those that a report has room for, the best first (RFC 9990
// §3.1.3).
func signatures(l []dmarc.DKIMEvaluation) []DKIMResult {
	rank := func(d dmarc.DKIMEvaluation) int {
		if d.Status != dkim.StatusPass {
			return -1
		}
		return int(d.Alignment)
	}
	l = slices.Clone(l)
	slices.SortStableFunc(l, func(a, b dmarc.DKIMEvaluation) int { return cmp.Compare(rank(b), rank(a)) })
	var results []DKIMResult
	for _, d := range l[:min(len(l), MaxSignatures)] {
		results = append(results, DKIMResult{Domain: d.Domain.ASCII, Selector: d.Selector, Result: d.Status})
	}
	return results
}

// ErrFull says that a Builder has all the records it may have.
var ErrFull = errors.New("too many different records for one report")

// A Builder merges records that differ in nothing but their counts.
type Builder struct {
	max     int
	index   map[[sha256.Size]byte]int
	records []Record
	key     []byte
}

// NewBuilder returns a Builder that keeps at most max different records, or
// MaxRows if max is 0.
func NewBuilder(max int) *Builder {
	if max == 0 {
		max = MaxRows
	}
	return &Builder{max: min(max, MaxRecords), index: map[[sha256.Size]byte]int{}}
}

// Add adds a record. The error is ErrFull, after which records that are there
// already can still be added; the others are for another report, with an id of its
// own. Other errors match [ErrInvalid].
func (b *Builder) Add(r Record) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	b.key = r.appendKey(b.key[:0])
	key := sha256.Sum256(b.key)
	if i, ok := b.index[key]; ok {
		if b.records[i].Count > maxCount-r.Count {
			return ErrFull
		}
		b.records[i].Count += r.Count
		return nil
	}
	if len(b.records) >= b.max {
		return ErrFull
	}
	b.index[key] = len(b.records)
	b.records = append(b.records, r)
	return nil
}

// Records returns the records in the order in which they first came.
func (b *Builder) Records() []Record {
	return b.records
}

// appendKey appends all of a record but its count, so that no two different records
// give the same bytes.
func (r *Record) appendKey(b []byte) []byte {
	add := func(l ...string) {
		for _, s := range l {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	add(r.SourceIP.String(), string(r.Disposition), passFail(r.AlignedDKIM), passFail(r.AlignedSPF), r.HeaderFrom, r.EnvelopeFrom, r.EnvelopeTo)
	b = binary.AppendUvarint(b, uint64(len(r.Reasons)))
	for _, o := range r.Reasons {
		add(string(o.Type), o.Comment)
	}
	b = binary.AppendUvarint(b, uint64(len(r.DKIM)))
	for _, d := range r.DKIM {
		add(d.Domain, d.Selector, string(d.Result), d.HumanResult)
	}
	for _, s := range r.SPF {
		add(s.Domain, string(s.Scope), string(s.Result), s.HumanResult)
	}
	return b
}
