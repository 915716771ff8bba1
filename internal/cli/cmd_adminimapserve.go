package cli

import (
	"context"
	"errors"
	"flag"
	"io"
)

var cmdAdminIMAPServe = command{
	words: "admin imapserve",
	args:  "preauthaddress",
	help: `Speak IMAP on standard input and output, as a user who is logged in.

The address is one that an account can log in with; no password is needed. The
session is one of the running server, and ends with it, or when the account cannot
log in any more. Who can use the control socket, the user that mox runs as and root, can
run this command, so it serves to read mail through ssh without a password, or
to look into a mailbox as its user sees it.

Mail programs that run a command instead of connecting to a server can use it. For
mbsync, in a section IMAPAccount:

	Tunnel "ssh mail.example.org mox -config /home/mox/config/mox.conf admin imapserve ann@example.org"

and for mutt:

	set tunnel="ssh mail.example.org mox -config /home/mox/config/mox.conf admin imapserve ann@example.org"
	set folder="imap://mail.example.org/"
`,
	setup: func(fs *flag.FlagSet) runFunc {
		fd0 := fs.Bool("fd0", false, "write to standard input, which must be a socket, instead of standard output: for programs that give one file descriptor for both directions")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return usageError("")
			}
			if *fd0 {
				w, ok := e.in.(io.Writer)
				if !ok {
					return errors.New("standard input cannot be written to")
				}
				e.out = w
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer c.Close() // Closed already after IMAP.
			if err := c.Do("imapserve", args[0]); err != nil {
				return err
			}
			nc, err := c.Take()
			if err != nil {
				return err
			}
			return connectStdio(e, nc, false)
		}
	},
}
