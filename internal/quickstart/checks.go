package quickstart

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mox/dns"
	"mox/dnsbl"
	"mox/internal/admin"
	"mox/iprev"
)

const (
	// dialTime is how long connecting may take.
	dialTime = 10 * time.Second
	// checkTime is how long one check may take.
	checkTime = 40 * time.Second
	// farDomain has mail servers that are always there, with both IPv4 and IPv6.
	farDomain = "gmail.com"
)

// blocklists are lists of IP addresses that many mail servers refuse mail from.
var blocklists = [...]string{"sbl.spamhaus.org", "bl.spamcop.net"}

// reverse checks that each public address leads to the hostname.
func (q *quickstart) reverse(ctx context.Context) {
	host := q.net.hostname
	for _, ip := range q.net.public() {
		r := iprev.Check(ctx, q.opts.Log, q.opts.Resolver, ip.AsSlice())
		switch ask := fmt.Sprintf("ask who gave you the address to set it to %s, or set it in their control panel", host); {
		case errors.Is(r.Err, iprev.ErrNoName):
			q.add("IPREV", admin.Warning, "%s has no reverse name, so that many servers will refuse mail from it: %s", ip, ask)
		case !slices.Contains(r.Names, host) && len(r.Names) > 0:
			q.add("IPREV", admin.Warning, "%s has the reverse name %s, and not %s: %s", ip, r.Name, host, ask)
		case r.Status != iprev.StatusPass:
			q.add("IPREV", admin.Warning, "the reverse name of %s does not lead back to it (%s): %s", ip, r.Status, ask)
		default:
			q.add("IPREV", admin.OK, "%s has the reverse name %s", ip, host)
		}
	}
}

// existingMail looks whether somebody else has mail for the domain.
func (q *quickstart) existingMail(ctx context.Context) {
	d := q.addr.Domain
	mxs, _, err := q.opts.Resolver.LookupMX(ctx, d.ASCII+".")
	var hosts []string
	for _, mx := range mxs {
		if mx.Host != "." && !strings.EqualFold(mx.Host, q.net.hostname.ASCII) {
			hosts = append(hosts, mx.Host)
		}
	}
	switch {
	case err != nil && !errors.Is(err, dns.ErrNotFound):
		q.add("MAIL", admin.Warning, "looking up where mail for %s goes: %s", d, err)
	case len(hosts) > 0:
		q.add("MAIL", admin.Warning, "mail for %s goes to %s now (MX). Changing its records moves it here: make accounts for all its users first, and copy their mail", d, strings.Join(hosts, ", "))
	}
	txts, _, err := q.opts.Resolver.LookupTXT(ctx, d.ASCII+".")
	spf := slices.IndexFunc(txts, func(s string) bool { return strings.HasPrefix(strings.ToLower(s), "v=spf1") })
	switch {
	case err != nil && !errors.Is(err, dns.ErrNotFound):
		q.add("MAIL", admin.Warning, "looking up who sends mail for %s: %s", d, err)
	case spf >= 0:
		q.add("MAIL", admin.Warning, "%s has a record that says who sends its mail, %q (SPF). There can only be one: merge it with the one below, if others go on to send for the domain, or replace it", d, txts[spf])
	case len(hosts) == 0 && (len(mxs) == 0 || mxs[0].Host == "."):
		q.add("MAIL", admin.OK, "no other server has mail for %s", d)
	}
}

// ports checks that what the server listens on is free.
func (q *quickstart) ports(ctx context.Context) {
	var taken, denied []string
	for _, ip := range q.net.listen {
		for _, port := range q.usedPorts() {
			addr := netip.AddrPortFrom(ip, port)
			ln, err := q.opts.Machine.Listen(ctx, addr)
			switch {
			case err == nil:
				_ = ln.Close()
			case errors.Is(err, syscall.EACCES):
				denied = append(denied, addr.String())
			case errors.Is(err, syscall.EADDRINUSE):
				taken = append(taken, addr.String())
			default:
				q.add("PORTS", admin.Warning, "%s cannot be listened on: %s", addr, err)
			}
		}
	}
	switch {
	case len(taken) > 0:
		q.add("PORTS", admin.Warning, `in use by another program: %s. "ss -ltnp" shows which. Remove other mail servers, such as with "apt-get remove postfix exim4-base"; with a web server that is to stay, use the flag -existing-webserver`, strings.Join(taken, ", "))
	case len(denied) > 0:
		q.add("PORTS", admin.OK, "not checked, because only root may listen on %s", strings.Join(denied, ", "))
	default:
		q.add("PORTS", admin.OK, "the ports to listen on are free")
	}
}

// usedPorts are those that must be free.
func (q *quickstart) usedPorts() []uint16 {
	if q.opts.ExistingWebserver {
		return []uint16{25, 465, 993}
	}
	return []uint16{25, 465, 993, 443, 80}
}

