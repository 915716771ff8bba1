package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/dnsbl"
)

var cmdDNSBLCheckHealth = command{
	words: "dnsbl checkhealth",
	args:  "zone ...",
	help: `Check whether DNS blocklists work, by their test entries.

A list must have an entry for 127.0.0.2, and none for 127.0.0.1, and those that list IPv6
addresses the same for ::ffff:127.0.0.2 and ::ffff:127.0.0.1 (RFC 5782 §5). Many lists have
no IPv6 addresses, or not these entries for them. The exit code is 1 if a list does not
work for IPv4.
`,
	setup: func(*flag.FlagSet) runFunc { return runDNSBLCheckHealth },
}

func runDNSBLCheckHealth(ctx context.Context, e *env, args []string) error {
	if len(args) == 0 {
		return usageError("")
	}
	zones, err := parseZones(args)
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	unhealthy := false
	for _, zone := range zones {
		h := dnsbl.CheckHealth(ctx, nil, r, zone)
		fmt.Fprintf(e.out, "%s: IPv4 %s\n", zone, healthText(h.IPv4))
		fmt.Fprintf(e.out, "%s: IPv6 %s\n", zone, healthText(h.IPv6))
		unhealthy = unhealthy || h.IPv4 != nil
	}
	if unhealthy {
		return errors.New("a list does not work")
	}
	return nil
}

func healthText(err error) string {
	switch {
	case err == nil:
		return "works"
	case errors.Is(err, dnsbl.ErrUnhealthy):
		return "does not work: " + printableText(err.Error())
	}
	return "is unknown: " + printableText(err.Error())
}
