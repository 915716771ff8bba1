package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/smtp"
)

const testTransports = `Transports:
	relay:
		SMTP:
			Host: relay.example
	sub:
		Submission:
			Host: 192.0.2.1
			Port: 588
			STARTTLSInsecureSkipVerify: true
			Auth:
				Username: user
				Password: secret
				Mechanisms:
					- PLAIN
	subs:
		Submissions:
			Host: smtp.example
			Auth:
				Username: user
				Password: secret
	proxy:
		Socks:
			Address: localhost:1080
			Username: u
			Password: p
			RemoteIPs:
				- 192.0.2.7
			RemoteHostname: out.example
	v6:
		Direct:
			DisableIPv4: true
	no:
		Fail:
			SMTPCode: 451
	never:
		Fail:
			SMTPMessage: not here
`

func TestTransportsHaveTheirDefaults(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic+testTransports, testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, ok bool) {
		t.Helper()
		if tr := s.Transports[name]; !ok || tr.Name != name {
			t.Errorf("%s: got %+v", name, tr)
		}
	}
	r := s.Transports["relay"]
	check("relay", r.Kind == TransportSMTP && r.Port == 25 && r.Host.Domain.ASCII == "relay.example" && r.Username == "" && !r.NoTLS)
	r = s.Transports["sub"]
	check("sub", r.Kind == TransportSubmission && r.Port == 588 && r.Host.IP.String() == "192.0.2.1" && r.SkipVerify && r.Username == "user" && slices.Equal(r.Mechanisms, []string{"PLAIN"}))
	r = s.Transports["subs"]
	check("subs", r.Kind == TransportSubmissions && r.Port == 465 && len(r.Mechanisms) == 5 && r.Mechanisms[0] == "SCRAM-SHA-256-PLUS")
	r = s.Transports["proxy"]
	check("proxy", r.Kind == TransportSocks && r.Proxy == "localhost:1080" && r.Username == "u" && r.RemoteIPs[0] == netip.MustParseAddr("192.0.2.7") && r.Hostname.ASCII == "out.example")
	r = s.Transports["v6"]
	check("v6", r.Kind == TransportDirect && r.NoIPv4 && !r.NoIPv6)
	r = s.Transports["no"]
	check("no", r.Kind == TransportFail && r.Error.Code == 451 && r.Error.Enhanced == "4.3.0" && r.Error.Text != "")
	r = s.Transports["never"]
	check("never", r.Error.Code == 554 && r.Error.Text == "not here")
	if s.QueueRetryPeriod != 16*time.Hour || s.QueueConcurrency != 20 || s.QueueDomainConcurrency != 3 {
		t.Errorf("queue: %v, %d, %d", s.QueueRetryPeriod, s.QueueConcurrency, s.QueueDomainConcurrency)
	}
	if s, err = testLoad(testStatic+"QueueRetryPeriod: 120h\nQueueConcurrency: 2\n", testDynamic); err != nil || s.QueueRetryPeriod != 120*time.Hour || s.QueueDomainConcurrency != 2 {
		t.Errorf("queue: %+v, %v", s, err)
	}
}

