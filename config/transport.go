package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"mox/dns"
	"mox/smtp"
)

// TransportFields is one element of Transports in mox.conf.
type TransportFields struct {
	Submissions *SMTPTransportFields `sconf:"optional" sconf-doc:"Hand mail to a server for submission, with TLS from the start, on port 465."`

	Submission *SMTPTransportFields `sconf:"optional" sconf-doc:"Hand mail to a server for submission, with STARTTLS, on port 587."`

	SMTP *SMTPTransportFields `sconf:"optional" sconf-doc:"Hand mail to a mail server that relays it, with STARTTLS, on port 25."`

	Socks *SocksTransportFields `sconf:"optional" sconf-doc:"Deliver directly, with connections through a SOCKS5 proxy."`

	Direct *DirectTransportFields `sconf:"optional" sconf-doc:"Deliver directly, as without a transport, with the IP addresses of one family only."`

	Fail *FailTransportFields `sconf:"optional" sconf-doc:"Deliver nothing and fail with an error."`
}

// SMTPTransportFields is the section of a transport that hands mail to one server.
type SMTPTransportFields struct {
	Host string `sconf-doc:"Name of the server, or its IP address. Its certificate must be valid for it."`

	Port int `sconf:"optional" sconf-doc:"[465 for Submissions, 587 for Submission, 25 for SMTP]"`

	STARTTLSInsecureSkipVerify bool `sconf:"optional" sconf-doc:"Use STARTTLS without verifying the certificate, so that anybody in between can read mail and password. Not for Submissions."`

	NoSTARTTLS bool `sconf:"optional" sconf-doc:"Do without TLS. Not for Submissions."`

	Auth *TransportAuthFields `sconf:"optional" sconf-doc:"Log in to the server."`
}

// TransportAuthFields is the Auth section of a transport.
type TransportAuthFields struct {
	Username string
	Password string

	Mechanisms []string `sconf:"optional" sconf-doc:"Ways of logging in, the first that the server has too is used. If absent: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5. PLAIN, which gives the password to the server, is possible only when it is listed here."`
}

// SocksTransportFields is the Socks section of a transport.
type SocksTransportFields struct {
	Address string `sconf-doc:"Address of the proxy, as host:port."`

	Username string `sconf:"optional" sconf-doc:"For logging in to the proxy."`
	Password string `sconf:"optional"`

	RemoteIPs []string `sconf:"optional" sconf-doc:"IP addresses that other servers see connections come from. SPF records must allow them."`

	RemoteHostname string `sconf:"optional" sconf-doc:"Name that fits these IP addresses, for EHLO. If absent, the hostname of the machine."`
}

// DirectTransportFields is the Direct section of a transport.
type DirectTransportFields struct {
	DisableIPv4 bool `sconf:"optional" sconf-doc:"Connect to IPv6 addresses only."`
	DisableIPv6 bool `sconf:"optional" sconf-doc:"Connect to IPv4 addresses only."`
}

// FailTransportFields is the Fail section of a transport.
type FailTransportFields struct {
	SMTPCode int `sconf:"optional" sconf-doc:"From 400 to 499 for a temporary error, after which delivery is tried again, from 500 to 599 for a permanent one. [554]"`

	SMTPMessage string `sconf:"optional" sconf-doc:"Text of the error, at most 255 characters of printable ASCII."`
}

// TransportKind is how a transport brings mail to where it goes.
type TransportKind int

// Kinds of transports.
const (
	TransportSubmissions TransportKind = iota
	TransportSubmission
	TransportSMTP
	TransportSocks
	TransportDirect
	TransportFail
)

// Transport is a way for mail to leave the queue. What is about other kinds is zero.
type Transport struct {
	Name string
	Kind TransportKind

	// For Submissions, Submission and SMTP.
	Host       dns.IPDomain
	Port       int
	SkipVerify bool // The certificate is not verified.
	NoTLS      bool
	Username   string // Empty for not logging in.
	Password   string
	Mechanisms []string // In order of preference, in upper case.

	// For Socks. Username and Password can be set too.
	Proxy     string // As host:port.
	RemoteIPs []netip.Addr
	Hostname  dns.Domain // For EHLO. Zero for that of the machine.

	// For Direct.
	NoIPv4, NoIPv6 bool

	Error *smtp.Error // For Fail.
}

// defaultTransportMechanisms are those of a transport that names none.
var defaultTransportMechanisms = []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "CRAM-MD5"}

// transports checks Transports.
func (c *checker) transports(s *Snapshot) {
	s.Transports = make(map[string]Transport, len(s.Static.Transports))
	for _, name := range slices.Sorted(maps.Keys(s.Static.Transports)) {
		field := join("Transports", name)
		if name == "" || len(name) > maxAccountName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			c.addf(field, "name of transport must be of printable ascii characters without space, at most %d", maxAccountName)
		}
		t := c.transport(field, s.Static.Transports[name])
		t.Name = name
		s.Transports[name] = t
	}
}

