package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
)

var cmdSetAccountPassword = command{
	words: "setaccountpassword",
	args:  "account",
	help: `Set the password of an account, read as a line from standard input.

On a terminal, what is typed is not shown.

The name of the account is that in domains.conf, not an email address. The password
must have at least 8 characters. The server must be running.

	mox setaccountpassword ann <password.txt
`,
	setup: func(*flag.FlagSet) runFunc { return runSetAccountPassword },
}

func runSetAccountPassword(ctx context.Context, e *env, args []string) (rerr error) {
	if len(args) != 1 {
		return usageError("")
	}
	password, err := e.readPassword(ctx, "new password of account "+args[0])
	if err != nil {
		return err
	}
	c, err := e.server(ctx)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	if err := c.Do("setaccountpassword", args[0], password); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "password of account %s was set\n", args[0])
	return err
}
