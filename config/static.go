package config

import "time"

// Static is the content of mox.conf, field by field. Zero values of optional
// fields stand for the defaults in brackets in the documentation.
type Static struct {
	DataDir string `sconf-doc:"The format of this file: one field a line, as name, colon, space and value. What belongs to a field is indented below it with tabs. A line that starts with # is a comment. Values have no quotes and no escapes.\n\n\nDirectory for everything the server keeps: accounts with their mail, the queue, keys, and the socket for commands. A relative path starts at the directory of this file. It must be on a local file system, because locks and syncing are needed to keep mail safe."`

	LogLevel string `sconf-doc:"What is logged: error, warn, info, debug, trace, traceauth or tracedata. Each has what those before it have, too. From trace on, SMTP and IMAP conversations are logged; passwords in them only from traceauth on, messages only with tracedata."`

	PackageLogLevels map[string]string `sconf:"optional" sconf-doc:"Levels for parts of the server that differ from LogLevel, by name of the package, such as smtpserver, imapserver, queue or store."`

	User string `sconf:"optional" sconf-doc:"Name of the user that the server runs as when it is started as root, or a number that is used for user and group. Root only binds sockets and opens files with keys. With root, all is done as root: for containers that have no other user. [mox]"`

	NoFixPermissions bool `sconf:"optional" sconf-doc:"Leave owners and permissions of the directories of the configuration and of data as they are. Otherwise they are put right when the server is started as root: see Permissions in the documentation of operations."`

	Hostname string `sconf-doc:"Name of this machine, complete with its domain and in Unicode, as other mail servers know it."`

	CheckUpdates bool `sconf:"optional" sconf-doc:"Look once a day whether there is a newer version of this program, and deliver what has changed to the mailbox of the postmaster. Needs UpdateSource. Nothing is installed."`

	UpdateSource *UpdateSourceFields `sconf:"optional" sconf-doc:"Where new versions of this program are announced, for CheckUpdates and the command \"mox checkupdate\". Those who run these servers see the address of this one, and its version."`

	Pedantic bool `sconf:"optional" sconf-doc:"Refuse what breaks a protocol where the server would otherwise make the best of it. Shows what is wrong with a client that is being developed; real mail would be lost."`

	DNSResolver []string `sconf:"optional" sconf-doc:"DNS resolvers to ask, as ip:port, the first that answers is used. They must verify DNSSEC, and the network on the way to them must be safe: their word on what was verified is taken. If absent, the resolvers of the system are asked."`

	TLS TLSClientFields `sconf:"optional" sconf-doc:"TLS of connections to other servers."`

	MaxConnections int `sconf:"optional" sconf-doc:"How many connections may be open at the same time, for SMTP, for IMAP and for HTTP, over all listeners. Further ones are refused with a temporary error. Those from ExemptNetworks of a listener do not count. [2000] Negative: no limit."`

	DNSProviders map[string]DNS01Fields `sconf:"optional" sconf-doc:"Who has the DNS records of domains and takes changes of them, by a name of your choice. Domains in domains.conf say with DNSProvider which of them they use, so that their records can be written by mox config dnsrecords -write and mox config dkim rotate."`

	ACME map[string]ACMEFields `sconf:"optional" sconf-doc:"Authorities that make certificates by themselves, by a name of your choice, such as letsencrypt. TLS sections of listeners name the one that they use."`

	Listeners map[string]ListenerFields `sconf-doc:"Groups of IP addresses with the services on them, by a name of your choice, such as public and internal."`

	Postmaster PostmasterFields `sconf-doc:"Who gets the mail that a server must take: for postmaster without a domain or at the hostname, and for postmaster at a domain in which nobody has that address."`

	HostTLSRPT *HostTLSRPTFields `sconf:"optional" sconf-doc:"Who gets the reports of other servers about TLS connections to this machine (TLS reports). The address must also be in the TLSRPT record of the hostname, as rua."`

	NoOutgoingDMARCReports bool `sconf:"optional" sconf-doc:"Do not send reports about incoming mail (DMARC aggregate reports) to the domains that ask for them in DNS. Otherwise they are sent once a day, with numbers of messages by IP address and what DMARC said."`

	NoOutgoingTLSReports bool `sconf:"optional" sconf-doc:"Do not send reports about TLS connections for outgoing mail (TLS reports) to the domains that ask for them in DNS. Otherwise they are sent once a day if a connection failed. They need a domain with DKIM at or above Hostname."`

	OutgoingTLSReportsForAllSuccess bool `sconf:"optional" sconf-doc:"Send TLS reports also about days on which nothing failed, so that their receivers can see that they would get them."`

	InitialMailboxes InitialMailboxes `sconf:"optional" sconf-doc:"Mailboxes that a new account has besides Inbox. If absent: Sent, Archive, Trash, Drafts and Junk, each with the special use of that name."`

	QuotaMessageSize int64 `sconf:"optional" sconf-doc:"How large the messages of an account may be together, in bytes, where the account says nothing else. Databases need some 15 percent on top. Zero: no limit."`

	QuotaMessages int64 `sconf:"optional" sconf-doc:"How many messages an account may have, where the account says nothing else. Zero: no limit."`

	MinimumFreeSpace int64 `sconf:"optional" sconf-doc:"How many bytes stay free on the file system of DataDir. With less, new mail is refused for the time being; reading, flagging and deleting go on. [524288000, which is 500 MiB] Negative: no minimum."`

	UndeleteWindow time.Duration `sconf:"optional" sconf-doc:"For how long deleted messages stay on disk, so that they can be brought back. They do not count for quota. [168h, which is 7 days] Negative: they are removed as soon as no mail program shows them any more."`

	UndeleteSize int64 `sconf:"optional" sconf-doc:"How many bytes of deleted messages an account may keep; beyond it the oldest are removed early. [the quota of the account, or 1073741824, which is 1 GiB, without one]"`

	Transports map[string]TransportFields `sconf:"optional" sconf-doc:"Ways for mail to leave the queue other than direct delivery, by a name of your choice. Routes in domains.conf say which mail is for them."`

	QueueRetryPeriod time.Duration `sconf:"optional" sconf-doc:"For how long delivery of a message is tried when it fails temporarily, at most 120h. The second attempt is after 7.5 minutes, and each further time is double the one before, up to 8 hours; senders are told of the delay after the fifth attempt, and of the failure after the last. [16h, which makes 8 attempts]"`

	QueueConcurrency int `sconf:"optional" sconf-doc:"How many deliveries are made at the same time. At most 1000. [20]"`

	QueueDomainConcurrency int `sconf:"optional" sconf-doc:"How many deliveries to one domain are made at the same time. [3]"`

	KeepTracePeriod time.Duration `sconf:"optional" sconf-doc:"For how long it is kept what became of each message, for the command \"mox trace\": addresses, Message-ID, servers, replies and reasons, nothing of the content. From 1h to 8784h. [336h, which is 14 days] Negative: nothing is kept."`
}

