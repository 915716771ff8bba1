package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"mox/config"
	"mox/internal/ctl"
	"mox/internal/daemon"
	"mox/internal/safefile"
	"mox/internal/tracedb"
)

var cmdTrace = command{
	words: "trace",
	args:  "[message-id | address | queue-id]",
	help: `Print what became of messages, the latest first.

Messages are selected by their Message-ID, by an address of the sender or a recipient
on the envelope, or by their id in the queue. Without any of them, the latest messages are
printed.

For each message there is a line with time and Message-ID, and a line for each step:
when, how long after the first one, what, and more about it. The steps are:

	received   it came in: from where, with which TLS, from whom
	refused    it, or a recipient, was refused, with which reply
	verdict    what was decided for a recipient, and why
	delivered  it was stored in a mailbox
	kept       a copy of what was refused was stored, in RejectsMailbox
	queued     it was queued for a recipient, also one it is forwarded to
	attempt    delivery from the queue was tried: to where, with which TLS, the reply
	notified   the sender was told: failed, delayed, delivered
	reported   a notification came back that tells what became of it

Message M1 in account ann is the file with the message, and its EMAILID in IMAP. The
number after "cid" is in the lines of the log, that after "id" is what the client was
told. All is kept as long as KeepTracePeriod in mox.conf says, and written within a
second. A server need not be running.

	mox trace ann@example.org
	mox trace -since 2h -n 5 '<1234@example.org>'
`,
	setup: func(fs *flag.FlagSet) runFunc {
		n := fs.Int("n", 20, "print `count` messages at most")
		since := fs.String("since", "", "only messages that came since a `time`: a duration before now such as 2h, a date, or a time as in the output")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) > 1 {
				return usageError("")
			}
			if *n < 1 || *n > daemon.MaxTraces {
				return usageError(fmt.Sprintf("flag -n: must be from 1 to %d", daemon.MaxTraces))
			}
			q := daemon.TraceQuery{Max: *n}
			if len(args) == 1 {
				q.What = args[0]
			}
			var err error
			if q.Since, err = parseSince(*since, time.Now()); err != nil {
				return usageError("flag -since: " + err.Error())
			}
			return e.trace(ctx, q)
		}
	},
}

// parseSince returns the time that a person has given. It is zero for an empty text.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		if d < 0 {
			d = -d
		}
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a duration nor a time such as 2006-01-02T15:04:05Z or 2006-01-02", s)
}

// trace asks the server, or reads the database if none is running.
func (e *env) trace(ctx context.Context, q daemon.TraceQuery) (rerr error) {
	c, err := e.server(ctx)
	if errors.Is(err, ctl.ErrNotRunning) {
		return e.traceOffline(ctx, q)
	} else if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	since := ""
	if !q.Since.IsZero() {
		since = q.Since.Format(time.RFC3339Nano)
	}
	return printStream(e, c, "trace", q.What, since, strconv.Itoa(q.Max))
}

func (e *env) traceOffline(ctx context.Context, q daemon.TraceQuery) (rerr error) {
	dir, err := config.DataDir(e.configPath)
	if err != nil {
		return err
	}
	if err := checkDataDir(dir); err != nil {
		return err
	}
	lock, err := safefile.LockDir(dir)
	if err != nil {
		return fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	defer func() { rerr = errors.Join(rerr, lock.Close()) }()
	db, err := tracedb.Open(ctx, tracedb.Options{Dir: dir, Log: e.log})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return daemon.WriteTrace(ctx, db, q, func() (io.Writer, error) { return e.out, nil })
}
