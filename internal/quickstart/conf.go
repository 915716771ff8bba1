package quickstart

import (
	"net/netip"

	"mox/config"
	"mox/internal/admin"
)

// Names in the configuration.
const (
	publicListener   = "public"
	internalListener = "internal"
	letsEncryptName  = "letsencrypt"
	otherACMEName    = "acme"

	postmasterMailbox = "Postmaster"
	tlsrptMailbox     = "TLSRPT"
	tlsrptLocalpart   = "tlsreports"

	// forwardedPort is where an existing web server forwards requests to.
	forwardedPort = 81
)

// account returns the name of the account.
func (q *quickstart) account() string { return q.addr.Localpart.String() }

// static returns mox.conf. Keys are the files of keys for the hostname, of which there may
// be none.
func (q *quickstart) static(keys []string) config.Static {
	s := config.Static{
		DataDir:     "../" + dataName,
		LogLevel:    "debug",
		Hostname:    q.net.hostname.Name(),
		DNSResolver: q.opts.DNSServers,
		Listeners: map[string]config.ListenerFields{
			publicListener:   q.publicListener(keys),
			internalListener: q.internalListener(),
		},
		Postmaster: config.PostmasterFields{Account: q.account(), Mailbox: postmasterMailbox},
		HostTLSRPT: &config.HostTLSRPTFields{Account: q.account(), Mailbox: tlsrptMailbox, Localpart: tlsrptLocalpart},
	}
	if q.opts.User != DefaultUser {
		s.User = q.opts.User
	}
	if q.opts.CAFile != "" {
		s.TLS.CA = &config.CAFields{AdditionalToSystem: true, CertFiles: []string{caName}}
	}
	if !q.opts.ExistingWebserver {
		contact := "postmaster@" + q.addr.Domain.Name()
		if !q.addr.Localpart.IsInternational() {
			contact = q.addr.String()
		}
		s.ACME = map[string]config.ACMEFields{q.acmeName(): {DirectoryURL: q.opts.ACMEDirectory, ContactEmail: contact}}
	}
	return s
}

func (q *quickstart) acmeName() string {
	if q.opts.ACMEDirectory == LetsEncrypt {
		return letsEncryptName
	}
	return otherACMEName
}

// publicListener has the services for the world.
func (q *quickstart) publicListener(keys []string) config.ListenerFields {
	l := config.ListenerFields{IPs: texts(q.net.listen), NATIPs: texts(q.net.nat)}
	if len(q.opts.Proxies) > 0 {
		l.ProxyProtocol = &config.ProxyProtocolFields{Networks: texts(q.opts.Proxies)}
	}
	l.SMTP.Enabled = true
	l.Submissions.Enabled = true
	l.IMAPS.Enabled = true
	if q.opts.ExistingWebserver {
		l.TLS = &config.TLSFields{KeyCerts: []config.KeyCertFields{{CertFile: certName, KeyFile: keyName}}}
		return l
	}
	l.TLS = &config.TLSFields{ACME: q.acmeName(), HostPrivateKeyFiles: keys}
	l.AutoconfigHTTPS.Enabled = true
	l.MTASTSHTTPS.Enabled = true
	l.WebserverHTTP.Enabled = true
	l.WebserverHTTPS.Enabled = true
	return l
}

// internalListener has the services for this machine, among them those that an existing
// web server forwards requests to.
func (q *quickstart) internalListener() config.ListenerFields {
	ips := q.loopback
	if len(ips) == 0 {
		ips = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	l := config.ListenerFields{IPs: texts(ips), Hostname: "localhost"}
	l.MetricsHTTP.Enabled = true
	if q.opts.ExistingWebserver {
		web := config.ClientHTTPSFields{Enabled: true, Port: forwardedPort, NonTLS: true, Forwarded: true}
		l.AutoconfigHTTPS, l.MTASTSHTTPS = web, web
		l.WebserverHTTP = config.WebserverFields{Enabled: true, Port: forwardedPort}
	}
	return l
}

// dynamic returns domains.conf. DKIM has the keys for signatures.
func (q *quickstart) dynamic(dkim *config.DKIMFields) config.Dynamic {
	return config.Dynamic{
		Domains: map[string]config.DomainFields{
			q.addr.Domain.Name(): admin.DomainFields(q.addr.Domain, q.net.hostname, dkim, q.account(), true, q.opts.Now()),
		},
		Accounts:      map[string]config.AccountFields{q.account(): config.NewAccount(q.addr)},
		MonitorDNSBLs: blocklists[:],
	}
}

// texts returns values as they are in the configuration.
func texts[T interface{ String() string }](l []T) []string {
	s := make([]string, 0, len(l))
	for _, v := range l {
		s = append(s, v.String())
	}
	return s
}

// names of files and directories.
const (
	dataName = "data"
	logName  = "quickstart.log"
	keysName = "hostkeys"
	caName   = "ca.pem"
	certName = "tls/cert.pem"
	keyName  = "tls/key.pem"
)