// ListenerFields is one element of Listeners in mox.conf.
type ListenerFields struct {
	IPs []string `sconf-doc:"Addresses to listen on. 0.0.0.0 stands for all addresses of IPv4, :: for all of IPv6."`

	NATIPs []string `sconf:"optional" sconf-doc:"Addresses at which others reach IPs, where there is address translation (NAT) in between."`

	Hostname string `sconf:"optional" sconf-doc:"Name of the listener, instead of that of the machine."`

	TLS *TLSFields `sconf:"optional" sconf-doc:"Keys and certificates for TLS, with STARTTLS and from the start of a connection."`

	SMTPMaxMessageSize int64 `sconf:"optional" sconf-doc:"Size in bytes of the largest message that is taken. [104857600, which is 100 MiB]"`

	ProxyProtocol *ProxyProtocolFields `sconf:"optional" sconf-doc:"Proxies in front of this listener that tell with the PROXY protocol, version 1 or 2, who the client is. For SMTP, IMAP and HTTP, but not for MetricsHTTP and PprofHTTP."`

	ForwardedNetworks []string `sconf:"optional" sconf-doc:"IP addresses and networks (e.g. 192.0.2.0/24) of reverse proxies for HTTP. What they say in X-Forwarded-For is believed on ports that have Forwarded: the last address there that is not one of these is the client. [127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7]"`

	Limits LimitsFields `sconf:"optional" sconf-doc:"What a remote IP address may do. Networks around it, /26 and /21 for IPv4 and /48 and /32 for IPv6 (where /64 counts as one address), may do 3 and 9 times as much. Reaching a limit makes connections fail with a temporary error. Negative: no limit."`

	SMTP struct {
		Enabled         bool
		Port            int  `sconf:"optional" sconf-doc:"[25]"`
		NoSTARTTLS      bool `sconf:"optional" sconf-doc:"Do not offer STARTTLS, so that all mail comes without encryption."`
		RequireSTARTTLS bool `sconf:"optional" sconf-doc:"Take mail with TLS only. Servers that cannot use it will not be able to deliver."`
		NoRequireTLS    bool `sconf:"optional" sconf-doc:"Do not offer REQUIRETLS, with which senders ask that a message is never sent without TLS."`

		TLSSessionTicketsDisabled *bool `sconf:"optional" sconf-doc:"Do without session tickets, which make further TLS connections of a client cheaper. Servers of Microsoft are known to fail with them. [true]"`

		DNSBLs []string `sconf:"optional" sconf-doc:"Lists of IP addresses that spam came from, as zones in DNS, such as sbl.spamhaus.org. Mail from an address on one of them is refused if nothing good is known about the sender. Their operators see who sends mail here, and have rules about who may ask."`

		FirstTimeSenderDelay *time.Duration `sconf:"optional" sconf-doc:"How long a sender that is not known yet waits for the answer when its message is taken, which those who send to many do not like. 0s: no delay. [15s]"`
	} `sconf:"optional" sconf-doc:"Mail from other mail servers."`

	LMTP struct {
		Enabled bool
		Socket  string `sconf-doc:"Path of the unix socket. A relative path starts at the directory of this file. Who may write to it is a matter of the permissions of its directory: the socket itself is for the user and group of the server. A socket that is left over is replaced."`
	} `sconf:"optional" sconf-doc:"Mail that another mail server on this machine hands over, with a protocol for just that. It is not asked who it is, and has no limits on what it sends."`

	Submission struct {
		Enabled           bool
		Port              int  `sconf:"optional" sconf-doc:"[587]"`
		NoRequireSTARTTLS bool `sconf:"optional" sconf-doc:"Let users log in without TLS, so that others on the network can read their passwords."`
	} `sconf:"optional" sconf-doc:"Mail of users, who must log in. A connection starts without TLS and changes to it with STARTTLS. Submissions is better."`

	Submissions struct {
		Enabled        bool
		Port           int  `sconf:"optional" sconf-doc:"[465]"`
		EnabledOnHTTPS bool `sconf:"optional" sconf-doc:"Also on the ports of this listener for HTTPS, or 443 if there is none, for clients that ask for \"smtp\" in the TLS handshake (ALPN), where other ports are blocked on the way."`
	} `sconf:"optional" sconf-doc:"Mail of users, who must log in, with TLS from the start. Needs a TLS section."`

	IMAP struct {
		Enabled           bool
		Port              int  `sconf:"optional" sconf-doc:"[143]"`
		NoRequireSTARTTLS bool `sconf:"optional" sconf-doc:"Let users log in without TLS, so that others on the network can read their passwords."`
	} `sconf:"optional" sconf-doc:"Reading mail. A connection starts without TLS and changes to it with STARTTLS. IMAPS is better."`

	IMAPS struct {
		Enabled        bool
		Port           int  `sconf:"optional" sconf-doc:"[993]"`
		EnabledOnHTTPS bool `sconf:"optional" sconf-doc:"Also on the ports of this listener for HTTPS, or 443 if there is none, for clients that ask for \"imap\" in the TLS handshake (ALPN), where other ports are blocked on the way."`
	} `sconf:"optional" sconf-doc:"Reading mail, with TLS from the start. Needs a TLS section."`

	MetricsHTTP struct {
		Enabled bool
		Port    int `sconf:"optional" sconf-doc:"[8010]"`
	} `sconf:"optional" sconf-doc:"Counters for monitoring with Prometheus, at /metrics, and at /healthz whether the server works, with status 200 or 503. Everyone who can connect can read them: not for a public address. The port is for nothing else."`

	PprofHTTP struct {
		Enabled bool
		Port    int `sconf:"optional" sconf-doc:"[8011]"`
	} `sconf:"optional" sconf-doc:"Profiles of the running program, for its developers, at /debug/pprof/. Everyone who can connect can read them, and they tell more than counters do: not for a public address. The port is for nothing else."`

	AutoconfigHTTPS ClientHTTPSFields `sconf:"optional" sconf-doc:"Settings for mail programs, which they ask for at autoconfig.<domain> for each of Domains, so that users need to know no more than address and password."`

	MTASTSHTTPS ClientHTTPSFields `sconf:"optional" sconf-doc:"Policies for other mail servers about TLS (MTA-STS), at mta-sts.<domain> for Domains with a section MTASTS."`

	WebserverHTTP WebserverFields `sconf:"optional" sconf-doc:"WebHandlers and WebDomainRedirects of domains.conf, without TLS. An authority in ACME can look here to see that a name is ours, on port 80."`

	WebserverHTTPS WebserverFields `sconf:"optional" sconf-doc:"WebHandlers and WebDomainRedirects of domains.conf, with TLS. With ACME there are certificates for their domains."`
}

