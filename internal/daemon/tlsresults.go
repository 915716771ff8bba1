package daemon

import (
	"context"
	"log/slog"
	"time"

	"mox/internal/reports"
	"mox/mlog"
	"mox/mtasts/mtastsdb"
	"mox/queue"
	"mox/queue/transport"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

// What deliveries need of the databases.
var (
	_ transport.Policies   = (*mtastsdb.DB)(nil)
	_ transport.TLSMemory  = (*tlsrptdb.Results)(nil)
	_ transport.TLSResults = tlsResults{}
)

// tlsResults stores how TLS went with deliveries, for reports.
type tlsResults struct {
	db        *tlsrptdb.Results
	connected func() // Called for each connection.
	log       *slog.Logger
}

// AddTLSResults implements transport.TLSResults.
func (t tlsResults) AddTLSResults(ctx context.Context, d queue.Delivery, results []transport.TLSResult) {
	t.connected()
	sessions := make([]tlsrptdb.Session, len(results))
	for i, r := range results {
		sessions[i] = tlsrptdb.Session{
			RecipientDomain: r.RecipientDomain,
			PolicyDomain:    r.PolicyDomain,
			IsHost:          r.IsHost,
			SendReport:      isReason(reports.KindOf(d.Base), r.Result),
			Result:          r.Result,
		}
	}
	if err := t.db.Add(time.Now(), sessions...); err != nil {
		t.log.ErrorContext(ctx, "storing tls results", mlog.Err(err), slog.Int64("content", d.Base.ID))
	}
}

// isReason reports whether a session is a reason to send a TLS report. With TLS reports
// none is, or two servers could report to each other for ever; DMARC reports are sent to
// so many that only what has failed is of interest.
func isReason(kind reports.Kind, r tlsrpt.PolicyResult) bool {
	switch kind {
	case reports.KindTLS:
		return false
	case reports.KindDMARC:
		return r.Failures > 0
	}
	return true
}
