package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mox/internal/ctl"
	"mox/internal/transfer"
)

// transferCommands are the commands for imports, exports, and copies from other servers.
func (d *Daemon) transferCommands() map[string]ctl.Handler {
	return map[string]ctl.Handler{
		"import":      d.ctlImport,
		"importlist":  d.ctlImportList,
		"importabort": d.ctlImportAbort,
		"export":      d.ctlExport,
		"importimap":  d.ctlImportIMAP,
	}
}

// ctlImport stores messages in an account.
//
//	account
//	mailbox, see transfer.ImportOptions
//	what is imported, for those who ask
//	id of an import to go on with, empty for a new one
//	"ok"
//	id of the import
//	"ok", when it has begun
//	stream of messages, see transfer.Send
//	"ok", when all are on stable storage and visible
//	state of the import, in JSON
func (d *Daemon) ctlImport(ctx context.Context, c *ctl.Conn) error {
	acc, args, err := d.accountArgs(ctx, c, 4)
	if err != nil {
		return err
	}
	defer acc.Release()
	im, err := d.transfers.Import(ctx, acc, transfer.ImportOptions{Mailbox: args[1], Source: args[2], ID: args[3]})
	if err != nil {
		return err
	}
	defer im.Close()
	if err := errors.Join(c.WriteOK(), c.WriteLine(im.State().ID)); err != nil {
		return err
	}
	st, err := im.Receive(ctx, c.StreamReader())
	if err != nil {
		return err
	}
	return errors.Join(c.WriteOK(), writeJSON(c, st))
}

func writeJSON(c *ctl.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.WriteLine(string(b))
}

// ctlImportList returns the imports of an account that are not complete, as lines of JSON.
//
//	account
//	"ok"
//	number of lines
//	lines
func (d *Daemon) ctlImportList(ctx context.Context, c *ctl.Conn) error {
	acc, _, err := d.accountArgs(ctx, c, 1)
	if err != nil {
		return err
	}
	defer acc.Release()
	l, err := d.transfers.Imports(ctx, acc)
	if err != nil {
		return err
	}
	var lines []string
	for _, st := range l {
		b, err := json.Marshal(st)
		if err != nil {
			return err
		}
		lines = append(lines, string(b))
	}
	return writeLines(c, lines)
}

// ctlImportAbort removes what an import has stored.
//
//	account
//	id
//	"ok"
//	number of lines
//	text
func (d *Daemon) ctlImportAbort(ctx context.Context, c *ctl.Conn) error {
	acc, args, err := d.accountArgs(ctx, c, 2)
	if err != nil {
		return err
	}
	defer acc.Release()
	st, err := d.transfers.Abort(ctx, acc, args[1])
	if err != nil {
		return err
	}
	return writeLines(c, []string{fmt.Sprintf("import %s of %s from %s was aborted, %d messages were removed", st.ID, st.Source, st.Started.Format(time.DateTime), st.Stored)})
}

// ctlExport sends the messages of an account.
//
//	account
//	mailbox, empty for all
//	"ok"
//	stream of messages, see transfer.Export
func (d *Daemon) ctlExport(ctx context.Context, c *ctl.Conn) error {
	acc, args, err := d.accountArgs(ctx, c, 2)
	if err != nil {
		return err
	}
	defer acc.Release()
	src, err := transfer.Export(ctx, acc, args[1])
	if err != nil {
		return err
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	if err := transfer.Send(w, src, d.store.TempDir(), func(transfer.Item, int64) {}); err != nil {
		return err
	}
	return w.Close()
}
