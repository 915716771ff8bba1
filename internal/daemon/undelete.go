package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mox/internal/ctl"
	"mox/internal/retention"
	"mox/store"
)

// undeleteBatch is how many messages one commit brings back.
const undeleteBatch = 200

// UndeleteFilter says which messages a command for undelete is about. It must not be empty
// but for a list.
type UndeleteFilter struct {
	IDs       []int64
	MessageID string
	Mailbox   string
	Since     time.Time // Of when they were deleted.
	All       bool
}

// UndeleteMessage is a message in a list of those that can be undeleted.
type UndeleteMessage struct {
	ID             int64
	Mailbox        string
	MailboxDeleted bool
	UID            uint32
	Received       time.Time
	Deleted, Until time.Time
	Size           int64
	Flags          string
	MessageID      string
	From, Subject  string // In the form in which they are searched.
}

// undeleteLimits returns what the configuration says for an account.
func (d *Daemon) undeleteLimits(account string) store.UndeleteLimits {
	a, _ := d.conf.Snapshot().Account(account)
	return store.UndeleteLimits{Window: a.UndeleteWindow, Bytes: a.UndeleteSize}
}

func (d *Daemon) makeRetention() {
	d.retention = retention.New(retention.Options{
		Config: d.conf, Store: d.store, Log: d.logger("retention"), StartDelay: d.opts.sweepDelay,
		Expire: d.transfers.Expire,
	})
}

// undeleteArgs reads the account, a filter in JSON, and n further lines.
func (d *Daemon) undeleteArgs(ctx context.Context, c *ctl.Conn, n int) (*store.Account, store.ExpungedFilter, []string, error) {
	acc, args, err := d.accountArgs(ctx, c, 2+n)
	if err != nil {
		return nil, store.ExpungedFilter{}, nil, err
	}
	var f UndeleteFilter
	if err := json.Unmarshal([]byte(args[1]), &f); err != nil {
		acc.Release()
		return nil, store.ExpungedFilter{}, nil, fmt.Errorf("filter: %w", err)
	}
	return acc, store.ExpungedFilter{IDs: f.IDs, MessageID: f.MessageID, Mailbox: f.Mailbox, Since: f.Since}, args[2:], nil
}

// ctlUndeleteList lists messages that can be undeleted.
//
//	account
//	filter
//	"ok"
//	stream of messages in JSON, one a line
func (d *Daemon) ctlUndeleteList(ctx context.Context, c *ctl.Conn) error {
	acc, f, _, err := d.undeleteArgs(ctx, c, 0)
	if err != nil {
		return err
	}
	defer acc.Release()
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	enc := json.NewEncoder(w)
	err = acc.Expunged(ctx, f, func(x store.Expunged) error {
		return enc.Encode(UndeleteMessage{
			ID: x.ID, Mailbox: x.Mailbox, MailboxDeleted: x.MailboxGone, UID: x.UID,
			Received: x.Received, Deleted: x.Since, Until: x.Until, Size: x.Size,
			Flags: x.Flags.String(), MessageID: string(x.Digest.MessageID()),
			From: string(x.Digest.SearchFrom()), Subject: string(x.Digest.SearchSubject()),
		})
	})
	if err != nil {
		return err
	}
	return w.Close()
}

func expungedIDs(ctx context.Context, acc *store.Account, f store.ExpungedFilter) (ids []int64, err error) {
	err = acc.Expunged(ctx, f, func(x store.Expunged) error { ids = append(ids, x.ID); return nil })
	return ids, err
}

// ctlUndeleteRestore undeletes messages.
//
//	account
//	filter
//	mailbox, empty for those in which they were
//	"ok"
//	number of messages
func (d *Daemon) ctlUndeleteRestore(ctx context.Context, c *ctl.Conn) error {
	acc, f, args, err := d.undeleteArgs(ctx, c, 1)
	if err != nil {
		return err
	}
	defer acc.Release()
	ids, err := expungedIDs(ctx, acc, f)
	if err != nil {
		return err
	}
	n := 0
	for batch := range slices.Chunk(ids, undeleteBatch) {
		var done []store.Undeleted
		err := acc.Update(ctx, func(tx *store.Tx) (err error) {
			done, err = tx.Undelete(batch, args[0])
			return err
		})
		if err != nil {
			return fmt.Errorf("after %d of %d messages: %w", n, len(ids), err)
		}
		n += len(done)
	}
	d.log.InfoContext(ctx, "messages undeleted", "account", acc.Name(), "messages", n)
	return writeCount(c, n)
}

// ctlUndeletePurge gives up messages that could be undeleted.
//
//	account
//	filter
//	"ok"
//	number of messages
func (d *Daemon) ctlUndeletePurge(ctx context.Context, c *ctl.Conn) error {
	acc, f, _, err := d.undeleteArgs(ctx, c, 0)
	if err != nil {
		return err
	}
	defer acc.Release()
	ids, err := expungedIDs(ctx, acc, f)
	if err != nil {
		return err
	}
	n := 0
	if len(ids) > 0 {
		if err := acc.Update(ctx, func(tx *store.Tx) (err error) { n, err = tx.Purge(ids); return err }); err != nil {
			return err
		}
		if err := acc.Sweep(ctx); err != nil {
			return err
		}
	}
	d.log.InfoContext(ctx, "deleted messages purged", "account", acc.Name(), "messages", n)
	return writeCount(c, n)
}

func writeCount(c *ctl.Conn, n int) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	return c.WriteLine(fmt.Sprint(n))
}
