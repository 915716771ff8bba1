package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"mox/dns"
	"mox/internal/ctl"
	"mox/queue/queuedb"
	"mox/smtp"
)

// queueCommands are those of commands that are about the queue. Filters are a
// QueueFilter as JSON in one line.
func (d *Daemon) queueCommands() map[string]ctl.Handler {
	return map[string]ctl.Handler{
		"queueholdruleslist":   d.ctlQueueHoldRulesList,
		"queueholdrulesadd":    d.ctlQueueHoldRulesAdd,
		"queueholdrulesremove": d.ctlQueueHoldRulesRemove,
		"queuelist":            d.ctlQueueList,
		"queueholdset":         d.ctlQueueHoldSet,
		"queueschedule":        d.ctlQueueSchedule,
		"queuetransport":       d.ctlQueueTransport,
		"queuerequiretls":      d.ctlQueueRequireTLS,
		"queuefail":            d.ctlQueueFail,
		"queuedrop":            d.ctlQueueDrop,
		"queuedump":            d.ctlQueueDump,
		"queueretiredlist":     d.ctlQueueRetiredList,
		"queueretiredprint":    d.ctlQueueRetiredPrint,
		"queuesuppresslist":    d.ctlQueueSuppressList,
		"queuesuppressadd":     d.ctlQueueSuppressAdd,
		"queuesuppressremove":  d.ctlQueueSuppressRemove,
		"queuesuppresslookup":  d.ctlQueueSuppressLookup,
	}
}

// readLines reads n parameters.
func readLines(c *ctl.Conn, n int) ([]string, error) {
	l := make([]string, n)
	for i := range l {
		var err error
		if l[i], err = c.ReadLine(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func queueFilterOf(c *ctl.Conn) (QueueFilter, error) {
	line, err := c.ReadLine()
	if err != nil {
		return QueueFilter{}, err
	}
	return readQueueFilter(line)
}

// changeQueue reads a filter and n parameters, calls change, and answers with the
// number of messages that it returns.
//
//	"ok"
//	number of messages
func (d *Daemon) changeQueue(ctx context.Context, c *ctl.Conn, n int, change func(f queuedb.Filter, args []string) (int, error)) error {
	l, err := readLines(c, 1+n)
	if err != nil {
		return err
	}
	qf, err := readQueueFilter(l[0])
	if err != nil {
		return err
	}
	f, p, err := qf.queued(time.Now())
	if err != nil {
		return err
	}
	if qf.Max > 0 {
		p.Max = qf.Max
		messages, err := d.queueDB.List(ctx, f, p)
		if err != nil {
			return err
		}
		f = queuedb.Filter{IDs: []int64{}}
		for _, m := range messages {
			f.IDs = append(f.IDs, m.ID)
		}
	}
	count, err := change(f, l[1:])
	if err != nil {
		return err
	}
	return answer(c, strconv.Itoa(count))
}

// answer ends a command well, with lines.
func answer(c *ctl.Conn, lines ...string) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	for _, line := range lines {
		if err := c.WriteLine(line); err != nil {
			return err
		}
	}
	return nil
}

// ctlQueueHoldSet puts messages on hold, or releases them.
//
//	filter
//	"true" or "false"
func (d *Daemon) ctlQueueHoldSet(ctx context.Context, c *ctl.Conn) error {
	return d.changeQueue(ctx, c, 1, func(f queuedb.Filter, args []string) (int, error) {
		hold, err := strconv.ParseBool(args[0])
		if err != nil {
			return 0, err
		}
		return d.queueDB.SetHold(ctx, f, hold)
	})
}

// ctlQueueSchedule sets when messages are tried next.
//
//	filter
//	"now" or empty: from now, or from when they would be tried
//	duration
func (d *Daemon) ctlQueueSchedule(ctx context.Context, c *ctl.Conn) error {
	return d.changeQueue(ctx, c, 2, func(f queuedb.Filter, args []string) (int, error) {
		by, err := time.ParseDuration(args[1])
		if err != nil {
			return 0, err
		}
		if args[0] == "now" {
			return d.queueDB.Schedule(ctx, f, time.Now().Add(by))
		}
		return d.queueDB.Postpone(ctx, f, by)
	})
}

// ctlQueueTransport chooses a transport for messages.
//
//	filter
//	name, empty for that of routes
func (d *Daemon) ctlQueueTransport(ctx context.Context, c *ctl.Conn) error {
	return d.changeQueue(ctx, c, 1, func(f queuedb.Filter, args []string) (int, error) {
		if _, ok := d.conf.Snapshot().Transports[args[0]]; !ok && args[0] != "" {
			return 0, fmt.Errorf("there is no transport %q in mox.conf", args[0])
		}
		return d.queueDB.SetTransport(ctx, f, args[0])
	})
}

// ctlQueueRequireTLS sets whether messages need TLS.
//
//	filter
//	"yes", "no" or "default"
func (d *Daemon) ctlQueueRequireTLS(ctx context.Context, c *ctl.Conn) error {
	return d.changeQueue(ctx, c, 1, func(f queuedb.Filter, args []string) (int, error) {
		require := args[0] == "yes"
		switch args[0] {
		case "yes", "no":
			return d.queueDB.SetRequireTLS(ctx, f, &require)
		case "default":
			return d.queueDB.SetRequireTLS(ctx, f, nil)
		}
		return 0, fmt.Errorf("%q is neither yes, no nor default", args[0])
	})
}

// ctlQueueFail makes messages fail, and has their senders told.
//
//	filter
func (d *Daemon) ctlQueueFail(ctx context.Context, c *ctl.Conn) error {
	return d.changeQueue(ctx, c, 0, func(f queuedb.Filter, _ []string) (int, error) {
		return d.queueDB.Fail(ctx, f, "delivery was canceled by the administrator of the mail server")
	})
}

// ctlQueueDrop removes messages, and nobody is told.
//
//	filter
func (d *Daemon) ctlQueueDrop(ctx context.Context, c *ctl.Conn) error {
	return d.changeQueue(ctx, c, 0, func(f queuedb.Filter, _ []string) (int, error) {
		return d.queueDB.Drop(ctx, f, d.queue.Retain)
	})
}

func readID(c *ctl.Conn) (int64, error) {
	line, err := c.ReadLine()
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not an id", line)
	}
	return id, nil
}

// ctlQueueDump returns a message.
//
//	id
//	"ok"
//	stream of the message
func (d *Daemon) ctlQueueDump(ctx context.Context, c *ctl.Conn) (rerr error) {
	id, err := readID(c)
	if err != nil {
		return err
	}
	_, base, err := d.queueDB.Get(ctx, id)
	if err != nil {
		return err
	}
	content, err := d.queueDB.OpenContent(base)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, content.Close()) }()
	return streamText(c, func(w io.Writer) error {
		_, err := io.Copy(w, content)
		return err
	})
}

