package inbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/ratelimit"
	"mox/publicsuffix"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

// Limits on reports, from which anyone with a domain can send messages that take
// much to read.
const (
	// MaxReportReaders is how many reports are read at the same time. The largest take
	// some 100 MB of memory while they are.
	MaxReportReaders = 2

	// MaxReportsDay is how many reports are read from an IP address (IPv4) or a /64
	// (IPv6) in 24 hours. The networks around it have three and nine times as many.
	MaxReportsDay = 300

	// reportWait is how long a report waits for others to be read.
	reportWait = 20 * time.Second

	// maxReportSkew is how far in the future a report may end, for clocks that differ.
	maxReportSkew = time.Minute

	// maxReportError is the length in bytes of an error in a header field.
	maxReportError = 200
)

// Header fields that say why a message to an address for reports is not taken for
// one. They are ours: others must not send them.
const (
	DMARCReportErrorField = "X-Mox-DMARCReport-Error"
	TLSReportErrorField   = "X-Mox-TLSReport-Error"
)

// Report is a report that came in a message from whom it says. One of the fields is
// set.
type Report struct {
	DMARC *dmarcdb.Incoming
	TLS   *tlsrptdb.Incoming
}

// ReportMessage is a message to an address for reports.
type ReportMessage struct {
	Auth    *Auth // Nil if it was not looked at who the message is from.
	Content io.ReaderAt
	Size    int64 // In octets.

	// About says for which domains there can be reports: for DMARC those that are
	// configured, for TLS the names of the host, too.
	About func(dns.Domain) bool

	// Host says that the address is for TLS reports about the host.
	Host bool

	Now time.Time // Zero is now.
}

// A ReportReader reads reports, not too many at a time. It is safe for concurrent
// use.
type ReportReader struct {
	slots   chan struct{}
	limiter *ratelimit.Limiter
}

// NewReportReader returns a reader.
func NewReportReader() *ReportReader {
	return &ReportReader{
		slots: make(chan struct{}, MaxReportReaders),
		limiter: ratelimit.New(ratelimit.Options{
			Windows: []ratelimit.Window{{Period: 24 * time.Hour, Limits: ratelimit.Factors(MaxReportsDay)}},
		}),
	}
}

// Errors about messages that are no reports. Others are about what is in the report.
var (
	errNoAuth        = errors.New("it is not known who the message is from")
	errReportDMARC   = errors.New("message does not pass dmarc")
	errReportFrom    = errors.New("message has no single domain in from")
	errReportDKIM    = errors.New("message has no valid dkim signature of the domain in from")
	errReportService = errors.New("key of the dkim signature is not for tls reports")
	errReportLength  = errors.New("dkim signature covers only a part of the message")
	errReportBusy    = errors.New("too many reports at the same time")
	errReportRate    = errors.New("too many reports from this network")
	errReportFuture  = errors.New("report is about the future")
)

// DMARC reads a message to an address for DMARC reports. The error says why it is not
// an aggregate report from its author about a domain of ours: it is mail like other
// mail then, with the field [DMARCReportErrorField]. The author must pass DMARC,
// RFC 9990 §3.5.2.
func (rr *ReportReader) DMARC(ctx context.Context, m ReportMessage) (*Report, error) {
	if m.Auth == nil {
		return nil, errNoAuth
	}
	if m.Auth.DMARC.Status != dmarc.StatusPass {
		return nil, fmt.Errorf("%w: %s", errReportDMARC, m.Auth.DMARC.Status)
	}
	free, err := rr.acquire(ctx, m)
	if err != nil {
		return nil, err
	}
	defer free()
	f, err := report.ParseMessage(m.Content, m.Size)
	if err != nil {
		return nil, err
	}
	domain, err := dns.ParseDomainLax(strings.TrimSuffix(f.Policy.Domain, "."))
	if err != nil {
		return nil, fmt.Errorf("domain of the policy: %w", err)
	}
	if !m.About(domain) {
		return nil, fmt.Errorf("report is about domain %s, which is not here", domain)
	}
	if err := m.checkEnd(f.Metadata.End); err != nil {
		return nil, err
	}
	in, err := dmarcdb.NewIncoming(f, domain, m.Auth.DMARC.From)
	if err != nil {
		return nil, err
	}
	return &Report{DMARC: in}, nil
}

