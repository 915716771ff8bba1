package config

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mox/dns"
	"mox/imap"
	"mox/mlog"
)

// checkStatic checks mox.conf and puts what follows from it into s.
func (c *checker) checkStatic(s *Snapshot) {
	st := &s.Static
	dir := filepath.Dir(s.Path)
	s.Pedantic = st.Pedantic
	if st.DataDir == "" {
		c.addf("DataDir", "directory is empty")
	}
	s.DataDir = relative(dir, st.DataDir)
	s.Level = c.level("LogLevel", st.LogLevel)
	s.PackageLevels = map[string]slog.Level{}
	for _, pkg := range slices.Sorted(maps.Keys(st.PackageLogLevels)) {
		s.PackageLevels[pkg] = c.level(join("PackageLogLevels", pkg), st.PackageLogLevels[pkg])
	}
	s.Hostname = c.domain("Hostname", st.Hostname)
	s.hostnames = map[dns.Domain]bool{s.Hostname: true}
	c.resolvers(s)
	c.authorities(s)
	c.acme(s)
	c.dnsProviders(s)
	s.MinimumFreeSpace = st.MinimumFreeSpace
	if s.MinimumFreeSpace == 0 {
		s.MinimumFreeSpace = DefaultMinimumFreeSpace
	}
	s.MaxConnections = st.MaxConnections
	if s.MaxConnections == 0 {
		s.MaxConnections = DefaultMaxConnections
	}
	s.UndeleteWindow, s.UndeleteSize = st.UndeleteWindow, st.UndeleteSize
	c.notNegative("UndeleteSize", st.UndeleteSize)
	c.notNegative("QuotaMessageSize", st.QuotaMessageSize)
	c.notNegative("QuotaMessages", st.QuotaMessages)
	s.quota, s.quotaMessages = st.QuotaMessageSize, st.QuotaMessages
	c.initialMailboxes(s)
	s.postmaster = Recipient{
		Account:     st.Postmaster.Account,
		Destination: Destination{Mailbox: c.mailbox("Postmaster.Mailbox", st.Postmaster.Mailbox)},
		Postmaster:  true,
	}
	c.hostTLSRPT(s)
	c.transports(s)
	c.queue(s)
	c.trace(s)
	c.updates(s)
	if len(st.Listeners) == 0 {
		c.addf("Listeners", "at least one listener is needed")
	}
	taken := map[netip.AddrPort]string{}
	paths := map[string]string{} // Of unix sockets.
	for _, name := range slices.Sorted(maps.Keys(st.Listeners)) {
		l := c.listener(s, dir, name, st.Listeners[name])
		c.sockets(taken, l)
		if other := paths[l.LMTP]; other != "" {
			c.addf("Listeners."+name+".LMTP.Socket", "%s is already used by %s", l.LMTP, other)
		} else if l.LMTP != "" {
			paths[l.LMTP] = "Listeners." + name + ".LMTP"
		}
		s.Listeners = append(s.Listeners, l)
	}
}

// relative returns a path that is relative to the directory of a configuration
// file.
func relative(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func (c *checker) level(field, name string) slog.Level {
	l, err := mlog.ParseLevel(name)
	if err != nil {
		c.addf(field, "%s, use one of error, warn, info, debug, trace, traceauth, tracedata", trimPkg(err))
	}
	return l
}

func (c *checker) resolvers(s *Snapshot) {
	for i, addr := range s.Static.DNSResolver {
		a, err := ParseResolver(addr)
		if err != nil {
			c.addf(fmt.Sprintf("DNSResolver[%d]", i), "%s", err)
			continue
		}
		s.Resolvers = append(s.Resolvers, a)
	}
}

// ParseResolver parses the address of a DNS resolver, an IP address with a port.
func ParseResolver(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address with a port, such as 127.0.0.1:53 or [::1]:53", s)
	}
	return a, nil
}

