package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"mox/internal/backup"
	"mox/internal/ctl"
)

// Answers to an offer of a message.
const (
	restorePresent = "present"
	restoreSend    = "send"
)

// ctlRestoreMessages adds messages from a backup to an account.
//
//	account
//	"ok"
//	an offer in JSON, for each message, or an empty line at the end
//	"ok"
//	for an offer: "present", or "send", a stream of the message, and "ok"
func (d *Daemon) ctlRestoreMessages(ctx context.Context, c *ctl.Conn) (rerr error) {
	acc, args, err := d.accountArgs(ctx, c, 1)
	if err != nil {
		return err
	}
	defer acc.Release()
	if err := c.WriteOK(); err != nil {
		return err
	}
	im := backup.NewImporter(acc, d.store.TempDir())
	defer func() { rerr = errors.Join(rerr, im.Close()) }()
	n := 0
	for {
		line, err := c.WaitLine()
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		added, err := d.restoreOffer(ctx, c, im, line)
		if err != nil {
			return err
		}
		if added {
			n++
		}
	}
	if err := im.Flush(ctx); err != nil {
		return err
	}
	d.log.InfoContext(ctx, "messages restored from backup", "account", args[0], "messages", n)
	return c.WriteOK()
}

func (d *Daemon) restoreOffer(ctx context.Context, c *ctl.Conn, im *backup.Importer, line string) (bool, error) {
	var o backup.Offer
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		return false, fmt.Errorf("offer of message: %w", err)
	}
	if err := d.floor.Check(o.Size); err != nil {
		return false, err
	}
	added, err := im.Restore(ctx, o, func() (io.ReadCloser, error) {
		if err := c.WriteOK(); err != nil {
			return nil, err
		}
		return io.NopCloser(c.StreamReader()), c.WriteLine(restoreSend)
	})
	if err == nil {
		err = c.WriteOK()
	}
	if err == nil && !added {
		err = c.WriteLine(restorePresent)
	}
	return added, err
}

// ctlRestoreAccount makes an account of a directory that was restored.
//
//	account
//	path of the directory, in that for temporary files
//	"ok"
func (d *Daemon) ctlRestoreAccount(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 2)
	if err != nil {
		return err
	}
	if filepath.Dir(args[1]) != d.store.TempDir() {
		return fmt.Errorf("accounts are restored from %s only", d.store.TempDir())
	}
	if err := d.store.Adopt(args[0], args[1]); err != nil {
		return err
	}
	d.log.InfoContext(ctx, "account restored from backup", "account", args[0])
	return c.WriteOK()
}

// RestoreTarget returns a target for messages that are restored to an account of a running
// server. Nothing else is done on the connection of the client until Flush, which is
// called once.
func RestoreTarget(c *ctl.Client, account string) (backup.Target, error) {
	if err := c.Do("restoremessages", account); err != nil {
		return nil, err
	}
	return restoreTarget{c}, nil
}

type restoreTarget struct{ c *ctl.Client }

func (t restoreTarget) Restore(ctx context.Context, o backup.Offer, open func() (io.ReadCloser, error)) (added bool, rerr error) {
	line, err := json.Marshal(o)
	if err != nil {
		return false, err
	}
	if err := t.c.Do(string(line)); err != nil {
		return false, err
	}
	if answer, err := t.c.ReadLine(); err != nil || answer == restorePresent {
		return false, err
	}
	r, err := open()
	if err != nil {
		return false, err
	}
	defer func() { rerr = errors.Join(rerr, r.Close()) }()
	w := t.c.StreamWriter()
	if _, err := io.Copy(w, r); err != nil {
		return false, err
	}
	if err := w.Close(); err != nil {
		return false, err
	}
	return true, t.c.ReadOK()
}

func (t restoreTarget) Flush(context.Context) error { return t.c.Do("") }