// ctlQueueRetiredPrint returns all that is known of a message that has left the queue.
//
//	id
//	"ok"
//	stream of JSON
func (d *Daemon) ctlQueueRetiredPrint(ctx context.Context, c *ctl.Conn) error {
	id, err := readID(c)
	if err != nil {
		return err
	}
	r, err := d.queueDB.GetRetired(ctx, id)
	if err != nil {
		return err
	}
	return streamText(c, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "\t")
		return enc.Encode(r)
	})
}

// ctlQueueHoldRulesAdd adds a hold rule.
//
//	account, sender domain, recipient domain: a line for each, empty for any
//	"ok"
//	id of the rule
//	number of messages put on hold
func (d *Daemon) ctlQueueHoldRulesAdd(ctx context.Context, c *ctl.Conn) error {
	l, err := readLines(c, 3)
	if err != nil {
		return err
	}
	for i, s := range l[1:] {
		if s == "" {
			continue
		}
		dom, err := dns.ParseDomain(s)
		if err != nil {
			return fmt.Errorf("parse domain: %w", err)
		}
		l[1+i] = dom.ASCII
	}
	r, n, err := d.queueDB.AddHoldRule(ctx, queuedb.HoldRule{Account: l[0], SenderDomain: l[1], RecipientDomain: l[2]})
	if err != nil {
		return err
	}
	d.log.InfoContext(ctx, "hold rule added", "rule", r.ID, "account", r.Account, "senderdomain", r.SenderDomain, "recipientdomain", r.RecipientDomain)
	return answer(c, strconv.FormatInt(r.ID, 10), strconv.Itoa(n))
}

// ctlQueueHoldRulesRemove removes a hold rule.
//
//	id
//	"ok"
func (d *Daemon) ctlQueueHoldRulesRemove(ctx context.Context, c *ctl.Conn) error {
	id, err := readID(c)
	if err != nil {
		return err
	}
	if err := d.queueDB.RemoveHoldRule(ctx, id); errors.Is(err, queuedb.ErrNotFound) {
		return fmt.Errorf("there is no hold rule %d", id)
	} else if err != nil {
		return err
	}
	d.log.InfoContext(ctx, "hold rule removed", "rule", id)
	return c.WriteOK()
}

// readSuppressed reads an account and an address.
func (d *Daemon) readSuppressed(c *ctl.Conn) (account string, p smtp.Path, err error) {
	l, err := readLines(c, 2)
	if err != nil {
		return "", p, err
	}
	if _, ok := d.conf.Snapshot().Account(l[0]); !ok && l[0] != "" {
		return "", p, fmt.Errorf("there is no account %q in domains.conf", l[0])
	}
	addr, err := smtp.ParseAddress(l[1], smtp.Lenient)
	if err != nil {
		return "", p, fmt.Errorf("parse address: %w", err)
	}
	return l[0], addr.Path(), nil
}

// ctlQueueSuppressAdd adds an address to the suppression list of an account.
//
//	account
//	address
//	"ok"
func (d *Daemon) ctlQueueSuppressAdd(ctx context.Context, c *ctl.Conn) error {
	account, p, err := d.readSuppressed(c)
	if err != nil {
		return err
	}
	if account == "" {
		return errors.New("account is empty")
	}
	if _, err := d.queueDB.AddSuppression(ctx, account, p, "added by the administrator"); err != nil {
		return err
	}
	return c.WriteOK()
}

// ctlQueueSuppressRemove removes an address from the suppression list of an account.
//
//	account
//	address
//	"ok"
func (d *Daemon) ctlQueueSuppressRemove(ctx context.Context, c *ctl.Conn) error {
	account, p, err := d.readSuppressed(c)
	if err != nil {
		return err
	}
	if err := d.queueDB.RemoveSuppression(ctx, account, p); errors.Is(err, queuedb.ErrNotFound) {
		return errors.New("address is not on the suppression list of the account")
	} else if err != nil {
		return err
	}
	return c.WriteOK()
}

// ctlQueueSuppressLookup looks an address up.
//
//	account, empty for all
//	address
//	"ok"
//	stream of text, empty if the address is not suppressed
func (d *Daemon) ctlQueueSuppressLookup(ctx context.Context, c *ctl.Conn) error {
	account, p, err := d.readSuppressed(c)
	if err != nil {
		return err
	}
	l, err := d.queueDB.FindSuppressions(ctx, p)
	if err != nil {
		return err
	}
	return streamText(c, func(w io.Writer) error {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, s := range l {
			if account == "" || s.Account == account {
				writeSuppression(tw, s)
			}
		}
		return tw.Flush()
	})
}
