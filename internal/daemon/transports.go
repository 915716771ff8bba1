package daemon

import (
	"crypto/tls"
	"fmt"
	"net/netip"

	"mox/config"
	"mox/dns"
	"mox/queue"
	"mox/queue/transport"
	"mox/smtpclient"
	"mox/smtpserver"
)

// local returns how mail from users of this server gets to others of them: as mail
// that comes in, without a network. A server for trying things out has it for all mail.
func (d *Daemon) local() queue.Transport {
	if d.opts.Localserve {
		return nil
	}
	return queue.NewLocal(queue.LocalOptions{Config: d.conf, Decide: d.decider, Deliver: d.deliver, TempDir: d.store.TempDir()})
}

// transports returns how mail leaves the queue, by name; the empty one is for direct
// delivery. Mail does not leave a server for trying things out. For what is not there,
// attempts fail temporarily.
func (d *Daemon) transports(s *config.Snapshot) (map[string]queue.Transport, error) {
	m := map[string]queue.Transport{}
	for name, t := range s.Transports {
		if t.Kind == config.TransportFail {
			m[name] = transport.NewFail(transport.FailOptions{Name: name, Code: t.Error.Code, Message: t.Error.Text})
		}
	}
	if d.opts.Localserve {
		m[""] = queue.NewLocal(queue.LocalOptions{
			Config:   d.conf,
			Decide:   d.decider,
			Deliver:  d.deliver,
			TempDir:  d.store.TempDir(),
			Account:  smtpserver.LocalserveAccount,
			Simulate: true,
		})
		return m, nil
	}
	d.out.pool = transport.NewPool(transport.PoolOptions{Total: s.QueueConcurrency, Log: d.logger("transport")})
	m[""] = d.direct(d.network(s, ""))
	for name, t := range s.Transports {
		net := d.network(s, name)
		switch t.Kind {
		case config.TransportSubmissions, config.TransportSubmission, config.TransportSMTP:
			m[name] = relay(net, t)
		case config.TransportSocks:
			dialer, err := transport.NewSocks(transport.SocksOptions{Address: t.Proxy, Username: t.Username, Password: t.Password})
			if err != nil {
				return nil, fmt.Errorf("transport %s: %w", name, err)
			}
			net.Dialer, net.LocalIPs = dialer, t.RemoteIPs
			if !t.Hostname.IsZero() {
				net.Hostname = dns.IPDomain{Domain: t.Hostname}
			}
			m[name] = d.direct(net)
		case config.TransportDirect:
			net.DisableIPv4, net.DisableIPv6 = t.NoIPv4, t.NoIPv6
			m[name] = d.direct(net)
		}
	}
	return m, nil
}

// network returns what transports have in common.
func (d *Daemon) network(s *config.Snapshot, name string) transport.Network {
	return transport.Network{
		TLS:      &tls.Config{RootCAs: d.out.roots},
		Name:     name,
		Hostname: dns.IPDomain{Domain: s.Hostname},
		Resolver: dns.NewCache(d.dns, 0), // The messages of a run are for few domains.
		Pool:     d.out.pool,
		LocalIPs: localIPs(s),

		Require8BitMIME: s.Pedantic,
		Log:             d.logger("transport"),
	}
}

func (d *Daemon) direct(n transport.Network) queue.Transport {
	return transport.NewDirect(transport.DirectOptions{
		Network:    n,
		Policies:   d.out.policies,
		TLSMemory:  d.out.tlsResults,
		TLSResults: tlsResults{d.out.tlsResults, d.reports.connected, d.logger("transport")},
	})
}

func relay(n transport.Network, t config.Transport) queue.Transport {
	o := transport.RelayOptions{
		Network:            n,
		Host:               t.Host,
		Port:               t.Port,
		Mode:               smtpclient.TLSRequired,
		InsecureSkipVerify: t.SkipVerify,
		Username:           t.Username,
		Password:           t.Password,
		Mechanisms:         t.Mechanisms,
	}
	if t.Kind == config.TransportSubmissions {
		o.Mode = smtpclient.TLSImmediate
	}
	if t.NoTLS {
		o.Mode = smtpclient.TLSSkip
	}
	return transport.NewRelay(o)
}

// localIPs returns the addresses that listeners for SMTP have been given: other
// servers know us by them. For a family with several, or with all addresses of the
// machine, the system chooses.
func localIPs(s *config.Snapshot) []netip.Addr {
	found := map[bool][]netip.Addr{}
	for _, l := range s.Listeners {
		for _, ip := range l.IPs {
			if l.SMTP.Enabled && !ip.IsLoopback() {
				found[ip.Is4()] = append(found[ip.Is4()], ip)
			}
		}
	}
	var ips []netip.Addr
	for _, l := range found {
		if len(l) == 1 && !l[0].IsUnspecified() {
			ips = append(ips, l[0])
		}
	}
	return ips
}
