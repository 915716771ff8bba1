package daemon

import (
	"context"
	"sync"

	"mox/internal/reports"
	"mox/internal/submit"
)

// reporting sends reports to others, and looks up our addresses on blocklists.
type reporting struct {
	monitor *reports.Monitor // Nil if nothing leaves the server or there is no DNS.

	cancel context.CancelFunc // Nil if it was not started.
	ended  sync.WaitGroup
}

// connected notes a connection for outgoing mail.
func (r *reporting) connected() {
	if r.monitor != nil {
		r.monitor.Connected()
	}
}

// makeMonitor makes the monitor. It is there before the transports, which tell it of
// connections.
func (d *Daemon) makeMonitor() {
	if d.dns == nil || d.opts.Localserve {
		return
	}
	d.reports.monitor = reports.NewMonitor(reports.MonitorOptions{Config: d.conf, Resolver: d.dns, Log: d.logger("reports")})
}

// startReporting starts both in the background.
func (d *Daemon) startReporting(submitter *submit.Submitter) {
	if d.reports.monitor == nil {
		return
	}
	sender := reports.New(reports.Options{
		Config:      d.conf,
		Resolver:    d.dns,
		Evaluations: d.dmarcDB,
		TLS:         d.out.tlsResults,
		Queue:       submitter,
		Sign:        submitter,
		TempDir:     d.store.TempDir(),
		Log:         d.logger("reports"),
	})
	ctx, cancel := context.WithCancel(context.Background())
	d.reports.cancel = cancel
	for name, run := range map[string]func(context.Context) error{"reports": sender.Run, "blocklist monitor": d.reports.monitor.Run} {
		d.reports.ended.Add(1)
		d.run(name, func() error {
			defer d.reports.ended.Done()
			return run(ctx)
		})
	}
}

// shutdown ends both, and waits for that until ctx is done.
func (r *reporting) shutdown(ctx context.Context) error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	ended := make(chan struct{})
	go func() {
		r.ended.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
