package daemon

import (
	"context"
	"errors"
	"fmt"

	"mox/internal/ctl"
	"mox/store"
)

// Check reports whether the server does what it is for: the control socket answers,
// and databases can be read. It goes the way that a client goes.
func (d *Daemon) Check(ctx context.Context) error {
	return CheckRunning(ctx, d.DataDir())
}

// CheckRunning is [Daemon.Check] for a server in another process, by its data directory.
func CheckRunning(ctx context.Context, dataDir string) (rerr error) {
	c, err := ctl.Dial(ctx, dataDir)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	return c.Do("health")
}

// ctlHealth says whether the server is well.
//
//	"ok", or what is wrong
func (d *Daemon) ctlHealth(ctx context.Context, c *ctl.Conn) error {
	if d.isStopping() {
		return errors.New("server is stopping")
	}
	if _, err := d.queueDB.Status(ctx); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if account := d.conf.Snapshot().Postmaster().Account; account != "" {
		if err := d.viewAccount(ctx, account); err != nil {
			return fmt.Errorf("account %s: %w", account, err)
		}
	}
	return c.WriteOK()
}

// viewAccount reads from the database of an account.
func (d *Daemon) viewAccount(ctx context.Context, name string) error {
	a, err := d.store.Account(ctx, name)
	if errors.Is(err, store.ErrNoAccount) {
		return nil // Nothing has come yet.
	} else if err != nil {
		return err
	}
	defer a.Release()
	_, err = a.Credentials(ctx)
	return err
}
