package quickstart

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mox/config"
)

// checksOf returns the results of checks in an output, each in one line.
func checksOf(out string) []string {
	_, out, _ = strings.Cut(out, "Checks\n------\n\n")
	out, _, _ = strings.Cut(out, "\nFiles\n")
	var l []string
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, " ") && len(l) > 0 {
			l[len(l)-1] += " " + strings.TrimSpace(line)
		} else if line != "" {
			l = append(l, strings.Join(strings.Fields(line), " "))
		}
	}
	return l
}

func TestAddressesAndNamesAreFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		addresses []string
		hostname  string
		zone      string // Besides what each has.
		listen    []string
		nat       []string
		want      string // One of the results.
	}{
		"one address is not ours": {
			addresses: []string{"198.51.100.1"}, zone: "mx.example.org A 198.51.100.1\nmx.example.org A 198.51.100.9\n",
			listen: []string{"198.51.100.1"}, want: "error ADDRESSES mx.example.org is at 198.51.100.9 too",
		},
		"no address is ours": {
			addresses: []string{"198.51.100.1"}, zone: "mx.example.org A 198.51.100.9\n",
			listen: []string{"198.51.100.1"}, want: "error ADDRESSES mx.example.org is at 198.51.100.9, which is not an address of this machine",
		},
		"other addresses of the machine are left alone": {
			addresses: []string{"198.51.100.1", "198.51.100.2"}, zone: "mx.example.org A 198.51.100.2\n",
			listen: []string{"198.51.100.2"}, want: "ok HOST mx.example.org is at 198.51.100.2",
		},
		"private in dns too": {
			addresses: []string{"10.0.0.5"}, zone: "mx.example.org A 10.0.0.5\n",
			listen: []string{"10.0.0.5"}, want: "ok HOST mx.example.org is at 10.0.0.5",
		},
		"private, and not in dns": {
			addresses: []string{"10.0.0.5"}, listen: []string{"10.0.0.5"}, want: "warning ADDRESSES this machine has private addresses only",
		},
		"nat of ipv4 only": {
			addresses: []string{"10.0.0.5", "2001:db8::1"}, zone: "mx.example.org A 198.51.100.1\nmx.example.org AAAA 2001:db8::1\n",
			listen: []string{"10.0.0.5", "2001:db8::1"}, nat: []string{"198.51.100.1"}, want: "warning ADDRESSES 198.51.100.1 is not an address of this machine",
		},
		"nothing known": {
			listen: []string{"0.0.0.0", "::"}, want: "warning ADDRESSES no addresses of this machine were found",
		},
		"loopback in dns": {
			addresses: []string{"198.51.100.1"}, zone: "mx.example.org A 127.0.1.1\n",
			listen: []string{"198.51.100.1"}, want: "warning HOST mx.example.org leads to a loopback address",
		},
		"name by reverse lookup": {
			hostname: "vm1", addresses: []string{"198.51.100.1"}, zone: "1.100.51.198.in-addr.arpa PTR vm.provider.example\n",
			listen: []string{"198.51.100.1"}, want: "ok HOST this machine is called vm.provider.example, by the reverse name",
		},
		"several reverse names": {
			hostname: "vm1.localdomain", addresses: []string{"198.51.100.1"}, zone: "1.100.51.198.in-addr.arpa PTR b.example\n1.100.51.198.in-addr.arpa PTR a.example\n",
			listen: []string{"198.51.100.1"}, want: "warning HOST the addresses of this machine have several reverse names, of which a.example is taken",
		},
		"another reverse name": {
			addresses: []string{"198.51.100.1"}, zone: "mx.example.org A 198.51.100.1\n1.100.51.198.in-addr.arpa PTR vm.provider.example\nvm.provider.example A 198.51.100.1\n",
			listen: []string{"198.51.100.1"}, want: "warning IPREV 198.51.100.1 has the reverse name vm.provider.example, and not mx.example.org",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := goodMachine()
			m.addresses = tc.addresses
			if tc.hostname != "" {
				m.hostname = tc.hostname
			}
			w := newWorld(t, m, "com NS ns.example\n"+tc.zone)
			w.opts.SkipDial = true
			l := checksOf(w.run(t))
			if !slices.ContainsFunc(l, func(s string) bool { return strings.HasPrefix(s, tc.want) }) {
				t.Errorf("got %q", l)
			}
			s, err := config.Load(w.opts.ConfigPath)
			if err != nil {
				t.Fatal(err)
			}
			public := s.Static.Listeners["public"]
			if !slices.Equal(public.IPs, tc.listen) || !slices.Equal(public.NATIPs, tc.nat) {
				t.Errorf("listens at %q, with %q in front", public.IPs, public.NATIPs)
			}
		})
	}
}

func TestForwardedPortIsSeen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		forward bool
		denied  bool
		want    string
	}{
		"it is":              {true, false, "ok NAT port 25 of 198.51.100.1 is forwarded to this machine"},
		"another machine":    {false, false, "warning NAT a connection from this machine to port 25 of 198.51.100.1 does not come back to it: another machine answers"},
		"may not be seen":    {false, true, "ok NAT whether port 25 of 198.51.100.1 is forwarded was not checked"},
		"ports need no root": {false, true, "ok PORTS not checked, because only root may listen on 10.0.0.5:25, 10.0.0.5:465"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := goodMachine()
			m.addresses, m.denied = []string{"10.0.0.5"}, tc.denied
			m.dial = func(addr netip.AddrPort) (net.Conn, error) {
				if tc.forward && addr.String() == "198.51.100.1:25" {
					return m.listening[netip.MustParseAddrPort("10.0.0.5:25")].connect(), nil
				}
				a, b := net.Pipe()
				go func() {
					_, _ = b.Write([]byte("220 other.example\r\n"))
					_ = b.Close()
				}()
				return a, nil
			}
			w := newWorld(t, m, "com NS ns.example\nmx.example.org A 198.51.100.1\n")
			if l := checksOf(w.run(t)); !slices.ContainsFunc(l, func(s string) bool { return strings.HasPrefix(s, tc.want) }) {
				t.Errorf("got %q", l)
			}
		})
	}
}

func TestMachineOfTheTestHasALoopbackAddress(t *testing.T) {
	t.Parallel()
	var m System
	l, err := m.Addresses()
	if err != nil || !slices.ContainsFunc(l, netip.Addr.IsLoopback) {
		t.Errorf("got %v, %v", l, err)
	}
	ln, err := m.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := m.Dial(t.Context(), netip.MustParseAddrPort(ln.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if uid, gid, err := m.UserID("4711"); err != nil || uid != 4711 || gid != 4711 {
		t.Errorf("got %d %d, %v", uid, gid, err)
	}
}
