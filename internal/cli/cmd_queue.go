package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mox/internal/ctl"
	"mox/internal/daemon"
)

// filterHelp is about the flags of commands that select messages.
const filterHelp = `Without flags, it is for all messages. With several, all must match. Times are
relative to now: ">-1h" is after one hour ago, "<2h" before two hours from now. The
server must be running.
`

// queueFilter has the flags that select messages in the queue.
type queueFilter struct {
	fs        *flag.FlagSet
	f         daemon.QueueFilter
	ids       string
	transport string
}

// define defines the flags that all commands have that select messages.
func (q *queueFilter) define(fs *flag.FlagSet) {
	q.fs = fs
	fs.StringVar(&q.ids, "ids", "", "only messages with these `ids`, separated by commas")
	fs.StringVar(&q.f.Account, "account", "", "only messages of an `account`")
	fs.StringVar(&q.f.From, "from", "", "only messages with this `text` in the address of the sender, all of the domain if it starts with @, or <> for none")
	fs.StringVar(&q.f.To, "to", "", "only messages with this `text` in the address of the recipient, all of the domain if it starts with @")
	fs.StringVar(&q.f.Submitted, "submitted", "", "only messages that were queued at a `time`")
	fs.StringVar(&q.transport, "transport", "", "only messages with this `transport`, or, if it is empty, without one")
	fs.IntVar(&q.f.Max, "n", 0, "at most `number` messages")
}

// defineQueued defines the flags for messages in the queue.
func (q *queueFilter) defineQueued(fs *flag.FlagSet) {
	q.define(fs)
	fs.StringVar(&q.f.Hold, "hold", "", "only messages that are on hold, or are not: `true or false`")
	fs.StringVar(&q.f.NextAttempt, "nextattempt", "", "only messages that are to be tried next at a `time`")
}

// line returns the filter for the server.
func (q *queueFilter) line() (string, error) {
	if q.f.Max < 0 {
		return "", usageError("flag -n: cannot be negative")
	}
	if q.ids != "" {
		for s := range strings.SplitSeq(q.ids, ",") {
			id, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
			if err != nil {
				return "", usageError(fmt.Sprintf("flag -ids: %q is not a number", s))
			}
			q.f.IDs = append(q.f.IDs, id)
		}
	}
	q.fs.Visit(func(f *flag.Flag) {
		if f.Name == "transport" {
			q.f.Transport = &q.transport
		}
	})
	b, err := json.Marshal(q.f)
	if err == nil && len(b) > ctl.MaxLine {
		err = errors.New("filter is too long")
	}
	return string(b), err
}

// withQueue returns what runs a command that selects messages: run is called with
// the filter as a line.
func withQueue(q *queueFilter, nargs int, run func(e *env, c *ctl.Client, filter string, args []string) error) runFunc {
	return func(ctx context.Context, e *env, args []string) (rerr error) {
		if len(args) != nargs {
			return usageError("")
		}
		line, err := q.line()
		if err != nil {
			return err
		}
		c, err := e.server(ctx)
		if err != nil {
			return err
		}
		defer func() { rerr = errors.Join(rerr, c.Close()) }()
		return run(e, c, line, args)
	}
}

// printStream prints what the server answers to a command.
func printStream(e *env, c *ctl.Client, command string, params ...string) error {
	if err := c.Do(command, params...); err != nil {
		return err
	}
	_, err := io.Copy(e.out, c.StreamReader())
	return err
}

// printCount tells for how many messages a command was done.
func printCount(e *env, c *ctl.Client, command string, params ...string) error {
	if err := c.Do(command, params...); err != nil {
		return err
	}
	n, err := c.ReadLine()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s messages changed\n", n)
	return err
}

