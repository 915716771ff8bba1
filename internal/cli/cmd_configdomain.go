package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/internal/ctl"
)

var cmdConfigDomainAdd = command{
	words: "config domain add",
	args:  "domain account [localpart]",
	help: `Add a domain, with keys for DKIM and addresses for reports about it.

The account gets the reports. If it does not exist, a localpart must be given, and it is
made with that as its address in the domain. Keys are made in the directory dkim of the
configuration; two of them sign, and two are there to change to. The separator + makes
ann+shop@example.org an address of ann@example.org.

The domain works when its records are in DNS: "config dnsrecords" prints them. With
-disabled, mail for it and from it is refused for the time being, for instance until its
accounts are there. The server must be running.

	mox config domain add example.com ann
	mox config address add ann@example.com ann
	mox config dnsrecords example.com
`,
	setup: func(fs *flag.FlagSet) runFunc {
		disabled := fs.Bool("disabled", false, "refuse mail for and from the domain for the time being")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) < 2 || len(args) > 3 {
				return usageError("")
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			localpart, flag := "", ""
			if len(args) == 3 {
				localpart = args[2]
			}
			if *disabled {
				flag = "disabled"
			}
			return e.doPrint(c, fmt.Sprintf("domain %s was added; see its records with: mox config dnsrecords %s", args[0], args[0]), "domainadd", args[0], args[1], localpart, flag)
		}
	},
}

var cmdConfigDomainRemove = command{
	words: "config domain rm",
	args:  "domain",
	help: `Remove a domain that no account has addresses in.

Its aliases go with it. Its keys for DKIM are moved to a directory old beside them. It
cannot be removed while it is the domain of an account, or a client certificate logs in
with one of its addresses. Remove its records from DNS too. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("domain %s was removed; remove its records from DNS too", args[0]), "domainrm", args...)
	}),
}

var cmdConfigDomainDisable = command{
	words: "config domain disable",
	args:  "domain",
	help: `Refuse mail for a domain and from it, with temporary errors.

Others try again later. Logging in with its addresses works. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("domain %s is disabled", args[0]), "domaindisabled", args[0], "true")
	}),
}

var cmdConfigDomainEnable = command{
	words: "config domain enable",
	args:  "domain",
	help: `Take mail for a domain and from it again, after "config domain disable".

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		return e.doPrint(c, fmt.Sprintf("domain %s is enabled", args[0]), "domaindisabled", args[0], "false")
	}),
}