func TestTransportsAndQueueAreChecked(t *testing.T) {
	t.Parallel()
	tr := func(lines ...string) string { return "Transports:\n\tx:\n\t\t" + strings.Join(lines, "\n\t\t") + "\n" }
	for _, tc := range []struct{ static, want string }{
		{"Transports:\n\tx: nil\n", "Transports.x: exactly one of"},
		{tr("SMTP:", "\tHost: a.example", "Fail:", "\tSMTPCode: 500"), "Transports.x: exactly one of"},
		{"Transports:\n\ta b:\n\t\tFail:\n\t\t\tSMTPCode: 500\n", `: name of transport must be of printable`},
		{tr("SMTP:", "\tHost: a b"), "Transports.x.SMTP.Host: "},
		{tr("SMTP:", "\tHost: a.example", "\tPort: 70000"), "Transports.x.SMTP.Port: port 70000 is not possible"},
		{tr("SMTP:", "\tHost: a.example", "\tNoSTARTTLS: true", "\tSTARTTLSInsecureSkipVerify: true"), "NoSTARTTLS: cannot be set together"},
		{tr("Submissions:", "\tHost: a.example", "\tNoSTARTTLS: true"), "not possible with TLS from the start"},
		{tr("SMTP:", "\tHost: a.example", "\tAuth:", "\t\tUsername: u", "\t\tPassword: p", "\t\tMechanisms:", "\t\t\t- LOGIN"), `Auth.Mechanisms[0]: unknown mechanism "LOGIN"`},
		{tr("SMTP:", "\tHost: a.example", "\tAuth:", "\t\tUsername: u", "\t\tPassword: p", "\t\tMechanisms:", "\t\t\t- PLAIN", "\t\t\t- PLAIN"), "is listed twice"},
		{tr("Socks:", "\tAddress: localhost"), `Socks.Address: "localhost" is not of the form host:port`},
		{tr("Socks:", "\tAddress: localhost:0"), "is not of the form host:port"},
		{tr("Socks:", "\tAddress: localhost:1080", "\tUsername: u"), "must both have from 1 to 255"},
		{tr("Socks:", "\tAddress: localhost:1080", "\tRemoteIPs:", "\t\t- x"), `RemoteIPs[0]: "x" is not an ip address`},
		{tr("Direct:", "\tDisableIPv4: true", "\tDisableIPv6: true"), "only one of DisableIPv4 and DisableIPv6"},
		{tr("Fail:", "\tSMTPCode: 250"), "Fail.SMTPCode: 250 is not from 400 to 599"},
		{tr("Fail:", "\tSMTPMessage: nö"), "Fail.SMTPMessage: text can only have printable ASCII"},
		{"QueueRetryPeriod: 121h\n", "QueueRetryPeriod: must be from 10m0s to 120h0m0s"},
		{"QueueRetryPeriod: 1m\n", "QueueRetryPeriod: must be from"},
		{"QueueConcurrency: -1\n", "QueueConcurrency: must be from 1 to 1000"},
		{"QueueConcurrency: 2\nQueueDomainConcurrency: 3\n", "QueueDomainConcurrency: is more than QueueConcurrency"},
	} {
		_, err := testLoad(testStatic+tc.static, testDynamic)
		if got := errorLines(t, err); !strings.Contains(got, tc.want) {
			t.Errorf("%q: got:\n%s\nexpected:\n%s", tc.static, got, tc.want)
		}
	}
}

func TestRouteDomains(t *testing.T) {
	t.Parallel()
	d := func(s string) dns.Domain { return dns.Domain{ASCII: s} }
	for _, tc := range []struct {
		r    RouteDomain
		d    string
		want bool
	}{
		{RouteDomain{Domain: d("a.example")}, "a.example", true},
		{RouteDomain{Domain: d("a.example")}, "x.a.example", false},
		{RouteDomain{Domain: d("a.example"), Below: true}, "a.example", true},
		{RouteDomain{Domain: d("a.example"), Below: true}, "x.a.example", true},
		{RouteDomain{Domain: d("a.example"), Below: true}, "xa.example", false},
		{RouteDomain{Domain: d("a.example"), Below: true}, "", false},
		{RouteDomain{Below: true}, "any.example", true},
		{RouteDomain{Below: true}, "", true},
		{RouteDomain{Domain: d("a.example")}, "", false},
	} {
		if got := tc.r.Match(d(tc.d)); got != tc.want {
			t.Errorf("%+v, %s: %v", tc.r, tc.d, got)
		}
	}
}