// TLSFields is the TLS section of a listener in mox.conf.
type TLSFields struct {
	ACME string `sconf:"optional" sconf-doc:"Authority that certificates for the hostname of the listener come from, by its name in ACME. The server requests them at start, and renews them in time. For that it must be reachable from the authority, see Port and DNS01 there. Not together with KeyCerts."`

	KeyCerts []KeyCertFields `sconf:"optional" sconf-doc:"Keys and certificates, in files in PEM format. A relative path starts at the directory of this file. A client that asks for a name that no certificate has gets the first one. Files that change are read again within seconds."`

	HostPrivateKeyFiles []string `sconf:"optional" sconf-doc:"Private keys of the hostname, RSA with 2048 bits or ECDSA with P-256, as PKCS #8, PKCS #1 or EC key in PEM format. Certificates from ACME are for these keys: there is one for each. Records for DANE (TLSA) are about a key, so they stay right when a certificate is renewed. If absent, each certificate has a new key. A relative path starts at the directory of this file."`

	ClientAuthDisabled bool `sconf:"optional" sconf-doc:"Do not ask users for a client certificate, with which they can log in instead of a password (see mox config tlspubkey). Some mail programs ask their users which certificate to use, although none is needed."`

	MinVersion string `sconf:"optional" sconf-doc:"Lowest version of TLS: TLSv1.0, TLSv1.1, TLSv1.2 or TLSv1.3. [TLSv1.2]"`
}

