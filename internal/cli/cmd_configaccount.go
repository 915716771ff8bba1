package cli

import (
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

var cmdConfigAccountRemove = command{
	words: "config account rm",
	args:  "account",
	help: `Remove an account, with its addresses, app passwords and client certificates.

Its addresses leave the aliases that they are members of. What uses the account is in the
way: messages in the queue, being the last member of an alias, reports about a domain, or
being the postmaster.

The messages of the account stay in its directory, which is printed, for you to keep or
delete. Mail on its way may come in for some seconds, so wait a moment, and let the server
have closed the directory: stop it, or wait for half an hour. No account of the same name
can be added before the directory is gone. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error { return e.doLines(c, "accountrm", args...) }),
}

var cmdConfigAccountDisable = command{
	words: "config account disable",
	args:  "account message",
	help: `Make logging in to an account fail with a message, which users see.

Mail is still delivered. The message is printable ASCII of at most 255 characters.
Sessions that have logged in go on. The server must be running.

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
