package reports

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"mox/config"
	"mox/dns"
	"mox/dnsbl"
	"mox/internal/metrics"
	"mox/mlog"
)

// MonitorOptions are for [NewMonitor]. Config and Resolver are needed.
type MonitorOptions struct {
	Config   *config.Holder
	Resolver dns.Resolver
	Log      *slog.Logger

	// Addrs returns the addresses of this machine, for listeners on all of them. Nil is
	// those of its network interfaces.
	Addrs func() ([]netip.Addr, error)
}

// Monitor looks up the public addresses of this server on DNS blocklists: those of
// listeners with SMTP, and of the configuration. It keeps the results in a metric, and logs
// when one changes.
type Monitor struct {
	opts        MonitorOptions
	log         *slog.Logger
	connections atomic.Int64
	last        map[monitored]dnsbl.Status // Of Run.
}

// monitored is a metric: an address in a zone.
type monitored struct {
	zone dns.Domain
	ip   netip.Addr
}

// NewMonitor returns a monitor, which does nothing until [Monitor.Run] is called.
func NewMonitor(opts MonitorOptions) *Monitor {
	metrics.PanicPackages(pkgName)
	m := &Monitor{opts: opts, log: opts.Log, last: map[monitored]dnsbl.Status{}}
	if m.log == nil {
		m.log = mlog.Discard()
	}
	if m.opts.Addrs == nil {
		m.opts.Addrs = interfaceAddrs
	}
	return m
}

// Connected notes that there was a connection for outgoing mail: who sends more is
// listed sooner.
func (m *Monitor) Connected() {
	m.connections.Add(1)
}

// Run looks up until the context ends. The error is nil.
func (m *Monitor) Run(ctx context.Context) error {
	var looked time.Time
	for wait(ctx, monitorStep) {
		if time.Since(looked) < monitorAge && m.connections.Load() < monitorConnections {
			continue
		}
		m.connections.Store(0)
		looked = time.Now()
		m.round(ctx)
	}
	return nil
}

// round looks up all addresses in all zones.
func (m *Monitor) round(ctx context.Context) {
	current := map[monitored]bool{}
	for i, what := range m.all(ctx) {
		if i > 0 && !wait(ctx, monitorPause) {
			return
		}
		current[what] = true
		m.lookup(ctx, what)
		if ctx.Err() != nil {
			return
		}
	}
	for what := range m.last {
		if !current[what] {
			delete(m.last, what)
			metricDNSBL.DeleteLabelValues(what.zone.Name(), what.ip.String())
		}
	}
}

// lookup looks up an address in a zone. What lists an address without working as a list
// says nothing about us.
func (m *Monitor) lookup(ctx context.Context, what monitored) {
	ip := net.IP(what.ip.AsSlice())
	res := dnsbl.Lookup(ctx, m.log, m.opts.Resolver, what.zone, ip)
	if res.Status == dnsbl.StatusListed {
		if err := dnsbl.CheckHealth(ctx, m.log, m.opts.Resolver, what.zone).For(ip); errors.Is(err, dnsbl.ErrUnhealthy) {
			res.Status, res.Err = dnsbl.StatusTemperror, err
		}
	}
	if ctx.Err() != nil {
		return // The server stops.
	}
	value := map[dnsbl.Status]float64{dnsbl.StatusPass: 1, dnsbl.StatusListed: 0, dnsbl.StatusTemperror: -1}[res.Status]
	metricDNSBL.WithLabelValues(what.zone.Name(), what.ip.String()).Set(value)
	before := m.last[what]
	m.last[what] = res.Status
	level := slog.LevelDebug
	switch {
	case before == res.Status, before == "" && res.Status == dnsbl.StatusPass:
	case res.Status == dnsbl.StatusListed:
		level = slog.LevelError
	default:
		level = slog.LevelInfo
	}
	m.log.Log(ctx, level, "own address looked up on dns blocklist", slog.Any("ip", what.ip), slog.Any("zone", what.zone),
		slog.String("status", string(res.Status)), slog.String("explanation", res.Explanation), mlog.Err(res.Err))
}

// all returns what is to be looked up.
func (m *Monitor) all(ctx context.Context) []monitored {
	conf := m.opts.Config.Snapshot()
	zones := slices.Clone(conf.MonitorDNSBLs)
	var ips []netip.Addr
	unspecified := map[bool]bool{} // By whether it is IPv4.
	for _, l := range conf.Listeners {
		if !l.SMTP.Enabled {
			continue
		}
		zones = append(zones, l.SMTP.DNSBLs...)
		for _, ip := range l.IPs {
			if ip.IsUnspecified() {
				unspecified[ip.Is4()] = true
			}
			ips = append(ips, ip)
		}
	}
	if len(zones) > 0 && len(unspecified) > 0 {
		own, err := m.opts.Addrs()
		if err != nil {
			m.log.ErrorContext(ctx, "addresses of network interfaces", mlog.Err(err))
		}
		for _, ip := range own {
			if unspecified[ip.Unmap().Is4()] {
				ips = append(ips, ip)
			}
		}
	}
	var l []monitored
	for _, zone := range zones {
		for _, ip := range ips {
			what := monitored{zone, ip.Unmap().WithZone("")}
			if public(what.ip) && !slices.Contains(l, what) && len(l) < maxMonitored {
				l = append(l, what)
			}
		}
	}
	return l
}

// public reports whether others can see an address.
func public(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedSpace.Contains(ip)
}

// sharedSpace is for networks behind the NAT of a provider, RFC 6598.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

func interfaceAddrs() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var l []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				l = append(l, ip)
			}
		}
	}
	return l, nil
}
