package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/mtasts"
)

// webStatic is testStatic with services for HTTP in lines.
func webStatic(t *testing.T, lines string) string {
	t.Helper()
	return change(t, testStatic, "Postmaster:\n\tAccount", lines+"Postmaster:\n\tAccount")
}

const webServers = "\t\tWebserverHTTP:\n\t\t\tEnabled: true\n\t\tWebserverHTTPS:\n\t\t\tEnabled: true\n"

func TestServicesShareAPortForHTTP(t *testing.T) {
	t.Parallel()
	enabled := func(name, more string) string {
		return "\t\t" + name + ":\n\t\t\tEnabled: true\n" + more
	}
	for _, tc := range []struct {
		lines    string
		services []Service
		ports    []WebPort
	}{
		{"", nil, nil},
		{enabled("AutoconfigHTTPS", "") + enabled("MTASTSHTTPS", "") + webServers + enabled("MetricsHTTP", "") + enabled("PprofHTTP", ""),
			[]Service{{"HTTPS", 443}, {"HTTP", 80}, {"MetricsHTTP", 8010}, {"PprofHTTP", 8011}},
			[]WebPort{
				{Port: 443, TLS: true, Services: []string{"AutoconfigHTTPS", "MTASTSHTTPS", "WebserverHTTPS"}},
				{Port: 80, Services: []string{"WebserverHTTP"}},
			}},
		{enabled("AutoconfigHTTPS", "\t\t\tNonTLS: true\n\t\t\tPort: 80\n\t\t\tForwarded: true\n") + enabled("WebserverHTTP", "\t\t\tRateLimitDisabled: true\n"),
			[]Service{{"HTTP", 80}},
			[]WebPort{{Port: 80, Services: []string{"AutoconfigHTTPS", "WebserverHTTP"}, Forwarded: true, RateLimitDisabled: true}}},
		{enabled("WebserverHTTPS", "\t\t\tPort: 8443\n") + enabled("MTASTSHTTPS", ""),
			[]Service{{"HTTPS", 443}, {"HTTPS", 8443}},
			[]WebPort{{Port: 443, TLS: true, Services: []string{"MTASTSHTTPS"}}, {Port: 8443, TLS: true, Services: []string{"WebserverHTTPS"}}}},
	} {
		s, err := testLoad(webStatic(t, tc.lines), testDynamic)
		if err != nil {
			t.Fatal(err)
		}
		l := s.Listeners[0]
		if got := l.Services()[3:]; len(got)+len(tc.services) > 0 && !reflect.DeepEqual(got, tc.services) {
			t.Errorf("%s: got services %v, expected %v", tc.lines, got, tc.services)
		}
		if got := l.WebPorts(); !reflect.DeepEqual(got, tc.ports) {
			t.Errorf("%s: got ports %v, expected %v", tc.lines, got, tc.ports)
		}
	}
}

