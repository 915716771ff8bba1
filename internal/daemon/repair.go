package daemon

import (
	"context"
	"fmt"
	"strconv"

	"mox/internal/ctl"
	"mox/store"
)

// ctlRepair repairs accounts. See [store.Store.Repair].
//
//	account, empty for all
//	kind
//	mailbox, empty for all
//	"ok"
//	number of accounts
//	account and result, for each
//	"ok"
func (d *Daemon) ctlRepair(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 3)
	if err != nil {
		return err
	}
	names := []string{args[0]}
	if args[0] == "" {
		if names, err = d.store.OnDisk(); err != nil {
			return err
		}
	} else if _, ok := d.conf.Snapshot().Account(args[0]); !ok {
		return noAccount(args[0])
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	if err := c.WriteLine(strconv.Itoa(len(names))); err != nil {
		return err
	}
	failed := 0
	for _, name := range names {
		result, err := d.store.Repair(ctx, name, store.RepairKind(args[1]), args[2])
		if err != nil {
			failed++
			result = "error: " + err.Error()
		}
		d.log.InfoContext(ctx, "account repaired", "account", name, "kind", args[1], "result", result)
		if err := c.WriteLine(name + ": " + result); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d accounts could not be repaired", failed, len(names))
	}
	return c.WriteOK()
}
