package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mox/config"
	"mox/internal/ctl"
	"mox/internal/tracedb"
)

// What became of messages, for commands.

// openTrace opens the database of steps of messages. If nothing is to be kept, what was
// kept before is removed.
func (d *Daemon) openTrace(ctx context.Context, s *config.Snapshot) (err error) {
	if s.KeepTracePeriod < 0 {
		return tracedb.Remove(s.DataDir)
	}
	d.trace, err = tracedb.Open(ctx, tracedb.Options{Dir: s.DataDir, Retention: s.KeepTracePeriod, Log: d.logger("tracedb")})
	return err
}

// MaxTraces is how many messages the command prints at most.
const MaxTraces = 10_000

// errNoTraces is for when nothing is kept.
var errNoTraces = errors.New("what becomes of messages is not kept: KeepTracePeriod in mox.conf is negative")

// A TraceQuery says which messages to print. It has been checked by the command.
type TraceQuery struct {
	What  string    // Message-ID, address, or id in the queue. Empty is all messages.
	Since time.Time // Only those that came at this time or later.
	Max   int       // How many, from 1 to MaxTraces.
}

// query returns the query for the database, for a page.
func (q TraceQuery) query(before int64, n int) tracedb.Query {
	p := tracedb.Query{Find: q.What, Since: q.Since, Before: before, Limit: min(n, tracedb.MaxPage)}
	if id, err := strconv.ParseInt(q.What, 10, 64); err == nil && id > 0 {
		p.Find, p.Queue = "", id
	}
	return p
}

// WriteTrace writes messages with their steps, the latest message first, to what open
// returns. It is called when there is something; nothing is an error.
func WriteTrace(ctx context.Context, db *tracedb.DB, q TraceQuery, open func() (io.Writer, error)) error {
	if db == nil {
		return errNoTraces
	}
	var w io.Writer
	before := int64(0)
	for n := q.Max; n > 0; {
		p := q.query(before, n)
		l, err := db.List(ctx, p)
		if err != nil {
			return err
		}
		if w == nil {
			if len(l) == 0 {
				return q.nothing()
			}
			if w, err = open(); err != nil {
				return err
			}
		}
		for _, m := range l {
			if _, err := io.WriteString(w, traceText(m)); err != nil {
				return err
			}
			before = m.ID
		}
		if len(l) < p.Limit {
			break
		}
		n -= len(l)
	}
	return nil
}

// nothing returns the error for a query that nothing matches.
func (q TraceQuery) nothing() error {
	text := "no message is known"
	if q.What != "" {
		text = fmt.Sprintf("nothing is known of a message with Message-ID, address or queue id %q", q.What)
	}
	if !q.Since.IsZero() {
		text += " since " + stamp(q.Since)
	}
	return errors.New(text)
}

// ctlTrace prints messages with their steps.
//
//	Message-ID, address, or id in the queue; empty for all
//	only since this time, RFC 3339; empty for all
//	how many at most
//	"ok"
//	stream of text
func (d *Daemon) ctlTrace(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 3)
	if err != nil {
		return err
	}
	q := TraceQuery{What: args[0]}
	if args[1] != "" {
		if q.Since, err = time.Parse(time.RFC3339Nano, args[1]); err != nil {
			return fmt.Errorf("time: %w", err)
		}
	}
	if q.Max, err = strconv.Atoi(args[2]); err != nil || q.Max < 1 || q.Max > MaxTraces {
		return fmt.Errorf("number of messages must be from 1 to %d", MaxTraces)
	}
	var w io.WriteCloser
	err = WriteTrace(ctx, d.trace, q, func() (io.Writer, error) {
		if err := c.WriteOK(); err != nil {
			return nil, err
		}
		w = c.StreamWriter()
		return w, nil
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// traceText returns a message with its steps, for people.
func traceText(m tracedb.Message) string {
	var b strings.Builder
	id := m.MessageID()
	if id == "" {
		id = "without Message-ID"
	} else {
		id = "<" + id + ">"
	}
	fmt.Fprintf(&b, "%s %s\n", m.Time.UTC().Format(traceTime), id)
	for _, s := range m.Steps {
		fmt.Fprintf(&b, "  %s  %9s  %-9s  %s\n", s.Time.UTC().Format(traceTime), "+"+seconds(s.Time.Sub(m.Time)), s.Kind, column(strings.Join(stepParts(s), ", ")))
		for _, r := range s.Reasons {
			fmt.Fprintf(&b, "%51s- %s\n", "", column(r))
		}
	}
	if m.Skipped > 0 {
		fmt.Fprintf(&b, "  and %d more steps that were not kept\n", m.Skipped)
	}
	b.WriteByte('\n')
	return b.String()
}

const traceTime = "2006-01-02T15:04:05.000Z"

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + "s" }

// stepParts returns what there is to say about a step.
func stepParts(s tracedb.Step) []string {
	var p []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			p = append(p, fmt.Sprintf(format, args...))
		}
	}
	add(s.Kind != tracedb.Received && s.To != "", "%s", bracketed(s.To))
	add(s.Member != "", "member %s", bracketed(s.Member))
	add(s.Result != "", "%s", s.Result)
	add(s.Queue != 0, "queue id %d", s.Queue)
	add(s.Attempt != 0, "attempt %d", s.Attempt)
	add(s.Service != "", "by %s", s.Service)
	add(s.Transport != "", "transport %s", s.Transport)
	add(s.Host+s.IP != "", "%s", where(s))
	add(s.TLS != "", "tls %s", s.TLS)
	add(s.From != "" && (s.Kind == tracedb.Received || s.Kind == tracedb.Queued || s.Kind == tracedb.Refused), "from %s", bracketed(s.From))
	add(s.Account != "", "account %s", s.Account)
	add(s.Mailbox != "", "mailbox %s", s.Mailbox)
	add(s.Content != 0, "message M%d", s.Content)
	add(s.Reason != "", "reason %s", s.Reason)
	reply := s.Text
	if s.Code != 0 {
		reply = strings.TrimSpace(fmt.Sprintf("%d %s", s.Code, strings.TrimSpace(s.Enhanced+" "+s.Text)))
	}
	add(reply != "", "%s", reply)
	add(s.Unanswered, "no reply came after all was sent")
	add(s.Size != 0 && (s.Kind == tracedb.Received || s.Kind == tracedb.Queued), "%d bytes", s.Size)
	add(s.Duration != 0, "took %s", seconds(s.Duration))
	add(!s.Next.IsZero(), "next attempt %s", stamp(s.Next))
	add(s.Connection != "", "id %s", s.Connection)
	add(s.Cid != 0, "cid %x", s.Cid)
	return p
}

// where returns what is known of the other side.
func where(s tracedb.Step) string {
	host, word := s.Host, "to "
	if s.Service != "" {
		word = "from "
	}
	var more []string
	if s.IP != "" {
		more = append(more, s.IP)
	}
	if s.Name != "" && s.Name != s.Host {
		more = append(more, s.Name)
	}
	if host == "" {
		return word + strings.Join(more, " ")
	}
	if len(more) == 0 {
		return word + host
	}
	return word + host + " (" + strings.Join(more, " ") + ")"
}

// bracketed returns an address as in SMTP.
func bracketed(addr string) string {
	if strings.HasPrefix(addr, "<") {
		return addr
	}
	return "<" + addr + ">"
}
