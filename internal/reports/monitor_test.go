package reports

import (
	"errors"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/metrics"
	"mox/internal/testkit"
)

// shown reports whether a metric has a value.
func shown(t testing.TB, name string) bool {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return strings.Contains(w.Body.String(), "\n"+name+" ")
}

func TestOwnAddressesAreLookedUpOnBlocklists(t *testing.T) {
	// Not parallel: metrics are of the process.
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, func(s *config.Static, d *config.Dynamic) {
			l := s.Listeners["public"]
			l.SMTP.DNSBLs = []string{"good.example", "bad.example"}
			s.Listeners["public"] = l
			d.MonitorDNSBLs = []string{"broken.example", "all.example", "good.example"}
		})
		// The address is 203.0.113.1; 127.0.0.1 and 127.0.0.2 are test entries, RFC 5782 §5.
		e.zone.a["1.113.0.203.bad.example"] = "127.0.0.2"
		e.zone.a["2.0.0.127.bad.example"] = "127.0.0.2"
		e.zone.fault("1.113.0.203.broken.example", dns.ErrTemporary)
		for _, name := range []string{"1.113.0.203", "1.0.0.127", "2.0.0.127"} {
			e.zone.a[name+".all.example"] = "127.0.0.2"
		}
		m := NewMonitor(MonitorOptions{Config: e.conf, Resolver: e.zone})
		stop := runIt(t, m.Run)
		time.Sleep(5*time.Minute + 3*time.Second) // A second between lookups.
		synctest.Wait()
		check := func(want map[string]float64) {
			t.Helper()
			for zone, v := range want {
				name := `mox_dnsbl_ips_success{ip="203.0.113.1",zone="` + zone + `"}`
				if !shown(t, name) || testkit.Metric(t, name) != v {
					t.Errorf("%s: %v", zone, testkit.Metric(t, name))
				}
			}
		}
		check(map[string]float64{"good.example": 1, "bad.example": 0, "broken.example": -1, "all.example": -1})
		for _, name := range e.zone.lookups() {
			if strings.HasPrefix(name, "1.0.0.10.") {
				t.Errorf("private address was looked up: %s", name)
			}
		}

		asked := len(e.zone.lookups())
		e.zone.remove("1.113.0.203.bad.example")
		time.Sleep(2*time.Hour + 50*time.Minute)
		synctest.Wait()
		if len(e.zone.lookups()) != asked {
			t.Error("looked up before the time")
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		check(map[string]float64{"bad.example": 1})
		asked = len(e.zone.lookups())
		for range monitorConnections {
			m.Connected()
		}
		time.Sleep(monitorStep + 5*time.Second)
		synctest.Wait()
		if len(e.zone.lookups()) == asked {
			t.Error("not looked up after many connections")
		}
		asked = len(e.zone.lookups())
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(e.zone.lookups()) != asked {
			t.Error("looked up again for the same connections")
		}

		// Zones that are not configured any more have no metric.
		st, dyn := e.conf.Snapshot().Static, e.conf.Snapshot().Dynamic
		dyn.MonitorDNSBLs = nil
		snap, err := config.New(st, dyn)
		e.check(err)
		stop()
		m.opts.Config = config.NewHolder(snap)
		stop = runIt(t, m.Run)
		defer stop()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if shown(t, `mox_dnsbl_ips_success{ip="203.0.113.1",zone="all.example"}`) || !shown(t, `mox_dnsbl_ips_success{ip="203.0.113.1",zone="good.example"}`) {
			t.Error("metric of a zone that is gone, or not of one that is there")
		}
	})
}

func TestAddressesOfInterfacesAreForListenersOnAll(t *testing.T) {
	t.Parallel()
	own := []netip.Addr{
		netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("::ffff:198.51.100.2"), netip.MustParseAddr("2001:db8::1"),
		netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"),
		netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("100.64.0.1"),
	}
	for _, tc := range []struct {
		ips  []string
		smtp bool
		err  error
		want []string
	}{
		{[]string{"0.0.0.0"}, true, nil, []string{"198.51.100.1", "198.51.100.2"}},
		{[]string{"::"}, true, nil, []string{"2001:db8::1"}},
		{[]string{"0.0.0.0", "::"}, true, nil, []string{"198.51.100.1", "198.51.100.2", "2001:db8::1"}},
		{[]string{"203.0.113.9", "2001:db8::9"}, true, nil, []string{"203.0.113.9", "2001:db8::9"}},
		{[]string{"0.0.0.0"}, true, errors.New("no interfaces"), nil},
		{[]string{"203.0.113.9"}, false, nil, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := newEnv(t, func(s *config.Static, d *config.Dynamic) {
				l := config.ListenerFields{IPs: tc.ips}
				l.SMTP.Enabled, l.SMTP.NoSTARTTLS = tc.smtp, true
				s.Listeners["public"] = l
				d.MonitorDNSBLs = []string{"bl.example"}
			})
			m := NewMonitor(MonitorOptions{Config: e.conf, Resolver: e.zone, Addrs: func() ([]netip.Addr, error) {
				if tc.err != nil {
					return nil, tc.err
				}
				return own, nil
			}})
			var got []string
			for _, what := range m.all(t.Context()) {
				got = append(got, what.ip.String())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%q: %q", tc.ips, got)
			}
		})
	}
	if _, err := interfaceAddrs(); err != nil {
		t.Error(err)
	}
}
