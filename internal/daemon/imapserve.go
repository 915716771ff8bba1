package daemon

import (
	"context"
	"errors"
	"fmt"

	"mox/imapserver"
	"mox/internal/ctl"
	"mox/internal/identity"
	"mox/mlog"
)

// ctlIMAPServe serves IMAP on the connection, for a user who need not log in.
//
//	login address
//	"ok"
//	IMAP, from the greeting on
func (d *Daemon) ctlIMAPServe(ctx context.Context, c *ctl.Conn) error {
	address, err := c.ReadLine()
	if err != nil {
		return err
	}
	res, err := d.checker.Local(ctx, identity.Attempt{Protocol: "imap", Cid: mlog.Cid(ctx)}, address)
	var disabled *identity.LoginDisabledError
	switch {
	case errors.As(err, &disabled):
		return err
	case errors.Is(err, identity.ErrCredentials):
		return fmt.Errorf("no account can log in as %q", address)
	case err != nil:
		return err
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	nc, err := c.Take()
	if err != nil {
		return err
	}
	// At shutdown it is the IMAP server that ends the session, not the end of ctx.
	d.imap.ServePreauth(context.Background(), nc, res, imapserver.ListenerOptions{Name: "ctl", AllowPlaintextLogin: true})
	return nil
}
