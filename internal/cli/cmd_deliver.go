package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
)

var cmdDeliver = command{
	words: "deliver",
	args:  "address",
	help: `Deliver a message, read from standard input, to an address of this server.

The message goes to the mailbox that mail from elsewhere goes to. Line ends can be LF
or CRLF. The server must be running. When the command succeeds, the message is on
stable storage.

	mox deliver ann@example.org <message.eml
`,
	setup: func(*flag.FlagSet) runFunc { return runDeliver },
}

func runDeliver(ctx context.Context, e *env, args []string) (rerr error) {
	if len(args) != 1 {
		return usageError("")
	}
	c, err := e.server(ctx)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	if err := c.Do("deliver", args[0]); err != nil {
		return err
	}
	w := c.StreamWriter()
	if _, err := io.Copy(w, e.in); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := c.ReadOK(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, "message delivered")
	return err
}
