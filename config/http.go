package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ClientHTTPSFields is a section AutoconfigHTTPS or MTASTSHTTPS of a listener in
// mox.conf.
type ClientHTTPSFields struct {
	Enabled   bool
	Port      int  `sconf:"optional" sconf-doc:"Others always connect to port 443: another port is for where that is forwarded to. [443]"`
	NonTLS    bool `sconf:"optional" sconf-doc:"Without TLS, for behind a reverse proxy that does TLS."`
	Forwarded bool `sconf:"optional" sconf-doc:"Requests come through a reverse proxy, in ForwardedNetworks, which tells in the header field X-Forwarded-For who the client is. This is so for all that is on the same port."`
}

// WebserverFields is a section WebserverHTTP or WebserverHTTPS of a listener in
// mox.conf.
type WebserverFields struct {
	Enabled           bool
	Port              int  `sconf:"optional" sconf-doc:"[80 for HTTP, 443 for HTTPS]"`
	RateLimitDisabled bool `sconf:"optional" sconf-doc:"Do without limits on requests and connections of a client, for all that is on the same port. Otherwise it can make 1000 requests a minute and 5000 an hour, and networks around it 3 and 9 times as many, and Limits of the listener are for its connections."`
}

// ClientHTTPS is HTTP with TLS for well-known names below domains.
type ClientHTTPS struct {
	Enabled   bool
	Port      int
	NonTLS    bool // Without TLS, for behind a reverse proxy.
	Forwarded bool // The client is in X-Forwarded-For, if the connection is from Listener.ForwardedNetworks.
}

// Webserver serves WebHandlers and WebDomainRedirects.
type Webserver struct {
	Enabled           bool
	Port              int
	RateLimitDisabled bool
}

// WebPort is a port of a listener for HTTP, which several services can share.
type WebPort struct {
	Port int
	TLS  bool

	// Services are the names of the fields of services on it, in the order of the fields.
	// "ACME" is for authorities that ask with TLS-ALPN-01; "IMAPS" and "Submissions" are
	// for clients that ask for "imap" and "smtp" in the TLS handshake.
	Services []string

	Forwarded         bool // As Forwarded of one of the services.
	RateLimitDisabled bool // As that of one of the services.
}

// Has reports whether a service is on the port.
func (p WebPort) Has(service string) bool {
	return slices.Contains(p.Services, service)
}

// webPort is where IMAP and submission are on a port for HTTPS, if there is no other.
const webPort = 443

// defaultForwardedNetworks are where a reverse proxy usually is: this machine, and
// private networks.
var defaultForwardedNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("fc00::/7"),
}

// web fills in the services with HTTP of a listener.
func (c *checker) web(field string, l *Listener, f ListenerFields) {
	port := func(service string, port, def int) int {
		if port < 0 || port > 65535 {
			c.addf(join(field, service)+".Port", "port %d is not between 1 and 65535", port)
		}
		if port == 0 {
			return def
		}
		return port
	}
	client := func(service string, f ClientHTTPSFields) ClientHTTPS {
		return ClientHTTPS{f.Enabled, port(service, f.Port, webPort), f.NonTLS, f.Forwarded}
	}
	l.MetricsHTTP = HTTPService{f.MetricsHTTP.Enabled, port("MetricsHTTP", f.MetricsHTTP.Port, 8010)}
	l.PprofHTTP = HTTPService{f.PprofHTTP.Enabled, port("PprofHTTP", f.PprofHTTP.Port, 8011)}
	l.AutoconfigHTTPS = client("AutoconfigHTTPS", f.AutoconfigHTTPS)
	l.MTASTSHTTPS = client("MTASTSHTTPS", f.MTASTSHTTPS)
	l.WebserverHTTP = Webserver{f.WebserverHTTP.Enabled, port("WebserverHTTP", f.WebserverHTTP.Port, 80), f.WebserverHTTP.RateLimitDisabled}
	l.WebserverHTTPS = Webserver{f.WebserverHTTPS.Enabled, port("WebserverHTTPS", f.WebserverHTTPS.Port, webPort), f.WebserverHTTPS.RateLimitDisabled}
	l.ForwardedNetworks = c.prefixes(field+".ForwardedNetworks", f.ForwardedNetworks)
	if len(f.ForwardedNetworks) == 0 {
		l.ForwardedNetworks = defaultForwardedNetworks
	}
	for i, s := range f.NATIPs {
		field := fmt.Sprintf("%s.NATIPs[%d]", field, i)
		switch ip, err := netip.ParseAddr(s); {
		case err != nil || ip.Zone() != "":
			c.addf(field, "%q is not an IP address", s)
		case ip.IsUnspecified() || ip.IsLoopback():
			c.addf(field, "%s is not an address that others can reach", ip)
		default:
			l.NATIPs = append(l.NATIPs, ip)
		}
	}
}

