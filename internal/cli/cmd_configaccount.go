package cli

import (
	"context"
	"flag"
	"fmt"

	"mox/internal/ctl"
)

var cmdConfigAccountList = command{
	words: "config account list",
	help: `List the accounts by name.

If logging in to an account is disabled, a tab and the text that users get follow. The
server must be running.
`,
	setup: withServer(0, 0, func(e *env, c *ctl.Client, _ []string) error { return e.doLines(c, "accountlist") }),
}

var cmdConfigAccountAddresses = command{
	words: "config account addresses",
	args:  "account",
	help: `List the addresses of an account.

One without localpart, like @example.org, gets all mail of the domain that no other
address gets. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error { return e.doLines(c, "accountaddresses", args...) }),
}

var cmdConfigAccountAdd = command{
	words: "config account add",
	args:  "account address",
	help: `Add an account with an address.

The name of the account is that of its directory; it is no address and may have other
addresses later. The domain of the address must be configured. domains.conf is changed,
and nothing else in it. Nobody can log in before a password is set. The server must be
running.

	mox config account add ann ann@example.org
	mox setaccountpassword ann
`,
	setup: withServer(2, 2, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("account %s was added; set a password with: mox setaccountpassword %s", args[0], args[0]), "accountadd", args...)
	}),
}

var cmdConfigAccountRename = command{
	words: "config account rename",
	args:  "account name",
	help: `Give an account another name.

The name is that of its directory, and no address: users do not see it. Its messages,
junk filter, app passwords, client certificates, records of logins, messages in the queue
and their history, suppressed addresses, hold rules and reports come with it. Nobody can
use the account for a moment: its sessions end, mail for it is refused for the time being,
and others are served meanwhile. What a crash interrupts is finished at the next start.
Traces keep the name of their time. The postmaster's account, which is named in mox.conf,
cannot be renamed. The server must be running.
`,
	setup: withServer(2, 2, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("account %s is now %s", args[0], args[1]), "accountrename", args...)
	}),
}

var cmdConfigAccountRemove = command{
	words: "config account rm",
	args:  "account",
	help: `Remove an account for good, with its messages, addresses and ways to log in.

With -export, its messages are written first, as a maildir for each mailbox, to a new
directory, or to a new file with a name that ends in .tgz. Flags and up to 26 keywords are
in names of files as usual, with the file dovecot-keywords; all of them are in the file
flags.tsv. What was written is read again before anything is removed. The server writes
it, so it must be allowed to; a relative path is in the data directory. Mail that comes
meanwhile is refused for the time being.

Its addresses leave the aliases that they are members of. What uses the account is in the
way: being the last member of an alias, reports about a domain, being the postmaster, and
messages in the queue, unless -dropqueue is given, with which they are removed and nobody
is told. Traces keep its name and addresses until they expire. The server must be running.

	mox config account rm -export ann.tgz ann
`,
	setup: func(fs *flag.FlagSet) runFunc {
		export := fs.String("export", "", "new directory, or new file ending in .tgz, for the messages")
		drop := fs.Bool("dropqueue", false, "remove its messages in the queue")
		return func(ctx context.Context, e *env, args []string) error {
			return withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
				dropped := ""
				if *drop {
					dropped = "drop"
				}
				return e.doLines(c, "accountrm", args[0], *export, dropped)
			})(fs)(ctx, e, args)
		}
	},
}

var cmdConfigAccountDisable = command{
	words: "config account disable",
	args:  "account message",
	help: `Make logging in to an account fail with a message, which users see.

Mail is still delivered. The message is printable ASCII of at most 255 characters.
Sessions that have logged in end within some seconds. The server must be running.

	mox config account disable ann "moved to another server, see mail.example.org"
`,
	setup: withServer(2, 2, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("logging in to account %s is disabled", args[0]), "accountdisabled", args...)
	}),
}

var cmdConfigAccountEnable = command{
	words: "config account enable",
	args:  "account",
	help: `Make logging in to an account possible again, after "config account disable".

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("logging in to account %s is enabled", args[0]), "accountenable", args...)
	}),
}

var cmdConfigAddressAdd = command{
	words: "config address add",
	args:  "address account",
	help: `Add an address to an account.

An address without localpart, like @example.org, gets all mail of the domain that no
other address gets. The server must be running.

	mox config address add info@example.org ann
`,
	setup: withServer(2, 2, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("address %s was added to account %s", args[0], args[1]), "addressadd", args...)
	}),
}

var cmdConfigAddressRemove = command{
	words: "config address rm",
	args:  "address",
	help: `Remove an address of an account.

It leaves the aliases that it is a member of, unless it is the last one there. It cannot
be removed while a client certificate logs in with it, or messages from it are in the
queue, unless the account has the catchall of the domain. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("address %s was removed", args[0]), "addressrm", args...)
	}),
}

var cmdConfigAddressAccount = command{
	words: "config address account",
	args:  "address",
	help: `Print the account that an address belongs to.

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error { return e.doLines(c, "addressaccount", args...) }),
}

// doLines sends a command and prints the lines of the answer.
func (e *env) doLines(c *ctl.Client, cmd string, params ...string) error {
	if err := c.Do(cmd, params...); err != nil {
		return err
	}
	return e.printLines(c)
}

// doPrint is doLines that says what was done.
func (e *env) doPrint(c *ctl.Client, done, cmd string, params ...string) error {
	if err := e.doLines(c, cmd, params...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(e.out, done)
	return err
}
