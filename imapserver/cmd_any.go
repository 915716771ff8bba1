package imapserver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"mox/imap/wire"
)

// CAPABILITY, NOOP, LOGOUT (RFC 9051 §6.1), ID (RFC 2971) and CHECK (RFC 3501 §6.4.1).

func runCapability(_ context.Context, c *conn, _ struct{}) (reply, error) {
	c.enc.Raw("* CAPABILITY " + strings.Join(c.caps(), " "))
	c.enc.CRLF()
	return reply{}, nil
}

// runNoop does nothing: what has changed is told after each command.
func runNoop(context.Context, *conn, struct{}) (reply, error) { return reply{}, nil }

// runCheck does nothing: all that was acknowledged is on stable storage.
func runCheck(context.Context, *selected, struct{}) (reply, error) { return reply{}, nil }

func runLogout(_ context.Context, c *conn, _ struct{}) (reply, error) {
	c.logout = true
	c.enc.Status("", "BYE", "", "logging out")
	return reply{}, nil
}

// idField is a field of ID.
type idField struct{ name, value string }

// parseID parses what a client says about itself. Some clients write values as atoms, or
// commas behind them.
//
//	id             = "ID" SP id-params-list
//	id-params-list = "(" #(string SP nstring) ")" / nil
func parseID(d *wire.Decoder) []idField {
	d.NeedSP()
	if d.TryNIL() {
		return nil
	}
	defer d.In("id-params-list")()
	var fields []idField
	d.NeedListOrEmpty(func() {
		f := idField{name: strings.ToLower(d.NeedString())}
		d.TryByte(',')
		d.NeedSP()
		if !d.TryNIL() {
			f.value = d.NeedAString()
		}
		d.TryByte(',')
		if len(fields) == maxIDFields || len(f.name) > maxIDName || len(f.value) > maxIDValue {
			d.Fail("id is too large")
		}
		for _, o := range fields {
			if o.name == f.name {
				d.Fail("duplicate field in id")
			}
		}
		fields = append(fields, f)
	})
	return fields
}

// runID notes what the client is and says what we are: the version only to users.
func runID(ctx context.Context, c *conn, fields []idField) (reply, error) {
	var text strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&text, "%s=%q ", f.name, f.value)
	}
	attrs := []slog.Attr{slog.String("id", strings.TrimRight(text.String(), " "))}
	if c.sess != nil {
		attrs = append(attrs, slog.String("account", c.sess.account.Name()))
	}
	c.log.LogAttrs(ctx, slog.LevelInfo, "imap client identified itself", attrs...)
	c.enc.Raw(`* ID ("name" "mox"`)
	if c.sess != nil && c.srv.opts.Version != "" {
		c.enc.Raw(` "version" `)
		c.enc.String(c.srv.opts.Version)
	}
	c.enc.Raw(")\r\n")
	return reply{}, nil
}

// parseMailbox parses the one argument of commands that name a mailbox.
func parseMailbox(d *wire.Decoder) string {
	d.NeedSP()
	return d.NeedMailbox()
}
