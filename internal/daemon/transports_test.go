package daemon

import (
	"crypto/x509"
	"slices"
	"testing"

	"mox/config"
	"mox/mlog"
	"mox/queue"
	"mox/queue/transport"
)

// transportConfig returns a configuration with all kinds of transports.
func transportConfig(t *testing.T, ips ...string) *config.Snapshot {
	t.Helper()
	l := config.ListenerFields{IPs: ips}
	l.SMTP.Enabled, l.SMTP.NoSTARTTLS = true, true
	s, err := config.New(config.Static{
		DataDir: t.TempDir(), LogLevel: "error", Hostname: "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"public": l},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
		Transports: map[string]config.TransportFields{
			"subs":  {Submissions: &config.SMTPTransportFields{Host: "a.example"}},
			"sub":   {Submission: &config.SMTPTransportFields{Host: "a.example", STARTTLSInsecureSkipVerify: true}},
			"smtp":  {SMTP: &config.SMTPTransportFields{Host: "192.0.2.1", NoSTARTTLS: true}},
			"socks": {Socks: &config.SocksTransportFields{Address: "localhost:1080", RemoteIPs: []string{"192.0.2.2"}, RemoteHostname: "out.example"}},
			"v4":    {Direct: &config.DirectTransportFields{DisableIPv6: true}},
			"never": {Fail: &config.FailTransportFields{}},
		},
	}, config.Dynamic{
		Domains:  map[string]config.DomainFields{"example.org": {}},
		Accounts: map[string]config.AccountFields{"ann": {Domain: "example.org"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTransportsAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	s := transportConfig(t, "192.0.2.10")
	d := &Daemon{opts: Options{Handler: mlog.Discard().Handler()}}
	m, err := d.transports(s)
	if err != nil {
		t.Fatal(err)
	}
	for name, tr := range m {
		var ok bool
		switch name {
		case "", "socks", "v4":
			_, ok = tr.(*transport.Direct)
		case "never":
			_, ok = tr.(*transport.Fail)
		default:
			_, ok = tr.(*transport.Relay)
		}
		if want := name; !ok || tr.Name() != want && (want != "" || tr.Name() != "direct") {
			t.Errorf("%q: got %T with name %q", name, tr, tr.Name())
		}
	}
	if len(m) != 7 || d.out.pool == nil {
		t.Errorf("transports %v", m)
	}
	if err := d.out.pool.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMailDoesNotLeaveAServerForTryingThingsOut(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	m, err := d.transports(transportConfig(t, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m[""].(*queue.Local); !ok || len(m) != 2 || m["never"] == nil || d.local() != nil {
		t.Errorf("transports %v", m)
	}
}

func TestConnectionsComeFromTheAddressOfAListener(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ ips, want []string }{
		{[]string{"192.0.2.1", "2001:db8::1"}, []string{"192.0.2.1", "2001:db8::1"}},
		{[]string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}, []string{"2001:db8::1"}},
		{[]string{"0.0.0.0", "::"}, nil},
		{[]string{"127.0.0.1", "::1", "192.0.2.1"}, []string{"192.0.2.1"}},
	} {
		var got []string
		for _, ip := range localIPs(transportConfig(t, tc.ips...)) {
			got = append(got, ip.String())
		}
		slices.Sort(got)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%v: got %v, want %v", tc.ips, got, tc.want)
		}
	}

}

func TestTransportsTrustTheAuthoritiesOfTheConfiguration(t *testing.T) {
	t.Parallel()
	roots := x509.NewCertPool()
	d := &Daemon{opts: Options{Handler: mlog.Discard().Handler()}, out: outgoing{roots: roots}}
	if n := d.network(transportConfig(t, "192.0.2.10"), ""); n.TLS == nil || n.TLS.RootCAs != roots {
		t.Errorf("authorities are %v", n.TLS)
	}
}
