package cli

import (
	"fmt"

	"mox/internal/ctl"
)

var cmdSendersList = command{
	words: "senders list",
	args:  "account",
	help: `List the senders that a user allows or blocks.

For each there is a line with "allow" or "block", the address, or @ and a domain, and
since when, with tabs in between. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		if err := c.Do("senderslist", args[0]); err != nil {
			return err
		}
		return e.printLines(c)
	}),
}

var cmdSendersAllow = command{
	words: "senders allow",
	args:  "account address|@domain",
	help: `Take mail of a sender for a user, whatever its content says.

The sender is an address, or @ and a domain for all addresses at it and at domains below
it. The most specific rule counts. That a message is from an allowed sender must be
proven, by SPF, DKIM or DMARC: otherwise anyone could say so. What was said of the same
sender before is replaced. The server must be running.

	mox senders allow ann @example.org
`,
	setup: withServer(2, 2, setSender("allow")),
}

var cmdSendersBlock = command{
	words: "senders block",
	args:  "account address|@domain",
	help: `Refuse mail of a sender for a user.

The sender is an address, or @ and a domain for all addresses at it and at domains below
it. The most specific rule counts. What was said of the same sender before is replaced.
The server must be running.

	mox senders block ann news@example.org
`,
	setup: withServer(2, 2, setSender("block")),
}

// setSender returns what allows or blocks a sender.
func setSender(what string) func(e *env, c *ctl.Client, args []string) error {
	return func(e *env, c *ctl.Client, args []string) error {
		if err := c.Do("sendersset", args[0], what, args[1]); err != nil {
			return err
		}
		sender, err := c.ReadLine()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "%s\t%s\n", what, sender)
		return err
	}
}

var cmdSendersRemove = command{
	words: "senders rm",
	args:  "account address|@domain",
	help: `Neither allow nor block a sender any more.

The server must be running.
`,
	setup: withServer(2, 2, func(_ *env, c *ctl.Client, args []string) error {
		return c.Do("sendersrm", args[0], args[1])
	}),
}
