package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"mox/dane"
	"mox/dns"
	"mox/smtpclient"
)

var cmdDANEDialMX = command{
	words: "dane dialmx",
	args:  "domain [host]",
	help: `Connect to the MX hosts of a domain as for delivery of mail, and verify them with DANE.

All hosts are tried, or just the one that is given. For each, it is printed which TLSA
records it has, whether they can be used, and whether a connection with STARTTLS is
verified by them. It is an error if there is a host for which it is not.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		ehlo := fs.String("ehlohostname", "", "`name` to use for ourselves, instead of that of this machine")
		port := fs.Int("port", 25, "connect to this `port`")
		return func(ctx context.Context, e *env, args []string) error {
			return runDANEDialMX(ctx, e, args, *ehlo, *port)
		}
	},
}

func runDANEDialMX(ctx context.Context, e *env, args []string, ehlo string, port int) error {
	if len(args) != 1 && len(args) != 2 || port <= 0 || port > 65535 {
		return usageError("")
	}
	var names []dns.Domain
	for _, s := range args {
		d, err := dns.ParseDomainLax(s)
		if err != nil {
			return usageError(err.Error())
		}
		names = append(names, d)
	}
	hostname, err := ourName(ehlo)
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	dest, err := dane.LookupDestination(ctx, e.log, r, names[0])
	if err != nil {
		return err
	}
	if dest.Expanded != dest.Domain {
		fmt.Fprintf(e.out, "%s is an alias of %s\n", dest.Domain, dest.Expanded)
	}
	if !dest.MX {
		fmt.Fprintf(e.out, "no mx records: mail is for host %s\n", dest.Expanded)
	}
	fmt.Fprintf(e.out, "%s\n", dnssec(dest.Authentic))
	hosts := dest.Hosts
	if len(names) == 2 {
		if !slices.Contains(hosts, names[1]) {
			fmt.Fprintf(e.out, "note: %s is not one of the mx hosts\n", names[1])
		}
		hosts = names[1:]
	}
	failed := 0
	for _, h := range hosts {
		fmt.Fprintf(e.out, "\n%s\n", h)
		if err := dialMX(ctx, e, r, dest, h, port, hostname); err != nil {
			failed++
			fmt.Fprintf(e.out, "\tNOT verified: %s\n", err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d hosts are not verified with DANE", failed, len(hosts))
	}
	return nil
}

// errNoDANE means that DANE does not apply to a host.
var errNoDANE = errors.New("no tlsa records that are verified with dnssec: tls is opportunistic")

// dialMX connects to a host. The error is nil if it is verified.
func dialMX(ctx context.Context, e *env, r dns.Resolver, dest dane.Destination, name dns.Domain, port int, hostname dns.Domain) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	h, err := dane.LookupHost(ctx, e.log, r, dest, name, port)
	if err != nil {
		return err
	}
	if h.Expanded != h.Name {
		fmt.Fprintf(e.out, "\talias of %s\n", h.Expanded)
	}
	for _, rec := range h.Records {
		fmt.Fprintf(e.out, "\t_%d._tcp.%s TLSA %s\n", port, h.Base, rec)
	}
	for _, p := range h.Problems {
		fmt.Fprintf(e.out, "\tnot usable: %s\n", p)
	}
	if h.Status == dane.StatusNone && !dest.Authentic {
		return fmt.Errorf("%w (the mx records of the domain are not verified)", errNoDANE)
	} else if h.Status == dane.StatusNone {
		return errNoDANE
	}
	var verified dane.Record
	opts := smtpclient.Options{
		Hostname: dns.IPDomain{Domain: hostname},
		TLS: smtpclient.TLSOptions{
			Mode:       smtpclient.TLSRequired,
			ServerName: h.Base,
			Verify: func(cs tls.ConnectionState) (err error) {
				verified, err = h.Verify(cs)
				return err
			},
		},
		Log: e.log,
	}
	c, err := smtpclient.Dial(ctx, func(ctx context.Context) (net.Conn, error) { return dialIPs(ctx, h.IPs, port) }, opts)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\t%s\n\tverified by tlsa record %s\n", describeTLS(*c.TLS().State), verified)
	return c.Close()
}

// dialIPs connects to the first address that can be connected to.
func dialIPs(ctx context.Context, ips []net.IP, port int) (net.Conn, error) {
	var errs []error
	for _, ip := range ips {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(ip.String(), strconv.Itoa(port)))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// ourName returns the name for EHLO.
func ourName(flag string) (dns.Domain, error) {
	if flag != "" {
		d, err := dns.ParseDomain(flag)
		if err != nil {
			return dns.Domain{}, usageError("flag -ehlohostname: " + err.Error())
		}
		return d, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return dns.Domain{}, fmt.Errorf("name of this machine: %w (flag -ehlohostname gives another)", err)
	}
	d, err := dns.ParseDomainLax(name)
	if err != nil {
		return dns.Domain{}, fmt.Errorf("name of this machine: %w (flag -ehlohostname gives another)", err)
	}
	return d, nil
}