// initialMailboxes fills in the defaults and checks the names.
func (c *checker) initialMailboxes(s *Snapshot) {
	im := s.Static.InitialMailboxes
	if im.SpecialUse == (SpecialUseMailboxes{}) && len(im.Regular) == 0 {
		im.SpecialUse = SpecialUseMailboxes{"Sent", "Archive", "Trash", "Drafts", "Junk"}
	}
	im.Regular = slices.Clone(im.Regular)
	seen := map[string]bool{}
	check := func(field string, name *string) {
		switch *name = c.mailbox(field, *name); {
		case *name == "":
		case *name == imap.Inbox:
			c.addf(field, "Inbox is always created, do not list it")
		case imap.MailboxParent(*name) != "":
			c.addf(field, "mailbox %q cannot have a parent", *name)
		case seen[*name]:
			c.addf(field, "mailbox %q is listed twice", *name)
		}
		seen[*name] = true
	}
	use := &im.SpecialUse
	for _, u := range []struct {
		field string
		name  *string
	}{{"Sent", &use.Sent}, {"Archive", &use.Archive}, {"Trash", &use.Trash}, {"Draft", &use.Draft}, {"Junk", &use.Junk}} {
		if *u.name != "" {
			check("InitialMailboxes.SpecialUse."+u.field, u.name)
		}
	}
	for i := range im.Regular {
		check(fmt.Sprintf("InitialMailboxes.Regular[%d]", i), &im.Regular[i])
	}
	s.InitialMailboxes = im
}

// listener returns a listener with its defaults. IPs in s.hostnames are added to.
func (c *checker) listener(s *Snapshot, dir, name string, f ListenerFields) Listener {
	field := join("Listeners", name)
	l := Listener{Name: name, Hostname: s.Hostname, MaxMessageSize: f.SMTPMaxMessageSize}
	if f.Hostname != "" {
		l.Hostname = c.domain(field+".Hostname", f.Hostname)
	}
	if f.SMTP.Enabled && !l.Hostname.IsZero() {
		s.hostnames[l.Hostname] = true
	}
	for i, ip := range f.IPs {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			c.addf(fmt.Sprintf("%s.IPs[%d]", field, i), "%q is not an IP address", ip)
			continue
		}
		l.IPs = append(l.IPs, addr)
	}
	if len(f.IPs) == 0 {
		c.addf(field+".IPs", "at least one IP address is needed, 0.0.0.0 and :: are for all")
	}
	c.notNegative(field+".SMTPMaxMessageSize", f.SMTPMaxMessageSize)
	if l.MaxMessageSize == 0 {
		l.MaxMessageSize = DefaultMaxMessageSize
	}
	l.Proxies = c.proxies(field+".ProxyProtocol", f.ProxyProtocol)
	l.Limits = c.limits(field+".Limits", f.Limits)
	port := func(service string, port, def int) int {
		if port < 0 || port > 65535 {
			c.addf(join(field, service)+".Port", "port %d is not between 1 and 65535", port)
		}
		if port == 0 {
			return def
		}
		return port
	}
	l.SMTP = c.smtpService(field+".SMTP", f)
	l.SMTP.Port = port("SMTP", f.SMTP.Port, 25)
	if f.LMTP.Enabled {
		l.LMTP = relative(dir, f.LMTP.Socket)
		if f.LMTP.Socket == "" {
			c.addf(field+".LMTP.Socket", "path is empty")
		} else if len(l.LMTP) > maxSocketPath {
			c.addf(field+".LMTP.Socket", "path %q is longer than %d octets, which systems do not support for sockets", l.LMTP, maxSocketPath)
		}
	}
	l.Submission = PlainService{f.Submission.Enabled, port("Submission", f.Submission.Port, 587), f.Submission.NoRequireSTARTTLS}
	l.Submissions = TLSService{f.Submissions.Enabled, port("Submissions", f.Submissions.Port, 465), f.Submissions.EnabledOnHTTPS}
	l.IMAP = PlainService{f.IMAP.Enabled, port("IMAP", f.IMAP.Port, 143), f.IMAP.NoRequireSTARTTLS}
	l.IMAPS = TLSService{f.IMAPS.Enabled, port("IMAPS", f.IMAPS.Port, 993), f.IMAPS.EnabledOnHTTPS}
	c.web(field, &l, f)
	if l.SMTP.NoSTARTTLS && l.SMTP.RequireSTARTTLS {
		c.addf(field+".SMTP.RequireSTARTTLS", "cannot be required while NoSTARTTLS keeps it from being offered")
	}
	l.TLS = c.tls(field+".TLS", dir, s, f.TLS)
	if a := s.ACME[acmeName(l.TLS)]; a.DNS01 == nil {
		l.ACMEPort = a.Port
	}
	c.needTLS(field, l)
	return l
}