// TLS reads a message to an address for TLS reports. The error says why it is not a
// report from its author about domains or hosts of ours: it is mail like other mail
// then, with the field [TLSReportErrorField]. The message must have a DKIM signature
// of the author over all of it, with a key that may be used for such reports,
// RFC 8460 §3.
func (rr *ReportReader) TLS(ctx context.Context, m ReportMessage) (*Report, error) {
	if m.Auth == nil {
		return nil, errNoAuth
	}
	from, err := m.Auth.reporter()
	if err != nil {
		return nil, err
	}
	free, err := rr.acquire(ctx, m)
	if err != nil {
		return nil, err
	}
	defer free()
	r, err := tlsrpt.ParseMessage(m.Content, m.Size)
	if err != nil {
		return nil, err
	}
	if err := m.checkEnd(r.End); err != nil {
		return nil, err
	}
	in, err := tlsrptdb.NewIncoming(r, m.About, m.Host, from)
	if err != nil {
		return nil, err
	}
	return &Report{TLS: in}, nil
}

// acquire waits until a report may be read, and returns what to call after that.
func (rr *ReportReader) acquire(ctx context.Context, m ReportMessage) (free func(), err error) {
	if !rr.limiter.Add(m.Auth.RemoteIP, m.now(), 1) {
		return nil, errReportRate
	}
	timeout := time.NewTimer(reportWait)
	defer timeout.Stop()
	select {
	case rr.slots <- struct{}{}:
		return func() { <-rr.slots }, nil
	case <-timeout.C:
		return nil, errReportBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m ReportMessage) now() time.Time {
	if m.Now.IsZero() {
		return time.Now()
	}
	return m.Now
}

func (m ReportMessage) checkEnd(end time.Time) error {
	if end.After(m.now().Add(maxReportSkew)) {
		return fmt.Errorf("%w: it ends at %s", errReportFuture, end.UTC().Format(time.RFC3339))
	}
	return nil
}

// reporter returns the domain in From if there is a signature of it, or of a domain
// above it in the same organization, that is good for TLS reports. The error is
// about the signature that came closest.
func (a *Auth) reporter() (dns.Domain, error) {
	if a.FromErr != nil || len(a.From) != 1 {
		return dns.Domain{}, errReportFrom
	}
	from := a.From[0]
	best := errReportDKIM
	for _, res := range a.DKIM {
		sig := res.Signature
		switch {
		case sig == nil || !coversReporter(sig.Domain, from):
		case sig.Length >= 0:
			best = errReportLength
		case res.Status != dkim.StatusPass:
		case res.Record == nil || !res.Record.ServiceAllowed("tlsrpt"):
			best = errReportService
		default:
			return from, nil
		}
	}
	return dns.Domain{}, best
}

// coversReporter reports whether a signature of a domain is one of a reporter.
func coversReporter(signer, from dns.Domain) bool {
	if signer == from {
		return true
	}
	if !strings.HasSuffix(from.ASCII, "."+signer.ASCII) {
		return false
	}
	a, ok1 := publicsuffix.Organization(signer, true)
	b, ok2 := publicsuffix.Organization(from, true)
	return ok1 && ok2 && a == b
}

// ReportError returns the text of an error about a report for a header field:
// printable ASCII in one line. Parts of it can be from the message.
func ReportError(err error) string {
	var b strings.Builder
	for _, c := range err.Error() {
		if b.Len() >= maxReportError {
			b.WriteString("...")
			break
		}
		if c < ' ' || c > '~' {
			c = '?'
		}
		b.WriteRune(c)
	}
	return b.String()
}