var cmdQueueList = command{
	words: "queue list",
	help: `List the messages in the queue, one for each recipient.

The columns are: id, when it was queued, when it will be tried next, attempts so far,
account, sender, recipient, explicitly chosen transport, and how it is doing: why it is
on hold, and how the last attempt failed.

` + filterHelp,
	setup: func(fs *flag.FlagSet) runFunc {
		var q queueFilter
		q.defineQueued(fs)
		fs.StringVar(&q.f.Sort, "sort", "queued", "`order` of messages, nextattempt or queued")
		fs.BoolVar(&q.f.Asc, "asc", false, "oldest first, instead of newest first")
		return withQueue(&q, 0, func(e *env, c *ctl.Client, filter string, _ []string) error {
			return printStream(e, c, "queuelist", filter)
		})
	},
}

// queueChange returns a command without arguments that changes messages.
func queueChange(words, help, name string, params ...string) command {
	return command{
		words: words,
		help:  help + "\n" + filterHelp,
		setup: func(fs *flag.FlagSet) runFunc {
			var q queueFilter
			q.defineQueued(fs)
			return withQueue(&q, 0, func(e *env, c *ctl.Client, filter string, _ []string) error {
				return printCount(e, c, name, append([]string{filter}, params...)...)
			})
		},
	}
}

var cmdQueueHold = queueChange("queue hold", `Put messages in the queue on hold.

They are not tried until they are released with "mox queue unhold".
`, "queueholdset", "true")

var cmdQueueUnhold = queueChange("queue unhold", `Release messages in the queue that are on hold.

They are tried when they are due, which may be at once. A hold rule that has put them
on hold stays, for new messages.
`, "queueholdset", "false")

var cmdQueueFail = queueChange("queue fail", `Give up messages in the queue, and tell their senders.
`, "queuefail")

var cmdQueueDrop = queueChange("queue drop", `Remove messages from the queue without telling their senders.
`, "queuedrop")

var cmdQueueSchedule = command{
	words: "queue schedule",
	args:  "duration",
	help: `Change when messages in the queue are tried next.

The duration, such as 30m or -1h, is added to when they would be tried, or with -now to
the present time. It does not make for more attempts.

	mox queue schedule -now -to @example.org 0s

` + filterHelp,
	setup: func(fs *flag.FlagSet) runFunc {
		var q queueFilter
		q.defineQueued(fs)
		now := fs.Bool("now", false, "add the duration to the present time")
		return withQueue(&q, 1, func(e *env, c *ctl.Client, filter string, args []string) error {
			if _, err := time.ParseDuration(args[0]); err != nil {
				return usageError(err.Error())
			}
			from := ""
			if *now {
				from = "now"
			}
			return printCount(e, c, "queueschedule", filter, from, args[0])
		})
	},
}

var cmdQueueTransport = command{
	words: "queue transport",
	args:  "transport",
	help: `Choose a transport for messages in the queue, whatever routes say.

With an empty name, "", routes are used again.

` + filterHelp,
	setup: func(fs *flag.FlagSet) runFunc {
		var q queueFilter
		q.defineQueued(fs)
		return withQueue(&q, 1, func(e *env, c *ctl.Client, filter string, args []string) error {
			return printCount(e, c, "queuetransport", filter, args[0])
		})
	},
}

var cmdQueueRequireTLS = command{
	words: "queue requiretls",
	args:  "yes|no|default",
	help: `Set whether messages in the queue need TLS on their way.

With yes, they are only delivered over verified TLS, to servers that do the same
(REQUIRETLS). With no, policies of the recipient's domain that ask for TLS are not
obeyed. With default, it is up to these policies.

` + filterHelp,
	setup: func(fs *flag.FlagSet) runFunc {
		var q queueFilter
		q.defineQueued(fs)
		return withQueue(&q, 1, func(e *env, c *ctl.Client, filter string, args []string) error {
			if a := args[0]; a != "yes" && a != "no" && a != "default" {
				return usageError(fmt.Sprintf("%q is neither yes, no nor default", a))
			}
			return printCount(e, c, "queuerequiretls", filter, args[0])
		})
	},
}

var cmdQueueDump = command{
	words: "queue dump",
	args:  "id",
	help: `Print a message in the queue, as it will be sent.

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return printStream(e, c, "queuedump", args[0])
	}),
}
