package cli

import (
	"context"
	"errors"
	"flag"
	"io"
)

var cmdReputation = command{
	words: "reputation",
	args:  "account address",
	help: `Print what an account knows of a sender, and what a message from there would get.

That is: whether the user allows or blocks the sender; when the account has last sent to
the address, its domain and organization; and which messages from there the user has
flagged as junk or not, newest first. Messages of which it was proven who they are from
count apart from others. What their content and network say comes on top. The server
must be running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		mailbox := fs.String("mailbox", "", "`name` of the mailbox that messages are meant for, instead of Inbox")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 2 {
				return usageError("")
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			if err := c.Do("reputation", args[0], args[1], *mailbox); err != nil {
				return err
			}
			_, err = io.Copy(e.out, c.StreamReader())
			return err
		}
	},
}
