package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"mox/config"
	"mox/internal/ctl"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/safefile"
	"mox/internal/tracedb"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// commands are what the control socket understands. Parameters are lines in the
// order in which the functions read them.
func (d *Daemon) commands() map[string]ctl.Handler {
	m := map[string]ctl.Handler{
		"stop":               d.ctlStop,
		"status":             d.ctlStatus,
		"health":             d.ctlHealth,
		"deliver":            d.ctlDeliver,
		"imapserve":          d.ctlIMAPServe,
		"backup":             d.ctlBackup,
		"restoremessages":    d.ctlRestoreMessages,
		"restoreaccount":     d.ctlRestoreAccount,
		"setaccountpassword": d.ctlSetAccountPassword,
		"tlspubkeylist":      d.ctlTLSPubKeyList,
		"tlspubkeyget":       d.ctlTLSPubKeyGet,
		"tlspubkeyadd":       d.ctlTLSPubKeyAdd,
		"tlspubkeyrm":        d.ctlTLSPubKeyRemove,
		"apppasswordlist":    d.ctlAppPasswordList,
		"apppasswordadd":     d.ctlAppPasswordAdd,
		"apppasswordrm":      d.ctlAppPasswordRemove,
		"loginattempts":      d.ctlLoginAttempts,
		"retrain":            d.ctlRetrain,
		"undeletelist":       d.ctlUndeleteList,
		"undeleterestore":    d.ctlUndeleteRestore,
		"undeletepurge":      d.ctlUndeletePurge,
		"repair":             d.ctlRepair,
		"searchrebuild":      d.ctlSearchRebuild,
		"trace":              d.ctlTrace,
		"reputation":         d.ctlReputation,
		"senderslist":        d.ctlSendersList,
		"sendersset":         d.ctlSendersSet,
		"sendersrm":          d.ctlSendersRemove,
		"loglevels":          d.ctlLogLevels,
		"setloglevels":       d.ctlSetLogLevels,
	}
	maps.Copy(m, d.queueCommands())
	maps.Copy(m, d.adminCommands())
	maps.Copy(m, d.transferCommands())
	return m
}

// ctlStop stops the server. The connection is closed when the server has stopped,
// which is the answer.
func (d *Daemon) ctlStop(context.Context, *ctl.Conn) error {
	d.Stop()
	<-d.stopped
	return nil
}

// ctlSetAccountPassword sets the password of an account.
//
//	account
//	password
func (d *Daemon) ctlSetAccountPassword(ctx context.Context, c *ctl.Conn) error {
	account, err := c.ReadLine()
	if err != nil {
		return err
	}
	password, err := c.ReadLine()
	if err != nil {
		return err
	}
	err = d.checker.SetPassword(ctx, account, password)
	if errors.Is(err, store.ErrNoAccount) {
		return noAccount(account)
	} else if err != nil {
		return err
	}
	return c.WriteOK()
}

// ctlLogLevels returns the log levels: the default with an empty package first.
//
//	"ok"
//	number of lines
//	package: level, for each
func (d *Daemon) ctlLogLevels(_ context.Context, c *ctl.Conn) error {
	def, pkgs := d.opts.Levels.All()
	lines := []string{": " + mlog.LevelName(def)}
	for _, pkg := range slices.Sorted(maps.Keys(pkgs)) {
		lines = append(lines, pkg+": "+mlog.LevelName(pkgs[pkg]))
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	if err := c.WriteLine(strconv.Itoa(len(lines))); err != nil {
		return err
	}
	for _, line := range lines {
		if err := c.WriteLine(line); err != nil {
			return err
		}
	}
	return nil
}

// ctlSetLogLevels sets a log level until the server stops.
//
//	package, empty for the default
//	level, empty to use the default for a package
func (d *Daemon) ctlSetLogLevels(_ context.Context, c *ctl.Conn) error {
	pkg, err := c.ReadLine()
	if err != nil {
		return err
	}
	name, err := c.ReadLine()
	if err != nil {
		return err
	}
	switch {
	case name == "" && pkg == "":
		return errors.New("the default log level cannot be empty")
	case name == "":
		d.opts.Levels.Unset(pkg)
	default:
		level, err := mlog.ParseLevel(name)
		if err != nil {
			return err
		}
		d.opts.Levels.Set(pkg, level)
	}
	d.log.Info("log level changed", "package", pkg, "level", name)
	return c.WriteOK()
}

// ctlDeliver delivers a message to an address, as if it had come by SMTP from the
// null reverse-path.
//
//	address
//	"ok"
//	stream of the message; a bare line feed becomes CRLF
//	"ok", when the message is on stable storage
func (d *Daemon) ctlDeliver(ctx context.Context, c *ctl.Conn) (rerr error) {
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	addr, err := smtp.ParseAddress(line, smtp.Lenient)
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	rcpt, err := d.conf.Snapshot().LookupAddress(addr.Path())
	if err != nil {
		return fmt.Errorf("address %s: %w", addr, err)
	}
	if err := d.floor.Check(0); err != nil {
		return err
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: d.store.TempDir(), MaxSize: config.DefaultMaxMessageSize, CRLF: true})
	defer func() { rerr = errors.Join(rerr, spool.Close()) }()
	if _, err := io.Copy(spool, c.StreamReader()); err != nil {
		return err
	}
	if err := d.deliverSpool(ctx, addr, rcpt, spool); err != nil {
		return err
	}
	return c.WriteOK()
}

// deliverSpool delivers a message that did not come over a network.
func (d *Daemon) deliverSpool(ctx context.Context, addr smtp.Address, rcpt config.Recipient, spool *safefile.Spool) error {
	digest, err := message.NewDigest(spool, spool.Size(), message.Limits{})
	if err != nil {
		return fmt.Errorf("parse message: %w", err)
	}
	facts := inbound.Facts{Rcpt: addr.Path(), Recipient: rcpt, Digest: digest, Size: spool.Size(), Message: spool}
	ctx = tracedb.WithRef(ctx, tracedb.Ref{Cid: d.cids.Next()}) // A connection can have many.
	d.trace.Step(ctx, tracedb.Step{Kind: tracedb.Received, Service: "control socket", MessageID: string(digest.MessageID()), Size: spool.Size()})
	if rcpt.Alias != nil {
		m := deliver.NewMembers(deliver.MembersOptions{Decide: d.decider.Decide, Deliver: d.deliver.Deliver, Log: d.log})
		x := m.Expand(ctx, deliver.Expansion{Delivery: deliver.Delivery{Facts: facts, Spool: spool}, Config: d.conf.Snapshot()})
		if x.Err == nil {
			d.log.InfoContext(ctx, "delivered message from control socket to members of alias",
				slog.Any("alias", rcpt.Alias.Address), slog.Int("delivered", len(x.Got)), slog.Int("full", len(x.Full)))
		}
		return x.Err
	}
	v := d.decider.Decide(ctx, facts)
	if !v.Accept {
		return v.Err
	}
	r, err := d.deliver.Deliver(ctx, deliver.Delivery{Facts: facts, Verdict: v, Spool: spool})
	if err != nil {
		return err
	}
	d.log.InfoContext(ctx, "delivered message from control socket",
		slog.String("account", r.Account), slog.String("mailbox", r.Mailbox), slog.Int64("size", r.Message.Size))
	return nil
}
