package quickstart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"mox/dns"
	"mox/internal/admin"
	"mox/internal/privsep"
	"mox/smtp"
)

// DefaultUser is the user that the server runs as unless another is asked for.
const DefaultUser = "mox"

// LetsEncrypt is the directory of the authority that certificates come from unless
// another is asked for.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Options are for [Run]. Those without a comment that says otherwise are needed.
type Options struct {
	Address    string // Of the first account, whose name is the localpart.
	User       string // That the server runs as, a name or number. Empty is [DefaultUser].
	ConfigPath string // Of mox.conf, to be written. Data goes to directory data beside its directory.
	Program    string // How to call this program in what is printed. Empty is "mox".

	Hostname          string         // Of the machine. Empty: it is found out.
	ExistingWebserver bool           // Ports 80 and 443 are those of another program.
	Proxies           []netip.Prefix // That connections come through, with the PROXY protocol. May be empty.
	SkipDial          bool           // Connect to no other server.
	DryRun            bool           // Write nothing.
	ACMEDirectory     string         // Empty is [LetsEncrypt].
	CAFile            string         // Authorities to trust besides those of the system. Empty for none.
	DNSServers        []string       // For mox.conf, as ip:port. Empty for those of the system.

	Resolver dns.Resolver
	Machine  Machine
	Out      io.Writer // What is printed.
	Log      *slog.Logger
	Now      func() time.Time
	Docker   bool // In a container, where services are not installed.
}

// quickstart is a run.
type quickstart struct {
	opts     Options
	out      report
	addr     smtp.Address
	uid, gid int // Whom files are given to, if we are root.
	loopback []netip.Addr
	net      network
	undo     undo
}

// Run looks at the machine, and writes a configuration. The error is for the operator.
func Run(ctx context.Context, opts Options) error {
	q := &quickstart{opts: opts, out: report{w: opts.Out}}
	if err := q.run(ctx); err != nil {
		return errors.Join(err, q.undo.all())
	}
	return q.out.err
}

func (q *quickstart) run(ctx context.Context) error {
	if err := q.arguments(); err != nil {
		return err
	}
	if err := q.checks(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.opts.DryRun {
		return q.pretend()
	}
	return q.make(ctx)
}

// add tells the result of a check.
func (q *quickstart) add(check string, sev admin.Severity, format string, args ...any) {
	q.out.findings([]admin.Finding{{Check: check, Severity: sev, Text: fmt.Sprintf(format, args...)}})
}

// arguments checks all that can be checked without looking anything up.
func (q *quickstart) arguments() error {
	o := &q.opts
	if o.User == "" {
		o.User = DefaultUser
	}
	if o.Program == "" {
		o.Program = "mox"
	}
	if o.ACMEDirectory == "" {
		o.ACMEDirectory = LetsEncrypt
	}
	var err error
	if q.addr, err = smtp.ParseAddress(o.Address, smtp.Strict); err != nil {
		return fmt.Errorf("address %q: %w", o.Address, err)
	}
	if err := q.checkFree(); err != nil {
		return err
	}
	q.uid, q.gid, err = o.Machine.UserID(o.User)
	switch {
	case !o.Machine.Root():
		return nil
	case err == nil:
		return privsep.CheckPlace(q.workDir(), privsep.Account{Name: o.User, UID: q.uid, GID: q.gid})
	case o.DryRun:
		return nil
	}
	return err
}

// checks looks at the machine, DNS and the network, in an order in which each has what it
// needs.
func (q *quickstart) checks(ctx context.Context) error {
	q.out.printf("mox for %s\n", q.addr.Domain)
	q.out.heading("Checks")
	if q.addr.Localpart.IsInternational() {
		q.add("ADDRESS", admin.Warning, "the localpart of %s is not ASCII, which many mail servers do not take: add an alias that is", q.addr)
	}
	dctx, cancel := context.WithTimeout(ctx, dnsTime)
	defer cancel()
	if err := q.dnssec(dctx); err != nil {
		return err
	}
	if err := q.findLocal(); err != nil {
		return err
	}
	if err := q.findHostname(dctx); err != nil {
		return err
	}
	if err := q.findHost(dctx); err != nil {
		return err
	}
	q.chooseAddresses()
	for _, check := range []func(context.Context){q.reverse, q.existingMail, q.ports, q.outgoing, q.hairpin, q.blocked} {
		func() {
			ctx, cancel := context.WithTimeout(ctx, checkTime)
			defer cancel()
			check(ctx)
		}()
	}
	return nil
}
