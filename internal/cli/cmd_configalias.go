package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"

	"mox/internal/ctl"
)

// maxMembers is how many addresses a command line can have.
const maxMembers = 1000

var cmdConfigAliasList = command{
	words: "config alias list",
	args:  "domain",
	help: `List the aliases of a domain, each with its members.

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error { return e.doLines(c, "aliaslist", args...) }),
}

var cmdConfigAliasPrint = command{
	words: "config alias print",
	args:  "alias",
	help: `Print the settings and members of an alias.

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error { return e.doLines(c, "aliasprint", args...) }),
}

var cmdConfigAliasAdd = command{
	words: "config alias add",
	args:  "alias address ...",
	help: `Add an alias, an address of which each member gets a copy of the mail.

Members are addresses of accounts. Everyone can write to a new alias: see "config alias
update". The server must be running.

	mox config alias add sales@example.org ann@example.org bob@example.org
`,
	setup: withServer(2, maxMembers, func(e *env, c *ctl.Client, args []string) error {
		return e.doMembers(c, fmt.Sprintf("alias %s was added", args[0]), "aliasadd", args)
	}),
}

var cmdConfigAliasUpdate = command{
	words: "config alias update",
	args:  "alias",
	help: `Change the settings of an alias. Those without a flag stay.

The server must be running.

	mox config alias update -postpublic false -listmembers true sales@example.org
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var values [3]string
		fs.StringVar(&values[0], "postpublic", "", "everyone can write to the alias, not only members: `true or false`")
		fs.StringVar(&values[1], "listmembers", "", "members can see who the other members are: `true or false`")
		fs.StringVar(&values[2], "allowmsgfrom", "", "members can send mail from the alias: `true or false`")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 1 {
				return usageError("")
			}
			for _, v := range values {
				if v != "" && v != "true" && v != "false" {
					return usageError(fmt.Sprintf("%q is neither true nor false", v))
				}
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			return e.doPrint(c, fmt.Sprintf("alias %s was changed", args[0]), "aliasupdate", append(args, values[:]...)...)
		}
	},
}

var cmdConfigAliasRemove = command{
	words: "config alias rm",
	args:  "alias",
	help: `Remove an alias. Its members stay.

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("alias %s was removed", args[0]), "aliasrm", args...)
	}),
}

var cmdConfigAliasAddAddr = command{
	words: "config alias addaddr",
	args:  "alias address ...",
	help: `Add members to an alias.

The server must be running.
`,
	setup: withServer(2, maxMembers, func(e *env, c *ctl.Client, args []string) error {
		return e.doMembers(c, fmt.Sprintf("members were added to alias %s", args[0]), "aliasaddaddr", args)
	}),
}

var cmdConfigAliasRemoveAddr = command{
	words: "config alias rmaddr",
	args:  "alias address ...",
	help: `Remove members from an alias, of which one must stay.

The server must be running.
`,
	setup: withServer(2, maxMembers, func(e *env, c *ctl.Client, args []string) error {
		return e.doMembers(c, fmt.Sprintf("members were removed from alias %s", args[0]), "aliasrmaddr", args)
	}),
}

// doMembers sends a command with an alias and addresses.
func (e *env) doMembers(c *ctl.Client, done, cmd string, args []string) error {
	members, err := json.Marshal(args[1:])
	if err != nil {
		return err
	}
	return e.doPrint(c, done, cmd, args[0], string(members))
}
