package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"mox/internal/ctl"
	"mox/internal/training"
	"mox/junk"
	"mox/smtp"
	"mox/store"
)

// makeTraining makes what keeps and trains the junk filters of accounts.
func (d *Daemon) makeTraining(dir string) error {
	prior, err := junk.DefaultPrior()
	if err != nil {
		return fmt.Errorf("prior of junk filters: %w", err)
	}
	d.training = training.New(training.Options{
		Config: d.conf,
		Store:  d.store,
		Dir:    dir,
		Prior:  prior,
		Log:    d.logger("training"),
	})
	return nil
}

// ctlRetrain makes junk filters anew.
//
//	account, empty for all
//	"ok"
//	stream of text about progress
func (d *Daemon) ctlRetrain(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 1)
	if err != nil {
		return err
	}
	s, names := d.conf.Snapshot(), args
	if account := args[0]; account != "" {
		if a, ok := s.Account(account); !ok {
			return noAccount(account)
		} else if a.JunkFilter == nil {
			return fmt.Errorf("account %s has no JunkFilter in domains.conf", account)
		}
	} else {
		names = nil
		for _, name := range accountNames(s) {
			if a, _ := s.Account(name); a.JunkFilter != nil {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return errors.New("no account has a JunkFilter in domains.conf")
		}
	}
	return forAccounts(ctx, c, names, d.retrain)
}

// retrain makes the junk filter of an account anew, and writes how far that is.
func (d *Daemon) retrain(ctx context.Context, w io.Writer, name string) error {
	var done, total atomic.Int64
	var stats junk.Stats
	err := withProgress(ctx, w, func(ctx context.Context) (err error) {
		stats, err = d.training.Retrain(ctx, name, func(n, of int) {
			done.Store(int64(n))
			total.Store(int64(of))
		})
		return err
	}, func() string { return fmt.Sprintf("%s: %d of %d lessons learned", name, done.Load(), total.Load()) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s: %d lessons, %d not junk and %d junk, %d words\n", name, stats.Ham+stats.Spam, stats.Ham, stats.Spam, stats.Words)
	return err
}

// accountArgs reads the parameters of a command, of which the first is an account, and
// opens that. The caller must release it.
func (d *Daemon) accountArgs(ctx context.Context, c *ctl.Conn, n int) (*store.Account, []string, error) {
	args, err := readArgs(c, n)
	if err != nil {
		return nil, nil, err
	}
	if _, ok := d.conf.Snapshot().Account(args[0]); !ok {
		return nil, nil, noAccount(args[0])
	}
	acc, err := d.store.Ensure(ctx, args[0])
	return acc, args, err
}

// ctlReputation says what an account knows of an address, and what a message from there
// would get.
//
//	account
//	address
//	mailbox, empty for the Inbox
//	"ok"
//	stream of text
func (d *Daemon) ctlReputation(ctx context.Context, c *ctl.Conn) error {
	acc, args, err := d.accountArgs(ctx, c, 3)
	if err != nil {
		return err
	}
	defer acc.Release()
	addr, err := smtp.ParseAddress(args[1], smtp.Lenient)
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	if args[2] != "" {
		if _, ok := acc.Tree().ByName(args[2]); !ok {
			return fmt.Errorf("account %s has no mailbox %q", args[0], args[2])
		}
	}
	e, err := d.decider.Explain(ctx, args[0], args[2], addr)
	if err != nil {
		return err
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	if _, err := io.WriteString(w, e.String()); err != nil {
		return err
	}
	return w.Close()
}

// ctlSendersList lists the senders that a user allows or blocks.
//
//	account
//	"ok"
//	number of rules
//	"allow" or "block", sender and time with tabs in between, for each
func (d *Daemon) ctlSendersList(ctx context.Context, c *ctl.Conn) error {
	acc, _, err := d.accountArgs(ctx, c, 1)
	if err != nil {
		return err
	}
	defer acc.Release()
	rules, err := acc.SenderRules(ctx)
	if err != nil {
		return err
	}
	var lines []string
	for _, r := range rules {
		what := "block"
		if r.Allow {
			what = "allow"
		}
		lines = append(lines, columns(what, r.Sender, timeColumn(r.Since)))
	}
	return writeLines(c, lines)
}

// ctlSendersSet allows or blocks a sender.
//
//	account
//	"allow" or "block"
//	address, or @ and a domain
//	"ok"
//	sender as it is kept
func (d *Daemon) ctlSendersSet(ctx context.Context, c *ctl.Conn) error {
	acc, args, err := d.accountArgs(ctx, c, 3)
	if err != nil {
		return err
	}
	defer acc.Release()
	if args[1] != "allow" && args[1] != "block" {
		return fmt.Errorf("a sender is allowed or blocked, not %.50q", args[1])
	}
	sender, err := store.ParseSender(args[2])
	if err != nil {
		return err
	}
	if err := acc.SetSenderRule(ctx, sender, args[1] == "allow"); err != nil {
		return err
	}
	d.log.Info("rule for sender set", "account", acc.Name(), "sender", sender, "rule", args[1])
	if err := c.WriteOK(); err != nil {
		return err
	}
	return c.WriteLine(sender)
}

// ctlSendersRemove removes what a user has said of a sender.
//
//	account
//	address, or @ and a domain
//	"ok"
func (d *Daemon) ctlSendersRemove(ctx context.Context, c *ctl.Conn) error {
	acc, args, err := d.accountArgs(ctx, c, 2)
	if err != nil {
		return err
	}
	defer acc.Release()
	sender, err := store.ParseSender(args[1])
	if err != nil {
		return err
	}
	removed, err := acc.RemoveSenderRule(ctx, sender)
	if err != nil {
		return err
	} else if !removed {
		return fmt.Errorf("account %s neither allows nor blocks %s", acc.Name(), sender)
	}
	d.log.Info("rule for sender removed", "account", acc.Name(), "sender", sender)
	return c.WriteOK()
}