func TestFirstRouteThatMatchesIsTaken(t *testing.T) {
	t.Parallel()
	dynamic := change(t, withFields(t, "\t\tRoutes:\n\t\t\t-\n\t\t\t\tToDomain:\n\t\t\t\t\t- .b.example\n\t\t\t\tTransport: sub\n"), "\tann:\n\t\tDomain: example.org\n",
		"\tann:\n\t\tDomain: example.org\n\t\tRoutes:\n\t\t\t-\n\t\t\t\tMinimumAttempts: 2\n\t\t\t\tTransport: no\n") + "Routes:\n\t-\n\t\tFromDomain:\n\t\t\t- .\n\t\tTransport: relay\n"
	s, err := testLoad(testStatic+testTransports, dynamic)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		account, from, to string
		attempts          int
		want              string
	}{
		{"ann", "example.org", "b.example", 0, "sub"},
		{"ann", "example.org", "b.example", 1, "sub"},
		{"ann", "example.org", "b.example", 2, "no"},
		{"bob", "example.org", "x.b.example", 2, "sub"},
		{"bob", "example.org", "c.example", 2, "relay"},
		{"bob", "", "b.example", 0, "relay"},
		{"gone", "other.example", "b.example", 0, "relay"},
	} {
		r, ok := s.Route(tc.account, dns.Domain{ASCII: tc.from}, dns.Domain{ASCII: tc.to}, tc.attempts)
		if !ok || r.Transport != tc.want {
			t.Errorf("%+v: got %+v", tc, r)
		}
	}
	for field, want := range map[string]string{
		"Routes:\n\t-\n\t\tTransport: x\n":                                                         `Routes[0].Transport: transport "x" is not in Transports`,
		"Routes:\n\t-\n\t\tTransport: relay\n\t\tMinimumAttempts: -1\n":                            "Routes[0].MinimumAttempts: cannot be negative",
		"Routes:\n\t-\n\t\tTransport: relay\n\t\tToDomain:\n\t\t\t- a_b c\n":                       "Routes[0].ToDomain[0]: ",
		"Routes:\n\t-\n\t\tTransport: relay\n\t\tFromDomain:\n\t\t\t- .\n\t\t\t- .Upper.example\n": "Routes[0].FromDomain[1]: ",
	} {
		_, err := testLoad(testStatic+testTransports, testDynamic+field)
		if got := errorLines(t, err); !strings.Contains(got, want) {
			t.Errorf("%q: got %s", field, got)
		}
	}
}

func TestAccountSaysWhatItSends(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, withAccount(t, "KeepRetiredMessagePeriod: 168h", "FromIDLoginAddresses:", "\t- BOB.S+x@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := s.Account("bob")
	if want := parseAddress(t, "bob.s@example.org"); a.KeepRetiredMessagePeriod != 168*time.Hour || !slices.Equal(a.FromIDLogins, []smtp.Address{want}) {
		t.Errorf("got %v, %v", a.KeepRetiredMessagePeriod, a.FromIDLogins)
	}
	for fields, want := range map[string]string{
		"KeepRetiredMessagePeriod: -1h":                                                 "KeepRetiredMessagePeriod: cannot be negative",
		"FromIDLoginAddresses:\n\t\t\t- ann":                                            "FromIDLoginAddresses[0]: ",
		"FromIDLoginAddresses:\n\t\t\t- ann@example.org":                                `"ann@example.org" is not an address of the account`,
		"FromIDLoginAddresses:\n\t\t\t- ann@nowhere.example":                            "is not an address of the account",
		"FromIDLoginAddresses:\n\t\t\t- gone@off.example":                               `"gone@off.example" is not an address`,
		"FromIDLoginAddresses:\n\t\t\t- bob.s@example.org\n\t\t\t- Bob.s+y@example.org": "FromIDLoginAddresses[1]: address is listed twice",
	} {
		_, err := testLoad(testStatic, withAccount(t, fields))
		if got := errorLines(t, err); !strings.Contains(got, want) {
			t.Errorf("%q: got %s", fields, got)
		}
	}
}

func TestAddressesWithIDsNeedASeparator(t *testing.T) {
	t.Parallel()
	dynamic := change(t, testDynamic, "\tann:\n\t\tDomain: example.org\n", "\tann:\n\t\tDomain: example.org\n\t\tFromIDLoginAddresses:\n\t\t\t- ann@off.example\n")
	_, err := testLoad(testStatic, dynamic)
	if got := errorLines(t, err); !strings.Contains(got, `domain "off.example" has no LocalpartCatchallSeparator`) {
		t.Error(got)
	}
}
