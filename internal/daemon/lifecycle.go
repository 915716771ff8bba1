package daemon

import (
	"context"
	"fmt"

	"mox/internal/admin"
)

// makeAdmin makes what changes the configuration, and finishes what it was interrupted
// in.
func (d *Daemon) makeAdmin(ctx context.Context) error {
	d.admin = admin.New(admin.Options{
		Config:   d.conf,
		Store:    d.store,
		Logins:   d.authDB,
		Queue:    d.queueDB,
		Derived:  []admin.Derived{d.training, d.texts},
		Reports:  []admin.Renamer{d.dmarcDB, d.tlsDB, d.trace},
		Resolver: d.dns,
		Backups:  &d.backups,
		Log:      d.logger("admin"),
	})
	if err := d.admin.Resume(ctx); err != nil {
		return fmt.Errorf("finish what was begun with accounts: %w", err)
	}
	return nil
}

// known reports whether the configuration has an account.
func (d *Daemon) known(account string) bool {
	_, ok := d.conf.Snapshot().Account(account)
	return ok
}

// removedLines says what became of an account that was removed.
func removedLines(name, export string, exported int) []string {
	if export == "" {
		return []string{fmt.Sprintf("account %s was removed", name)}
	}
	return []string{fmt.Sprintf("%d messages were written to %s", exported, export), fmt.Sprintf("account %s was removed", name)}
}
