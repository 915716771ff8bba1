package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"mox/internal/ctl"
	"mox/queue/queuedb"
)

// queuePage is how many messages are read at a time for a list.
const queuePage = 500

// listBuffer is how many octets of a list are written at a time.
const listBuffer = 32 << 10

// pages calls list for one page after another, each of which is written aligned. List
// returns how many lines of a page it has written, at most max, zero at the end.
func pages(w io.Writer, n int, header string, list func(w io.Writer, max int) (int, error)) error {
	// The writer of tables writes each cell for itself.
	bw := bufio.NewWriterSize(w, listBuffer)
	total := 0
	for {
		max := queuePage
		if n > 0 {
			max = min(max, n-total)
		}
		if max == 0 {
			return nil
		}
		tw := tabwriter.NewWriter(bw, 0, 0, 2, ' ', 0)
		if total == 0 {
			// The error comes back from Flush.
			_, _ = fmt.Fprintln(tw, header)
		}
		k, err := list(tw, max)
		if err != nil {
			return err
		}
		if err := errors.Join(tw.Flush(), bw.Flush()); err != nil {
			return err
		}
		total += k
		if k < max {
			return nil
		}
	}
}

// ctlQueueList lists messages in the queue.
//
//	filter
//	"ok"
//	stream of text
func (d *Daemon) ctlQueueList(ctx context.Context, c *ctl.Conn) error {
	f, err := queueFilterOf(c)
	if err != nil {
		return err
	}
	q, p, err := f.queued(time.Now())
	if err != nil {
		return err
	}
	return streamText(c, func(w io.Writer) error {
		return pages(w, f.Max, "ID\tQUEUED\tNEXT\tATTEMPTS\tACCOUNT\tFROM\tTO\tTRANSPORT\tSTATE", func(w io.Writer, max int) (int, error) {
			p.Max = max
			l, err := d.queueDB.List(ctx, q, p)
			for _, m := range l {
				_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", m.ID, stamp(m.Queued), stamp(m.NextAttempt), m.Attempts,
					column(m.Account), m.Sender(), m.Recipient(), column(m.Transport), state(m))
				p.AfterID, p.AfterNext = m.ID, m.NextAttempt
			}
			return len(l), err
		})
	})
}

// stamp returns a time for people.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// column returns a text for a table.
func column(s string) string {
	s = strings.Join(strings.Fields(strings.Map(printable, s)), " ")
	if s == "" {
		return "-"
	}
	return s
}

// maxState is how much of an error is shown in a list, in characters.
const maxState = 300

// state says how a message in the queue is doing: the last field of its line, which
// can have spaces.
func state(m queuedb.Message) string {
	var l []string
	switch {
	case m.Success != "":
		l = append(l, m.Success+", sender to be told")
	case m.Failed:
		l = append(l, "failed, sender to be told")
	case m.Hold && m.HoldReason != "":
		l = append(l, "on hold: "+m.HoldReason)
	case m.Hold:
		l = append(l, "on hold")
	}
	if m.Bulk {
		l = append(l, "bulk")
	}
	if r := m.RequireTLS; r != nil && *r {
		l = append(l, "requires tls")
	} else if r != nil {
		l = append(l, "tls not required")
	}
	if r, ok := m.LastResult(); ok {
		l = append(l, "last: "+resultText(r))
	}
	text := []rune(column(strings.Join(l, "; ")))
	return string(text[:min(len(text), maxState)])
}

// resultText says what came of an attempt.
func resultText(r queuedb.Result) string {
	parts := []string{}
	if r.Remote != "" {
		parts = append(parts, r.Remote+":")
	}
	if r.Code != 0 {
		parts = append(parts, fmt.Sprint(r.Code), r.Enhanced)
	}
	return strings.Join(append(parts, r.Error), " ")
}

func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

// ctlQueueRetiredList lists messages that have left the queue.
//
//	filter
//	"ok"
//	stream of text
func (d *Daemon) ctlQueueRetiredList(ctx context.Context, c *ctl.Conn) error {
	f, err := queueFilterOf(c)
	if err != nil {
		return err
	}
	q, p, err := f.retired(time.Now())
	if err != nil {
		return err
	}
	return streamText(c, func(w io.Writer) error {
		return pages(w, f.Max, "ID\tQUEUED\tLASTACTIVITY\tATTEMPTS\tACCOUNT\tFROM\tTO\tTRANSPORT\tRESULT", func(w io.Writer, max int) (int, error) {
			p.Max = max
			l, err := d.queueDB.ListRetired(ctx, q, p)
			for _, r := range l {
				m := r.Message
				result, last := "failure", queuedb.Result{}
				if r.Success {
					result = "success"
				}
				if res, ok := m.LastResult(); ok {
					last = res
					result += "; last: " + resultText(res)
				}
				text := []rune(column(result))
				_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", m.ID, stamp(m.Queued), stamp(r.LastActivity), m.Attempts,
					column(m.Account), m.Sender(), m.Recipient(), column(last.Transport), string(text[:min(len(text), maxState)]))
				p.AfterID, p.AfterActivity = m.ID, r.LastActivity
			}
			return len(l), err
		})
	})
}

// ctlQueueHoldRulesList lists the hold rules.
//
//	"ok"
//	stream of text
func (d *Daemon) ctlQueueHoldRulesList(ctx context.Context, c *ctl.Conn) error {
	rules, err := d.queueDB.HoldRules(ctx)
	if err != nil {
		return err
	}
	return streamText(c, func(w io.Writer) error {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(tw, "ID\tCREATED\tACCOUNT\tSENDERDOMAIN\tRECIPIENTDOMAIN\tREASON")
		for _, r := range rules {
			_, _ = fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\n", r.ID, stamp(r.Created), column(r.Account), column(r.SenderDomain), column(r.RecipientDomain), column(r.Reason))
		}
		return tw.Flush()
	})
}

// ctlQueueSuppressList lists suppressed addresses.
//
//	account, empty for all
//	"ok"
//	stream of text
func (d *Daemon) ctlQueueSuppressList(ctx context.Context, c *ctl.Conn) error {
	account, err := c.ReadLine()
	if err != nil {
		return err
	}
	return streamText(c, func(w io.Writer) error {
		after := int64(0)
		return pages(w, 0, suppressHeader, func(w io.Writer, max int) (int, error) {
			l, err := d.queueDB.Suppressions(ctx, account, after, max)
			for _, s := range l {
				writeSuppression(w, s)
				after = s.ID
			}
			return len(l), err
		})
	})
}

const suppressHeader = "ACCOUNT\tADDRESS\tORIGINAL\tSINCE\tMANUAL\tREASON"

func writeSuppression(w io.Writer, s queuedb.Suppression) {
	_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%s\n", column(s.Account), column(s.Base), column(s.Original), stamp(s.Created), s.Manual, column(s.Reason))
}

// streamText answers a command with text.
func streamText(c *ctl.Conn, write func(w io.Writer) error) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	if err := write(w); err != nil {
		return err
	}
	return w.Close()
}
