package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"

	"mox/dns"
)

var cmdDNSLookup = command{
	words: "dns lookup",
	args:  "type name",
	help: `Look up records in DNS, and say whether the answer was verified with DNSSEC.

Types are a, aaaa, ip (both of these), addr or ptr (names of an address), cname, mx, ns,
srv, tlsa and txt. A name with characters beyond ASCII is looked up in its form for DNS.
For srv and tlsa the name has all labels:

	mox dns lookup mx example.org
	mox dns lookup addr 192.0.2.1
	mox dns lookup tlsa _25._tcp.mail.example.org

DNSSEC is verified by the resolver, not by this command, and what it says is taken only
if it is on this machine, is trusted in /etc/resolv.conf (option trust-ad), is in the
configuration, or was named with flag -dns.
`,
	setup: func(*flag.FlagSet) runFunc { return runDNSLookup },
}

// lookupFunc looks up records of one type and returns one text for each.
type lookupFunc func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error)

// dnsLookups are the types that can be looked up.
var dnsLookups = map[string]lookupFunc{
	"a": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		return lookupIP(ctx, r, "ip4", name)
	},
	"aaaa": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		return lookupIP(ctx, r, "ip6", name)
	},
	"ip": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		return lookupIP(ctx, r, "ip", name)
	},
	"addr": lookupAddr,
	"ptr":  lookupAddr,
	"cname": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		target, res, err := r.LookupCNAME(ctx, name)
		if err == nil && strings.EqualFold(target, strings.TrimSuffix(name, ".")) {
			return []string{target + " (no alias)"}, res, nil
		}
		return texts([]string{target}, res, err, name2text)
	},
	"mx": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		l, res, err := r.LookupMX(ctx, name)
		return texts(l, res, err, func(mx *net.MX) string { return fmt.Sprintf("%d %s", mx.Pref, name2text(mx.Host)) })
	},
	"ns": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		l, res, err := r.LookupNS(ctx, name)
		return texts(l, res, err, func(ns *net.NS) string { return name2text(ns.Host) })
	},
	"srv": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		l, res, err := r.LookupSRV(ctx, "", "", name)
		return texts(l, res, err, func(s *net.SRV) string {
			return fmt.Sprintf("%d %d %d %s", s.Priority, s.Weight, s.Port, name2text(s.Target))
		})
	},
	"tlsa": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		l, res, err := r.LookupTLSA(ctx, 0, "", name)
		return texts(l, res, err, func(t dns.TLSA) string { return t.Record() })
	},
	"txt": func(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
		l, res, err := r.LookupTXT(ctx, name)
		return texts(l, res, err, quoteTXT)
	},
}

func texts[T any](l []T, res dns.Result, err error, text func(T) string) ([]string, dns.Result, error) {
	var out []string
	for _, v := range l {
		out = append(out, text(v))
	}
	return out, res, err
}

func lookupIP(ctx context.Context, r dns.Resolver, network, name string) ([]string, dns.Result, error) {
	l, res, err := r.LookupIP(ctx, network, name)
	return texts(l, res, err, net.IP.String)
}

func lookupAddr(ctx context.Context, r dns.Resolver, name string) ([]string, dns.Result, error) {
	ip, err := parseIP(name)
	if err != nil {
		return nil, dns.Result{}, err
	}
	l, res, err := r.LookupAddr(ctx, ip)
	return texts(l, res, err, name2text)
}

func runDNSLookup(ctx context.Context, e *env, args []string) error {
	if len(args) != 2 {
		return usageError("")
	}
	typ, name := strings.ToLower(args[0]), args[1]
	lookup, ok := dnsLookups[typ]
	if !ok {
		return usageError(fmt.Sprintf("unknown type %q, use a, aaaa, addr, cname, ip, mx, ns, ptr, srv, tlsa or txt", args[0]))
	}
	if typ != "addr" && typ != "ptr" {
		d, err := dns.ParseDomainLax(strings.TrimSuffix(name, "."))
		if errors.Is(err, dns.ErrIPAddress) {
			return usageError(fmt.Sprintf("%q is an address, of which type addr finds the names", name))
		} else if err != nil {
			return usageError(err.Error())
		}
		name = d.ASCII
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	l, res, err := lookup(ctx, r, name)
	if errors.Is(err, dns.ErrNotFound) {
		return fmt.Errorf("%w (%s)", err, dnssec(res.Authentic))
	} else if err != nil {
		return err
	}
	for _, s := range l {
		fmt.Fprintln(e.out, s)
	}
	_, err = fmt.Fprintln(e.out, dnssec(res.Authentic))
	return err
}

// dnssec returns the words for an answer that is authentic or not.
func dnssec(authentic bool) string {
	if authentic {
		return "DNSSEC: verified"
	}
	return "DNSSEC: not verified"
}

// parseIP parses an address on a command line.
func parseIP(s string) (net.IP, error) {
	ip := net.ParseIP(s)
	if ip == nil {
		return nil, usageError(fmt.Sprintf("%q is not an IP address", s))
	}
	return ip, nil
}

// name2text returns a name from an answer with its Unicode form if it has one. Names
// in DNS can have any bytes.
func name2text(name string) string {
	if d, err := dns.ParseDomainLax(name); err == nil && d.Unicode != "" {
		return d.String()
	}
	return printableText(name)
}

// quoteTXT returns a text in the form of zone files, RFC 1035 §5.1.
func quoteTXT(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// printableText returns what comes from the network so that it cannot control a
// terminal.
func printableText(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