func (c *checker) transport(field string, f TransportFields) Transport {
	var t Transport
	n := 0
	kind := func(set bool, k TransportKind) bool {
		if set {
			t.Kind = k
			n++
		}
		return set
	}
	if kind(f.Submissions != nil, TransportSubmissions) {
		c.smtpTransport(field+".Submissions", f.Submissions, 465, &t)
	}
	if kind(f.Submission != nil, TransportSubmission) {
		c.smtpTransport(field+".Submission", f.Submission, 587, &t)
	}
	if kind(f.SMTP != nil, TransportSMTP) {
		c.smtpTransport(field+".SMTP", f.SMTP, 25, &t)
	}
	if kind(f.Socks != nil, TransportSocks) {
		c.socksTransport(field+".Socks", f.Socks, &t)
	}
	if kind(f.Direct != nil, TransportDirect) {
		t.NoIPv4, t.NoIPv6 = f.Direct.DisableIPv4, f.Direct.DisableIPv6
		if t.NoIPv4 && t.NoIPv6 {
			c.addf(field+".Direct", "only one of DisableIPv4 and DisableIPv6 can be set")
		}
	}
	if kind(f.Fail != nil, TransportFail) {
		c.failTransport(field+".Fail", f.Fail, &t)
	}
	if n != 1 {
		c.addf(field, "exactly one of Submissions, Submission, SMTP, Socks, Direct and Fail must be set")
	}
	return t
}

func (c *checker) smtpTransport(field string, f *SMTPTransportFields, port int, t *Transport) {
	if ip, err := netip.ParseAddr(f.Host); err == nil {
		t.Host.IP = ip.AsSlice()
	} else {
		t.Host.Domain = c.domain(field+".Host", f.Host)
	}
	if t.Port = f.Port; t.Port == 0 {
		t.Port = port
	}
	if t.Port < 0 || t.Port > 65535 {
		c.addf(field+".Port", "port %d is not possible", f.Port)
	}
	t.SkipVerify, t.NoTLS = f.STARTTLSInsecureSkipVerify, f.NoSTARTTLS
	if t.SkipVerify && t.NoTLS {
		c.addf(field+".NoSTARTTLS", "cannot be set together with STARTTLSInsecureSkipVerify")
	}
	if (t.SkipVerify || t.NoTLS) && t.Kind == TransportSubmissions {
		c.addf(field, "STARTTLSInsecureSkipVerify and NoSTARTTLS are not possible with TLS from the start")
	}
	if f.Auth == nil {
		return
	}
	t.Username, t.Password = f.Auth.Username, f.Auth.Password
	if t.Username == "" {
		c.addf(field+".Auth.Username", "user name is empty")
	}
	for i, m := range f.Auth.Mechanisms {
		f := fmt.Sprintf("%s.Auth.Mechanisms[%d]", field, i)
		switch {
		case m != "PLAIN" && !slices.Contains(defaultTransportMechanisms, m):
			c.addf(f, "unknown mechanism %q, use PLAIN or one of %s", m, strings.Join(defaultTransportMechanisms, ", "))
		case slices.Contains(t.Mechanisms, m):
			c.addf(f, "mechanism %q is listed twice", m)
		}
		t.Mechanisms = append(t.Mechanisms, m)
	}
	if len(f.Auth.Mechanisms) == 0 {
		t.Mechanisms = slices.Clone(defaultTransportMechanisms)
	}
}

func (c *checker) socksTransport(field string, f *SocksTransportFields, t *Transport) {
	host, port, ok := cutLast(f.Address, ":")
	if n, err := netip.ParseAddrPort("[::]:" + port); !ok || host == "" || err != nil || n.Port() == 0 {
		c.addf(field+".Address", "%q is not of the form host:port", f.Address)
	}
	t.Proxy, t.Username, t.Password = f.Address, f.Username, f.Password
	// RFC 1929 §2
	if len(f.Username) > 255 || len(f.Password) > 255 || (f.Username == "") != (f.Password == "") {
		c.addf(field+".Username", "user name and password must both have from 1 to 255 bytes, or none")
	}
	for i, text := range f.RemoteIPs {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			c.addf(fmt.Sprintf("%s.RemoteIPs[%d]", field, i), "%q is not an ip address", text)
			continue
		}
		t.RemoteIPs = append(t.RemoteIPs, ip)
	}
	if f.RemoteHostname != "" {
		t.Hostname = c.domain(field+".RemoteHostname", f.RemoteHostname)
	}
}

func (c *checker) failTransport(field string, f *FailTransportFields, t *Transport) {
	code, text := f.SMTPCode, f.SMTPMessage
	if code == 0 {
		code = smtp.C554TransactionFailed
	}
	if code < 400 || code > 599 {
		c.addf(field+".SMTPCode", "%d is not from 400 to 599", code)
	}
	c.replyText(field+".SMTPMessage", text)
	if text == "" {
		text = "delivery is disabled by the configuration"
	}
	t.Error = &smtp.Error{Code: code, Enhanced: fmt.Sprintf("%d.3.0", code/100), Text: text}
}
