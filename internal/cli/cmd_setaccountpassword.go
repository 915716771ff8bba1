package cli

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

var cmdSetAccountPassword = command{
	words: "setaccountpassword",
	args:  "account",
	help: `Set the password of an account, read as a line from standard input.

The name of the account is that in domains.conf, not an email address. The password
must have at least 8 characters. The server must be running.

	mox setaccountpassword ann <password.txt
`,
	setup: func(*flag.FlagSet) runFunc { return runSetAccountPassword },
}

// maxPasswordLine is how much of standard input can be a password, in octets.
const maxPasswordLine = 4096

func runSetAccountPassword(ctx context.Context, e *env, args []string) (rerr error) {
	if len(args) != 1 {
		return usageError("")
	}
	password, err := bufio.NewReader(io.LimitReader(e.in, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read password: %w", err)
	}
	password = strings.TrimRight(password, "\r\n")
	if password == "" {
		return errors.New("no password on standard input")
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
