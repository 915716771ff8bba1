package daemon

import (
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/store"
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
	})
}

// policy returns what the configuration says of flags for junk in an account, as it is
// now.
func (d *Daemon) policy(account string) store.Policy {
	a, _ := d.conf.Snapshot().Account(account)
	p := store.Policy{RejectsMailbox: a.RejectsMailbox, Introbox: a.Introbox, Train: a.JunkFilter != nil}
	if a.AutomaticJunkFlags.Enabled {
		p.JunkFlags = a.AutomaticJunkFlags.Flags
	}
	return p
}
