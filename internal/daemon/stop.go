package daemon

import (
	"context"
	"errors"
	"time"

	"mox/mlog"
)

const (
	// stopGrace is how long sessions may take to end by themselves.
	stopGrace = 3 * time.Second
	// stopAbort is how long they may take after their connections were closed.
	stopAbort = time.Second
)

// Wait runs the server until ctx ends, [Daemon.Stop] is called, someone asks for it
// on the control socket, or a part of the server fails; then it stops the server.
// The error is that of the part, or of stopping. Wait must be called once.
func (d *Daemon) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-d.stopping:
	}
	d.Stop()
	d.log.Info("stopping")
	d.endSessions()
	err := d.close()
	close(d.stopped) // Who asked for it on the control socket knows now.
	d.ctl.Close()
	d.workers.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	err = errors.Join(d.fatal, err)
	d.log.Info("stopped", mlog.Err(err))
	return err
}

// endSessions ends all that uses the databases. What takes longer than allowed is
// left alone: closing the store ends it.
func (d *Daemon) endSessions() {
	_ = d.control.Close() // A next command could not be run to its end.
	d.ctl.Cancel()
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	parts := []func(context.Context) error{d.smtp.Shutdown, d.imap.Shutdown, d.http.Shutdown, d.queue.Shutdown, d.out.shutdown, d.reports.shutdown}
	for _, sock := range d.sockets {
		if sock.shutdown != nil {
			parts = append(parts, sock.shutdown)
		}
	}
	done := make(chan error, len(parts))
	for _, shutdown := range parts {
		go func() { done <- shutdown(ctx) }()
	}
	timeout := time.NewTimer(stopGrace + stopAbort)
	defer timeout.Stop()
	for range parts {
		select {
		case err := <-done:
			if err != nil {
				d.log.Info("sessions were interrupted", mlog.Err(err))
			}
		case <-timeout.C:
			d.log.Warn(stillBusy)
			return
		}
	}
}

// stillBusy is logged when sessions did not end in time.
const stillBusy = "sessions are still busy, stopping anyway"

// close closes what open has opened.
func (d *Daemon) close() error {
	var errs []error
	if d.deliver != nil {
		d.deliver.Settle()
	}
	if d.submitter != nil {
		d.submitter.Settle()
	}
	if d.certs != nil {
		errs = append(errs, d.certs.Close())
	}
	if d.retention != nil {
		errs = append(errs, d.retention.Close())
	}
	if d.training != nil {
		errs = append(errs, d.training.Close())
	}
	if d.texts != nil {
		errs = append(errs, d.texts.Close())
	}
	if d.queueDB != nil {
		errs = append(errs, d.queueDB.Close())
	}
	if d.authDB != nil {
		errs = append(errs, d.authDB.Close())
	}
	if d.dmarcDB != nil {
		errs = append(errs, d.dmarcDB.Close())
	}
	if d.tlsDB != nil {
		errs = append(errs, d.tlsDB.Close())
	}
	errs = append(errs, d.out.close()...)
	errs = append(errs, d.trace.Close())
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}