func TestIMAPSubmissionAndAuthoritiesAreOnPortsForHTTPS(t *testing.T) {
	t.Parallel()
	static := change(t, acmeStatic(t, ""), "\t\tIMAPS:\n\t\t\tEnabled: true\n", "\t\tIMAPS:\n\t\t\tEnabled: true\n\t\t\tEnabledOnHTTPS: true\n")
	s, err := testLoad(static, testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Listeners[0]
	want := []WebPort{{Port: 443, TLS: true, Services: []string{"IMAPS", "ACME"}}}
	if got := l.WebPorts(); !reflect.DeepEqual(got, want) || l.Services()[3] != (Service{"HTTPS", 443}) || len(l.Services()) != 4 {
		t.Errorf("got %v, %v", got, l.Services())
	}
	s, err = testLoad(change(t, static, "\t\tIMAPS:\n", "\t\tWebserverHTTPS:\n\t\t\tEnabled: true\n\t\t\tPort: 8443\n\t\tIMAPS:\n"), testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	want = []WebPort{{Port: 8443, TLS: true, Services: []string{"WebserverHTTPS", "IMAPS"}}}
	if got := s.Listeners[0].WebPorts(); !reflect.DeepEqual(got, want) || s.Listeners[0].Services()[4] != (Service{"ACME", 443}) {
		t.Errorf("got %v, %v", got, s.Listeners[0].Services())
	}
}

func TestForwardedNetworksHaveADefault(t *testing.T) {
	t.Parallel()
	s, err := testLoad(webStatic(t, "\t\tNATIPs:\n\t\t\t- 198.51.100.1\n\t\t\t- 2001:db8::1\n"), testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Listeners[0]
	if len(l.ForwardedNetworks) != 6 || !reflect.DeepEqual(l.NATIPs, []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")}) {
		t.Errorf("got %v, %v", l.ForwardedNetworks, l.NATIPs)
	}
	s, err = testLoad(webStatic(t, "\t\tForwardedNetworks:\n\t\t\t- 192.0.2.1\n"), testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Listeners[0].ForwardedNetworks; !reflect.DeepEqual(got, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}) {
		t.Errorf("got %v", got)
	}
}

func TestErrorsOfListenersForHTTPNameLineAndField(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ lines, want string }{
		{"\t\tWebserverHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: -1\n", "mox.conf:23: Listeners.public.WebserverHTTP.Port: port -1 is not between 1 and 65535"},
		{"\t\tAutoconfigHTTPS:\n\t\t\tEnabled: true\n\t\tWebserverHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: 443\n",
			"mox.conf:23: Listeners.public.WebserverHTTP: 192.0.2.10:443 is already used by Listeners.public.AutoconfigHTTPS\n" +
				"mox.conf:23: Listeners.public.WebserverHTTP: [2001:db8::10]:443 is already used by Listeners.public.AutoconfigHTTPS"},
		{"\t\tPprofHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: 80\n" + webServers,
			"mox.conf:21: Listeners.public.PprofHTTP: 192.0.2.10:80 is already used by Listeners.public.WebserverHTTP\n" +
				"mox.conf:21: Listeners.public.PprofHTTP: [2001:db8::10]:80 is already used by Listeners.public.WebserverHTTP"},
		{"\t\tNATIPs:\n\t\t\t- 127.0.0.1\n\t\t\t- ::\n\t\t\t- x\n",
			"mox.conf:22: Listeners.public.NATIPs[0]: 127.0.0.1 is not an address that others can reach\n" +
				"mox.conf:23: Listeners.public.NATIPs[1]: :: is not an address that others can reach\n" +
				"mox.conf:24: Listeners.public.NATIPs[2]: \"x\" is not an IP address"},
		{"\t\tForwardedNetworks:\n\t\t\t- x\n", "mox.conf:22: Listeners.public.ForwardedNetworks[0]: \"x\" is not an IP address or network, such as 192.0.2.0/24"},
		{"\tinternal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\t\tAutoconfigHTTPS:\n\t\t\tEnabled: true\n\t\tMTASTSHTTPS:\n\t\t\tEnabled: true\n\t\t\tNonTLS: true\n\t\t\tPort: 81\n",
			"mox.conf:21: Listeners.internal: a TLS section with certificates is needed for: AutoconfigHTTPS on port 443"},
	} {
		_, err := testLoad(webStatic(t, tc.lines), testDynamic)
		if got := strings.TrimSuffix(errorLines(t, err), "\n"); got != tc.want {
			t.Errorf("%s: got:\n%s\nexpected:\n%s", tc.lines, got, tc.want)
		}
	}
}

func TestPolicyOfDomainIsChecked(t *testing.T) {
	t.Parallel()
	static := webStatic(t, "\t\tMTASTSHTTPS:\n\t\t\tEnabled: true\n")
	policy := func(lines string) string {
		return change(t, testDynamic, "\t☺.example: nil\n", "\t☺.example:\n\t\tMTASTS:\n"+lines)
	}
	s, err := testLoad(static, policy("\t\t\tPolicyID: 20260131T120000\n\t\t\tMode: enforce\n\t\t\tMaxAge: 24h\n"))
	if err != nil {
		t.Fatal(err)
	}
	smile, err := dns.ParseDomain("☺.example")
	if err != nil {
		t.Fatal(err)
	}
	d, _ := s.Domain(smile)
	if want := (&MTASTS{"20260131T120000", mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAge: 24 * time.Hour, MX: []mtasts.MX{{Domain: s.Hostname}}}}); !reflect.DeepEqual(d.MTASTS, want) {
		t.Errorf("got %v, expected %v", d.MTASTS, want)
	}
	for _, tc := range []struct{ static, lines, want string }{
		{static, "\t\t\tPolicyID: a-b\n\t\t\tMode: strict\n\t\t\tMaxAge: 0s\n\t\t\tMX:\n\t\t\t\t- *.b.example\n\t\t\t\t- *.b.example\n\t\t\t\t- MX.example\n",
			"domains.conf:13: Domains.☺.example.MTASTS.PolicyID: \"a-b\" is not possible, it must be 1 to 32 letters and digits\n" +
				"domains.conf:14: Domains.☺.example.MTASTS.Mode: unknown mode \"strict\", use one of enforce, testing, none\n" +
				"domains.conf:15: Domains.☺.example.MTASTS.MaxAge: must be in whole seconds, more than 0s and at most 8766h0m0s, which is a year\n" +
				"domains.conf:18: Domains.☺.example.MTASTS.MX[1]: \"*.b.example\" is listed twice\n" +
				"domains.conf:19: Domains.☺.example.MTASTS.MX[2]: domain \"MX.example\" must be written in unicode and lower case, as \"mx.example\""},
		{testStatic, "\t\t\tPolicyID: 1\n\t\t\tMode: none\n\t\t\tMaxAge: 1h\n",
			"domains.conf:12: Domains.☺.example.MTASTS: no listener in mox.conf has MTASTSHTTPS, so that others could not get the policy"},
	} {
		_, err := testLoad(tc.static, policy(tc.lines))
		if got := strings.TrimSuffix(errorLines(t, err), "\n"); got != tc.want {
			t.Errorf("got:\n%s\nexpected:\n%s", got, tc.want)
		}
	}
}

func TestCertificatesAreForNamesThatAreServed(t *testing.T) {
	t.Parallel()
	dynamic := `Domains:
	example.org:
		ClientSettingsDomain: mail.example.org
		MTASTS:
			PolicyID: 1
			Mode: testing
			MaxAge: 1h
	plain.example:
		ClientSettingsDomain: mail.example.org
	☺.example: nil
	off.example:
		Disabled: true
		ClientSettingsDomain: mail.off.example
		MTASTS:
			PolicyID: 1
			Mode: testing
			MaxAge: 1h
	reports.example:
		ClientSettingsDomain: mail.reports.example
		DMARC:
			Localpart: reports
			Domain: example.org
			Account: ann
			Mailbox: DMARC
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
			ann@plain.example: nil
WebDomainRedirects:
	www.site.example: site.example
WebHandlers:
	-
		Domain: site.example
		PathRegexp: ^/
		WebRedirect:
			BaseURL: https://other.example
`
	on := func(names ...string) string {
		var b strings.Builder
		for _, name := range names {
			name, more, _ := strings.Cut(name, " ")
			b.WriteString("\t\t" + name + ":\n\t\t\tEnabled: true\n")
			if more != "" {
				b.WriteString("\t\t\t" + more + ": true\n\t\t\tPort: 81\n")
			}
		}
		return b.String()
	}
	mail := "mx.example.org mail.example.org"
	for _, tc := range []struct{ lines, want string }{
		{on("MTASTSHTTPS NonTLS", "AutoconfigHTTPS NonTLS", "WebserverHTTP"), mail},
		{on("MTASTSHTTPS", "WebserverHTTP"), mail + " mta-sts.example.org"},
		{on("MTASTSHTTPS", "AutoconfigHTTPS", "WebserverHTTPS"), mail + " autoconfig.example.org mta-sts.example.org autoconfig.plain.example autoconfig.xn--74h.example site.example www.site.example"},
	} {
		s, err := testLoad(change(t, acmeStatic(t, ""), "Postmaster:\n\tAccount", tc.lines+"Postmaster:\n\tAccount"), dynamic)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range s.CertificateHosts("le") {
			got = append(got, d.ASCII)
			ok, onDemand := s.IsCertificateHost("le", d.ASCII)
			if other, _ := s.IsCertificateHost("other", d.ASCII); !ok || onDemand || other {
				t.Errorf("%s: not a name for certificates of this authority only", d)
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %v, expected %s", tc.lines, got, tc.want)
		}
		if ok, _ := s.IsCertificateHost("le", "other.example"); ok {
			t.Error("there would be a certificate for where a redirect leads to")
		}
		if ok, onDemand := s.IsCertificateHost("le", "autodiscover.example.org"); ok != strings.Contains(tc.want, "autoconfig") || ok != onDemand {
			t.Errorf("%s: autodiscover: %v, on demand %v", tc.lines, ok, onDemand)
		}
	}
}
