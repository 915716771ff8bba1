package cli

import (
	"context"
	"flag"
	"fmt"

	"mox/iprev"
)

var cmdIPRevCheck = command{
	words: "iprev check",
	args:  "ip",
	help: `Check whether an address has a name in DNS that has the address.

Mail servers are distrusted if it does not. The exit code is zero whatever the result of
the check is.
`,
	setup: func(*flag.FlagSet) runFunc { return runIPRevCheck },
}

func runIPRevCheck(ctx context.Context, e *env, args []string) error {
	if len(args) != 1 {
		return usageError("")
	}
	ip, err := parseIP(args[0])
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	res := iprev.Check(ctx, nil, r, ip)
	fmt.Fprintln(e.out, res.Status)
	for _, name := range res.Names {
		what := ""
		if name == res.Name {
			what = " (has the address)"
		}
		fmt.Fprintf(e.out, "name: %s%s\n", name, what)
	}
	if res.Err != nil {
		fmt.Fprintf(e.out, "problem: %s\n", printableText(res.Err.Error()))
	}
	_, err = fmt.Fprintln(e.out, dnssec(res.Authentic))
	return err
}