// KeyCertFields is one certificate of a listener in mox.conf.
type KeyCertFields struct {
	CertFile string `sconf-doc:"Certificate, followed by those of intermediate authorities."`
	KeyFile  string `sconf-doc:"Private key of the certificate, as PKCS #8, PKCS #1 or EC key."`
}

// ProxyProtocolFields is the ProxyProtocol section of a listener in mox.conf.
type ProxyProtocolFields struct {
	Networks []string `sconf-doc:"IP addresses and networks (e.g. 192.0.2.0/24) of the proxies. Connections from there must begin with a header of the PROXY protocol; the address in it counts as that of the client everywhere, also for Limits. Connections from elsewhere are taken as they are, and cannot claim to be from another address."`
}

// LimitsFields is the Limits section of a listener in mox.conf.
type LimitsFields struct {
	ConnectionsPerMinute     int      `sconf:"optional" sconf-doc:"New connections per minute, for each protocol. [300]"`
	OpenConnections          int      `sconf:"optional" sconf-doc:"Connections open at the same time, for each protocol. [30]"`
	AuthFailuresPerMinute    int      `sconf:"optional" sconf-doc:"Failed logins per minute, for all protocols of the listener together. [10]"`
	AuthFailuresPerDay       int      `sconf:"optional" sconf-doc:"Failed logins per day, for all protocols of the listener together. [50]"`
	UnknownRecipientsPerHour int      `sconf:"optional" sconf-doc:"Recipients that do not exist and that mail was tried for, per hour. Beyond, a connection ends at the next one: it is how addresses are guessed. [100]"`
	ExemptNetworks           []string `sconf:"optional" sconf-doc:"IP addresses and networks (e.g. 192.0.2.0/24) that these limits are not for, such as those of monitoring or of a webmail server that logs in for many people."`
}

// PostmasterFields is the Postmaster section of mox.conf.
type PostmasterFields struct {
	Account string `sconf-doc:"Name of an account in domains.conf."`
	Mailbox string `sconf-doc:"Mailbox in that account, such as Postmaster. It is created when missing."`
}

// HostTLSRPTFields is the HostTLSRPT section in mox.conf.
type HostTLSRPTFields struct {
	Account   string `sconf-doc:"Name of an account in domains.conf."`
	Mailbox   string `sconf-doc:"Mailbox in that account, such as TLSRPT. It is created when missing."`
	Localpart string `sconf-doc:"Localpart of the address at the hostname, in ASCII, such as tlsreports."`
}

// InitialMailboxes says which mailboxes a new account gets.
type InitialMailboxes struct {
	SpecialUse SpecialUseMailboxes `sconf:"optional" sconf-doc:"Mailboxes with a special use, which mail programs recognise under any name."`
	Regular    []string            `sconf:"optional" sconf-doc:"Mailboxes without a special use."`
}

// SpecialUseMailboxes names the mailbox for each special use (RFC 6154 §2); an
// empty name means no such mailbox.
type SpecialUseMailboxes struct {
	Sent    string `sconf:"optional"`
	Archive string `sconf:"optional"`
	Trash   string `sconf:"optional"`
	Draft   string `sconf:"optional"`
	Junk    string `sconf:"optional"`
}
