package cli

import (
	"context"
	"flag"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"mox/internal/quickstart"
)

var cmdQuickstart = command{
	words: "quickstart",
	args:  "address [user]",
	help: `Make the configuration of a new server, with an account for an address.

It is run once, on the machine that is to be the mail server, by root and in a directory
for the server, such as its home directory, which becomes root's. Others must not be
able to replace it, and the server must get there. It looks at the name and addresses of
the machine, at DNS, at the ports, at whether other mail servers can be reached, and at
lists of senders of spam, and says what it finds: what is wrong is for you to put right,
before or after. Then it writes mox.conf and domains.conf with documentation and keys to
directory config, and an account to directory data; nothing is overwritten, and if
something fails nothing of it stays. It prints the password of the account, the records
to publish in DNS as for a zone file, and what to do next. All but the password is kept
in quickstart.log.

The server runs as a user of its own, mox if no other name or number is given. It gets its
certificates from Let's Encrypt, for which connections to ports 443 and 80 must reach it.

Behind a router that translates addresses (NAT), the name of the machine should be in DNS
with the public address first. With the flag -proxy, connections come from proxies that
tell with the PROXY protocol who the client is.

	cd /home/mox
	mox quickstart you@example.org
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var f quickstartFlags
		fs.StringVar(&f.opts.Hostname, "hostname", "", "`name` of this machine for other mail servers, if it is not to be found out: one with a domain, such as mail.example.org")
		fs.BoolVar(&f.opts.ExistingWebserver, "existing-webserver", false, "leave ports 80 and 443 to a web server that is on this machine already, which gets the certificates too")
		fs.StringVar(&f.proxies, "proxy", "", "IP addresses and networks of proxies that connections come through, as a `list` separated by commas")
		fs.BoolVar(&f.opts.SkipDial, "skipdial", false, "do not check whether other mail servers can be reached, nor this one through NAT")
		fs.BoolVar(&f.opts.DryRun, "dryrun", false, "do the checks, print what can be said without new keys, and write nothing")
		fs.StringVar(&f.opts.ACMEDirectory, "acme-directory", quickstart.LetsEncrypt, "`URL` of the directory of another authority that certificates come from (ACME)")
		fs.StringVar(&f.opts.CAFile, "ca", "", "`file` with certificates of authorities to trust besides those of the system, in PEM format, such as for -acme-directory; it is copied")
		return f.run
	},
}

type quickstartFlags struct {
	opts    quickstart.Options
	proxies string
}

func (f *quickstartFlags) run(ctx context.Context, e *env, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return usageError("")
	}
	opts := f.opts
	opts.Address = args[0]
	if len(args) == 2 {
		opts.User = args[1]
	}
	if f.proxies != "" {
		for s := range strings.SplitSeq(f.proxies, ",") {
			p, err := netip.ParsePrefix(s)
			if a, aerr := netip.ParseAddr(s); aerr == nil {
				p, err = a.Prefix(a.BitLen())
			}
			if err != nil {
				return usageError("flag -proxy: " + err.Error())
			}
			opts.Proxies = append(opts.Proxies, p.Masked())
		}
	}
	// What is there of the configuration is none to take resolvers from.
	resolver, err := e.resolverAt(e.servers)
	if err != nil {
		return err
	}
	opts.ConfigPath, opts.DNSServers, opts.Resolver = e.configPath, e.servers, resolver
	opts.Machine, opts.Out, opts.Log, opts.Now = quickstart.System{}, e.out, e.log, time.Now
	opts.Program = os.Args[0]
	opts.Docker = os.Getenv("MOX_DOCKER") != ""
	// So that what was made is removed.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return quickstart.Run(ctx, opts)
}