// smtpService returns what SMTP of a listener has besides a port.
func (c *checker) smtpService(field string, lf ListenerFields) SMTPService {
	f := lf.SMTP
	s := SMTPService{
		Enabled:              f.Enabled,
		NoSTARTTLS:           f.NoSTARTTLS,
		RequireSTARTTLS:      f.RequireSTARTTLS,
		NoRequireTLS:         f.NoRequireTLS,
		DNSBLs:               c.domains(field+".DNSBLs", f.DNSBLs),
		FirstTimeSenderDelay: DefaultFirstTimeSenderDelay,
	}
	if d := f.TLSSessionTicketsDisabled; d != nil {
		s.SessionTickets = !*d
	}
	if d := f.FirstTimeSenderDelay; d != nil {
		s.FirstTimeSenderDelay = *d
		if *d < 0 || *d > maxFirstTimeSenderDelay {
			c.addf(field+".FirstTimeSenderDelay", "must be between 0s and %s: senders do not wait longer for the answer", maxFirstTimeSenderDelay)
		}
	}
	return s
}

// maxFirstTimeSenderDelay is well below the time that clients wait for the answer to
// a message, which is 10 minutes (RFC 5321 §4.5.3.2.6), and less with some.
const maxFirstTimeSenderDelay = 2 * time.Minute

// maxSocketPath is the length of the longest path of a unix socket that all systems
// support.
const maxSocketPath = 100

var tlsVersions = map[string]uint16{
	"":        tls.VersionTLS12,
	"TLSv1.0": tls.VersionTLS10,
	"TLSv1.1": tls.VersionTLS11,
	"TLSv1.2": tls.VersionTLS12,
	"TLSv1.3": tls.VersionTLS13,
}

// tls checks the TLS section of a listener. Whether the files can be used is
// checked where they are opened, and by [CheckFiles].
func (c *checker) tls(field, dir string, s *Snapshot, f *TLSFields) *TLS {
	if f == nil {
		return nil
	}
	version, ok := tlsVersions[f.MinVersion]
	if !ok {
		c.addf(field+".MinVersion", "unknown TLS version %q, use one of TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3", f.MinVersion)
	}
	t := &TLS{MinVersion: version, ClientAuth: !f.ClientAuthDisabled}
	c.certificates(field, dir, s, f, t)
	for i, kc := range f.KeyCerts {
		field := fmt.Sprintf("%s.KeyCerts[%d]", field, i)
		if kc.CertFile == "" {
			c.addf(field+".CertFile", "file is empty")
		}
		if kc.KeyFile == "" {
			c.addf(field+".KeyFile", "file is empty")
		}
		t.KeyCerts = append(t.KeyCerts, KeyCert{relative(dir, kc.CertFile), relative(dir, kc.KeyFile)})
	}
	return t
}

