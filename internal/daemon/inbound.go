package daemon

import (
	"mox/internal/deliver"
	"mox/internal/inbound"
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
		Store:       d.store,
		Config:      d.conf,
		Log:         d.logger("deliver"),
		Reports:     deliver.ReportStores{DMARC: d.dmarcDB, TLS: d.tlsDB},
		Evaluations: d.dmarcDB,
		Trace:       d.trace,
	})
}
