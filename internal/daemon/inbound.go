package daemon

import (
	"context"
	"io"

	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/smtp"
)

// makeInbound makes the engines for mail that comes in.
func (d *Daemon) makeInbound() {
	d.decider = inbound.New(inbound.Options{
		Store:    d.store,
		Config:   d.conf,
		Resolver: d.dns,
		Junk:     d.training,
		Reports:  inbound.NewReportReader(),
		Log:      d.logger("inbound"),
	})
	d.deliver = deliver.New(deliver.Options{
		Store:   d.store,
		Config:  d.conf,
		Log:     d.logger("deliver"),
		Reports: deliver.ReportStores{DMARC: d.dmarcDB, TLS: d.tlsDB},
		Trace:   d.trace,
		Forward: d.submitter,
		Match:   matcher{d},
	})
}

// matcher gives notifications to the queue, which is made after what delivers them.
type matcher struct{ d *Daemon }

// MatchDSN implements deliver.Matcher.
func (m matcher) MatchDSN(ctx context.Context, account string, rcpt smtp.Path, r io.ReaderAt, size int64) error {
	_, err := m.d.queue.MatchDSN(ctx, account, rcpt, r, size)
	return err
}