// needTLS adds an error if services need a TLS section that is not there.
func (c *checker) needTLS(field string, l Listener) {
	if l.TLS != nil {
		return
	}
	var need []string
	add := func(enabled bool, name string) {
		if enabled {
			need = append(need, name)
		}
	}
	add(l.SMTP.Enabled && !l.SMTP.NoSTARTTLS, "SMTP with STARTTLS")
	add(l.Submission.Enabled && !l.Submission.NoRequireSTARTTLS, "Submission requiring STARTTLS")
	add(l.Submissions.Enabled, "Submissions")
	add(l.IMAP.Enabled && !l.IMAP.NoRequireSTARTTLS, "IMAP requiring STARTTLS")
	add(l.IMAPS.Enabled, "IMAPS")
	for _, p := range l.WebPorts() {
		add(p.TLS, strings.Join(p.Services, ", ")+" on port "+strconv.Itoa(p.Port))
	}
	if len(need) > 0 {
		c.addf(field, "a TLS section with certificates is needed for: %s", strings.Join(need, ", "))
	}
}

// limits fills in the defaults.
func (c *checker) limits(field string, f LimitsFields) Limits {
	or := func(n, def int) int {
		if n == 0 {
			return def
		}
		return n
	}
	l := Limits{
		ConnectionsPerMinute:  or(f.ConnectionsPerMinute, DefaultConnectionsPerMinute),
		OpenConnections:       or(f.OpenConnections, DefaultOpenConnections),
		AuthFailuresPerMinute: or(f.AuthFailuresPerMinute, DefaultAuthFailuresPerMinute),
		AuthFailuresPerDay:    or(f.AuthFailuresPerDay, DefaultAuthFailuresPerDay),

		UnknownRecipientsPerHour: or(f.UnknownRecipientsPerHour, DefaultUnknownRecipientsPerHour),
	}
	l.Exempt = c.prefixes(field+".ExemptNetworks", f.ExemptNetworks)
	return l
}

// prefixes parses networks.
func (c *checker) prefixes(field string, networks []string) []netip.Prefix {
	var l []netip.Prefix
	for i, s := range networks {
		p, err := parsePrefix(s)
		if err != nil {
			c.addf(fmt.Sprintf("%s[%d]", field, i), "%s", err)
			continue
		}
		l = append(l, p)
	}
	return l
}

// proxies checks the ProxyProtocol section of a listener.
func (c *checker) proxies(field string, f *ProxyProtocolFields) []netip.Prefix {
	if f == nil {
		return nil
	}
	field += ".Networks"
	if len(f.Networks) == 0 {
		c.addf(field, "at least one IP address or network is needed")
	}
	l := c.prefixes(field, f.Networks)
	for _, p := range l {
		if p.Bits() == 0 {
			c.addf(field, "%s is everywhere: everyone could claim to be anyone", p)
		}
	}
	return l
}

// parsePrefix parses a network, or an IP address as the network with only that.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an IP address or network, such as 192.0.2.0/24", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("network %q has bits set after its prefix, perhaps %s is meant", s, p.Masked())
	}
	return p, nil
}

// A Service is one service of a listener: a socket on each of its IPs.
type Service struct {
	Name string // As the field is called, like "Submissions"; HTTP or HTTPS for each of WebPorts.
	Port int
}

// Services returns the services of a listener that are enabled.
func (l Listener) Services() []Service {
	var services []Service
	add := func(enabled bool, name string, port int) {
		if enabled {
			services = append(services, Service{name, port})
		}
	}
	add(l.SMTP.Enabled, "SMTP", l.SMTP.Port)
	add(l.Submission.Enabled, "Submission", l.Submission.Port)
	add(l.Submissions.Enabled, "Submissions", l.Submissions.Port)
	add(l.IMAP.Enabled, "IMAP", l.IMAP.Port)
	add(l.IMAPS.Enabled, "IMAPS", l.IMAPS.Port)
	l.webServices(add)
	return services
}

// sockets adds an error for each address and port that two services want.
func (c *checker) sockets(taken map[netip.AddrPort]string, l Listener) {
	for _, service := range l.Services() {
		field := l.socketField(service)
		for _, ip := range l.IPs {
			addr := netip.AddrPortFrom(ip, uint16(service.Port))
			if other, ok := taken[addr]; ok {
				c.addf(field, "%s is already used by %s", addr, other)
				continue
			}
			taken[addr] = field
		}
	}
}
