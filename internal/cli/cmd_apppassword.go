package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"mox/internal/ctl"
)

var cmdAppPasswordList = command{
	words: "config apppassword list",
	args:  "[account]",
	help: `List the app passwords of an account, or of all accounts.

For each there is a line with account, name, scope, when it was made, and time, protocol
and address of its last use, with tabs in between. The server must be running.
`,
	setup: withServer(0, 1, func(e *env, c *ctl.Client, args []string) error {
		if err := c.Do("apppasswordlist", strings.Join(args, "")); err != nil {
			return err
		}
		return e.printLines(c)
	}),
}

var cmdAppPasswordAdd = command{
	words: "config apppassword add",
	args:  "account name",
	help: `Make a password for one program of a user, and print it.

It is printed once and not kept: for another program make another one. The name says
where it is used. It works besides the password of the account, with every mechanism,
for the protocols in its scope: "smtp" is to send messages, "imap" to read them, "web" is
all that is over HTTP. The server must be running.

	mox config apppassword add ann phone
	mox config apppassword add -scope smtp ann "printer on the first floor"
`,
	setup: func(fs *flag.FlagSet) runFunc {
		scope := fs.String("scope", "imap,smtp", "`protocols` that it is for: smtp, imap and web, with commas in between")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 2 {
				return usageError("")
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			if err := c.Do("apppasswordadd", args[0], args[1], *scope); err != nil {
				return err
			}
			password, err := c.ReadLine()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, password)
			return err
		}
	},
}

var cmdAppPasswordRemove = command{
	words: "config apppassword rm",
	args:  "account name",
	help: `Remove an app password, with which no one can log in any more.

Sessions that have logged in with it end. The server must be running.
`,
	setup: withServer(2, 2, func(_ *env, c *ctl.Client, args []string) error {
		return c.Do("apppasswordrm", args[0], args[1])
	}),
}

var cmdLoginAttempts = command{
	words: "loginattempts",
	help: `List attempts to log in, the latest first.

Those that were alike are one line, with tabs in between: time of the last one, how many,
time of the first one, result, account, login address, protocol, mechanism, address of
the client, address of the server, app password, TLS version and cipher suite, and
fingerprint of the client certificate. What is not known is "-". After 30 days they are
removed. The server must be running.

	mox loginattempts -account ann
	mox loginattempts -account - -n 1000
`,
	setup: func(fs *flag.FlagSet) runFunc {
		account := fs.String("account", "", "list those of the account with this `name`, - for those of none")
		n := fs.Int("n", 100, "list `count` lines at most")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 0 {
				return usageError("")
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			if err := c.Do("loginattempts", *account, strconv.Itoa(*n)); err != nil {
				return err
			}
			return e.printLines(c)
		}
	},
}

// printLines prints an answer of the server that is a number of lines.
func (e *env) printLines(c *ctl.Client) error {
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(line)
	if err != nil {
		return fmt.Errorf("answer of server: %w", err)
	}
	for range n {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(e.out, line); err != nil {
			return err
		}
	}
	return nil
}
