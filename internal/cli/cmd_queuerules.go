package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"mox/internal/ctl"
)

var cmdQueueHoldRulesList = command{
	words: "queue holdrules list",
	help: `List the rules that put messages on hold as they are queued.

Rules that the server has added because the sending of an account has jumped say so.
The server must be running.
`,
	setup: withServer(0, 0, func(e *env, c *ctl.Client, _ []string) error {
		return printStream(e, c, "queueholdruleslist")
	}),
}

var cmdQueueHoldRulesAdd = command{
	words: "queue holdrules add",
	help: `Add a rule that puts messages on hold as they are queued.

Messages are held for which all flags are right, without flags all messages. Those in
the queue are put on hold too. The server must be running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		account := fs.String("account", "", "messages of an `account`")
		sender := fs.String("senderdom", "", "messages with senders in a `domain`")
		recipient := fs.String("recipientdom", "", "messages with recipients in a `domain`")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if err := noArgs(args); err != nil {
				return err
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			if err := c.Do("queueholdrulesadd", *account, *sender, *recipient); err != nil {
				return err
			}
			id, err := c.ReadLine()
			if err != nil {
				return err
			}
			n, err := c.ReadLine()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.out, "rule %s added, %s messages put on hold\n", id, n)
			return err
		}
	},
}

var cmdQueueHoldRulesRemove = command{
	words: "queue holdrules remove",
	args:  "id",
	help: `Remove a rule that puts messages on hold.

Messages that are on hold stay so until they are released with "mox queue unhold". The
server must be running.
`,
	setup: withServer(1, 1, func(_ *env, c *ctl.Client, args []string) error {
		return c.Do("queueholdrulesremove", args[0])
	}),
}

var cmdQueueRetiredList = command{
	words: "queue retired list",
	help: `List messages that have left the queue, delivered or not.

They are kept for as long as the account says with KeepRetiredMessagePeriod. The
columns are: id, when it was queued, when something was last heard of it, attempts,
account, sender, recipient, transport of the last attempt, and the result.

` + filterHelp,
	setup: func(fs *flag.FlagSet) runFunc {
		var q queueFilter
		q.define(fs)
		fs.StringVar(&q.f.LastActivity, "lastactivity", "", "only messages that something was last heard of at a `time`")
		fs.StringVar(&q.f.Result, "result", "", "only messages with a `result`, success or failure")
		fs.StringVar(&q.f.Sort, "sort", "queued", "`order` of messages, lastactivity or queued")
		fs.BoolVar(&q.f.Asc, "asc", false, "oldest first, instead of newest first")
		return withQueue(&q, 0, func(e *env, c *ctl.Client, filter string, _ []string) error {
			return printStream(e, c, "queueretiredlist", filter)
		})
	},
}

var cmdQueueRetiredPrint = command{
	words: "queue retired print",
	args:  "id",
	help: `Print all that is known of a message that has left the queue, as JSON.

All attempts are there, with the server that answered, how TLS was used, the error, and
for the last ones what was said. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return printStream(e, c, "queueretiredprint", args[0])
	}),
}

var cmdQueueSuppressList = command{
	words: "queue suppress list",
	help: `List the addresses that accounts do not send to any more.

An address is added when a message to it has failed for a reason that will stay, or three
in a row have failed. Further messages to it fail at once. The server must be running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		account := fs.String("account", "", "only those of an `account`")
		return withServer(0, 0, func(e *env, c *ctl.Client, _ []string) error {
			return printStream(e, c, "queuesuppresslist", *account)
		})(fs)
	},
}

var cmdQueueSuppressAdd = command{
	words: "queue suppress add",
	args:  "account address",
	help: `Add an address that an account does not send to any more.

The server must be running.
`,
	setup: withServer(2, 2, func(_ *env, c *ctl.Client, args []string) error {
		return c.Do("queuesuppressadd", args...)
	}),
}

var cmdQueueSuppressRemove = command{
	words: "queue suppress remove",
	args:  "account address",
	help: `Remove an address from those that an account does not send to any more.

The server must be running.
`,
	setup: withServer(2, 2, func(_ *env, c *ctl.Client, args []string) error {
		return c.Do("queuesuppressremove", args...)
	}),
}

var cmdQueueSuppressLookup = command{
	words: "queue suppress lookup",
	args:  "address",
	help: `Look up which accounts do not send to an address any more.

The server must be running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		account := fs.String("account", "", "only this `account`")
		return withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
			var b strings.Builder
			out := *e
			out.out = &b
			if err := printStream(&out, c, "queuesuppresslookup", *account, args[0]); err != nil {
				return err
			}
			if b.Len() == 0 {
				b.WriteString("not suppressed\n")
			}
			_, err := fmt.Fprint(e.out, b.String())
			return err
		})(fs)
	},
}
