package daemon

import (
	"context"
	"errors"
	"time"

	"mox/mlog"
)

// reloadInterval is how often it is looked whether domains.conf has changed, when
// nobody asks for the configuration otherwise.
const reloadInterval = 2 * time.Second

// Reload reads domains.conf, keys and certificates again now. What has errors stays as
// it is; the error says what, and is logged.
func (d *Daemon) Reload() error {
	d.log.Info("reloading")
	err := errors.Join(d.conf.Reload(), d.certs.Reload())
	d.log.Info("reloaded", mlog.Err(err))
	return err
}

// watchConfig makes changes of domains.conf known soon although nobody needs it, and ends
// sessions of accounts that cannot log in any more.
func (d *Daemon) watchConfig() error {
	ticker := time.NewTicker(reloadInterval)
	defer ticker.Stop()
	changed := d.conf.Changed()
	for {
		select {
		case <-d.stopping:
			return nil
		case <-ticker.C:
			_ = d.conf.Snapshot() // It looks at the file.
		case <-changed:
			changed = d.conf.Changed()
			d.checker.Recheck(context.Background(), "")
		}
	}
}