// outgoing checks that connections to other mail servers are possible, over each IP
// version that there is a public address for.
func (q *quickstart) outgoing(ctx context.Context) {
	if q.opts.SkipDial {
		q.add("OUTGOING", admin.OK, "not checked, as the flag -skipdial says")
		return
	}
	l, _, err := q.opts.Resolver.LookupMX(ctx, farDomain+".")
	if errors.Is(err, dns.ErrNotFound) {
		q.add("OUTGOING", admin.Warning, "whether port 25 of other servers can be reached is not known: the DNS resolver does not know %s", farDomain)
		return
	} else if err != nil || len(l) == 0 || l[0].Host == "." {
		q.add("OUTGOING", admin.Warning, "whether port 25 of other servers can be reached is not known: looking up %s: %v", farDomain, err)
		return
	}
	ips, _, err := q.opts.Resolver.LookupIP(ctx, "ip", l[0].Host+".")
	if err != nil {
		q.add("OUTGOING", admin.Warning, "whether port 25 of other servers can be reached is not known: %s", err)
		return
	}
	var want4, want6 bool
	for _, a := range slices.Concat(q.net.public(), q.net.local) {
		want4 = want4 || a.Is4()
		want6 = want6 || a.Is6() && isPublic(a)
	}
	for _, ip := range ips {
		a, _ := netip.AddrFromSlice(ip)
		a = a.Unmap()
		version := "IPv6"
		if a.Is4() {
			version = "IPv4"
		}
		if a.Is4() && !want4 || a.Is6() && !want6 {
			continue
		}
		want4, want6 = want4 && !a.Is4(), want6 && !a.Is6() // One address of each is enough.
		if err := q.dial(ctx, a); err != nil {
			q.add("OUTGOING", admin.Warning, "connecting to port 25 of another server over %s fails, so mail cannot be sent that way: %s. Many providers block it until you ask them not to. If they do not help, send through another server: see Transports and Routes in the documentation of the configuration", version, err)
		} else {
			q.add("OUTGOING", admin.OK, "port 25 of other servers can be reached over %s", version)
		}
	}
}

func (q *quickstart) dial(ctx context.Context, ip netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := q.opts.Machine.Dial(ctx, netip.AddrPortFrom(ip, 25))
	if err != nil {
		return err
	}
	return conn.Close()
}

// hairpin checks, behind NAT, that connections to the public addresses come back to this
// machine.
func (q *quickstart) hairpin(ctx context.Context) {
	if q.opts.SkipDial || len(q.opts.Proxies) > 0 {
		return
	}
	for _, ip := range q.net.nat {
		i := slices.IndexFunc(q.net.listen, func(a netip.Addr) bool { return a.BitLen() == ip.BitLen() })
		if i < 0 {
			continue
		}
		err := q.loop(ctx, netip.AddrPortFrom(q.net.listen[i], 25), netip.AddrPortFrom(ip, 25))
		switch {
		case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EADDRINUSE):
			q.add("NAT", admin.OK, "whether port 25 of %s is forwarded was not checked, because it cannot be listened on now", ip)
		case err != nil:
			q.add("NAT", admin.Warning, "a connection from this machine to port 25 of %s does not come back to it: %s. Either the router does not forward the port, or it does so for connections from outside only, which is enough for mail: connect from elsewhere when the server runs", ip, err)
		default:
			q.add("NAT", admin.OK, "port 25 of %s is forwarded to this machine", ip)
		}
	}
}

// loop listens on an address and connects to another one that should lead there.
func (q *quickstart) loop(ctx context.Context, listen, dial netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	ln, err := q.opts.Machine.Listen(ctx, listen)
	if err != nil {
		return err
	}
	// What only we know shows that it is us at the other end.
	token := []byte(rand.Text())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(dialTime))
			_, _ = conn.Write(token)
			_ = conn.Close()
		}
	})
	defer wg.Wait()
	defer ln.Close()
	conn, err := q.opts.Machine.Dial(ctx, dial)
	if err != nil {
		return err
	}
	defer conn.Close()
	return readToken(conn, token)
}

func readToken(conn net.Conn, token []byte) error {
	if err := conn.SetDeadline(time.Now().Add(dialTime)); err != nil {
		return err
	}
	got := make([]byte, len(token))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != string(token) {
		return errors.New("another machine answers")
	}
	return nil
}

// blocked looks up the public addresses on blocklists.
func (q *quickstart) blocked(ctx context.Context) {
	var zones []dns.Domain
	for _, name := range blocklists {
		zones = append(zones, dns.Domain{ASCII: name})
	}
	for _, ip := range q.net.public() {
		good := 0
		for _, r := range dnsbl.LookupAll(ctx, q.opts.Log, q.opts.Resolver, zones, ip.AsSlice()) {
			switch r.Status {
			case dnsbl.StatusListed:
				q.add("BLOCKLIST", admin.Warning, "%s is on the list of senders of spam %s, so that many servers will refuse mail from it (%s). Perhaps because of who had the address before: the operator of the list says how to be removed. https://multirbl.valli.org/lookup/%s.html looks at more lists", ip, r.Zone, r.Explanation, ip)
			case dnsbl.StatusTemperror:
				q.add("BLOCKLIST", admin.OK, "%s gives no answer about %s: %s", r.Zone, ip, r.Err)
			default:
				good++
			}
		}
		if good == len(zones) {
			q.add("BLOCKLIST", admin.OK, "%s is not on %s", ip, join(zones))
		}
	}
}