// WebPorts returns the ports of a listener for HTTP, those with metrics and profiles
// apart: they have theirs for themselves.
func (l Listener) WebPorts() []WebPort {
	var ports []WebPort
	add := func(enabled bool, service string, port int, tls, forwarded, noLimit bool) {
		if !enabled {
			return
		}
		i := slices.IndexFunc(ports, func(p WebPort) bool { return p.Port == port && p.TLS == tls })
		if i < 0 {
			i = len(ports)
			ports = append(ports, WebPort{Port: port, TLS: tls})
		}
		p := &ports[i]
		p.Services = append(p.Services, service)
		p.Forwarded, p.RateLimitDisabled = p.Forwarded || forwarded, p.RateLimitDisabled || noLimit
	}
	ac, ms := l.AutoconfigHTTPS, l.MTASTSHTTPS
	add(ac.Enabled, "AutoconfigHTTPS", ac.Port, !ac.NonTLS, ac.Forwarded, false)
	add(ms.Enabled, "MTASTSHTTPS", ms.Port, !ms.NonTLS, ms.Forwarded, false)
	add(l.WebserverHTTP.Enabled, "WebserverHTTP", l.WebserverHTTP.Port, false, false, l.WebserverHTTP.RateLimitDisabled)
	add(l.WebserverHTTPS.Enabled, "WebserverHTTPS", l.WebserverHTTPS.Port, true, false, l.WebserverHTTPS.RateLimitDisabled)
	if (l.Submissions.EnabledOnHTTPS || l.IMAPS.EnabledOnHTTPS) && !slices.ContainsFunc(ports, func(p WebPort) bool { return p.TLS }) {
		ports = append(ports, WebPort{Port: webPort, TLS: true})
	}
	for i := range ports {
		p := &ports[i]
		if p.TLS && l.Submissions.EnabledOnHTTPS {
			p.Services = append(p.Services, "Submissions")
		}
		if p.TLS && l.IMAPS.EnabledOnHTTPS {
			p.Services = append(p.Services, "IMAPS")
		}
		if p.TLS && l.ACMEPort == p.Port {
			p.Services = append(p.Services, "ACME")
		}
	}
	return ports
}

// webServices calls add for the ports for HTTP, and for that of authorities if it is not
// one of them.
func (l Listener) webServices(add func(enabled bool, name string, port int)) {
	acme := l.ACMEPort
	for _, p := range l.WebPorts() {
		name := "HTTP"
		if p.TLS {
			name = "HTTPS"
		}
		add(true, name, p.Port)
		if p.Has("ACME") {
			acme = 0
		}
	}
	add(l.MetricsHTTP.Enabled, "MetricsHTTP", l.MetricsHTTP.Port)
	add(l.PprofHTTP.Enabled, "PprofHTTP", l.PprofHTTP.Port)
	add(acme != 0, "ACME", acme)
}

// socketField returns the field that a service of [Listener.Services] is from.
func (l Listener) socketField(s Service) string {
	name := s.Name
	for _, p := range l.WebPorts() {
		if p.Port == s.Port && (s.Name == "HTTPS" && p.TLS || s.Name == "HTTP" && !p.TLS) {
			name = p.Services[0]
		}
	}
	return join("Listeners", l.Name) + "." + strings.TrimSpace(name)
}
