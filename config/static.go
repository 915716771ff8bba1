package config

// Static is the content of mox.conf, field by field. Zero values of optional
// fields stand for the defaults in brackets in the documentation.
type Static struct {
	DataDir string `sconf-doc:"NOTE: This config file is in 'sconf' format. Indent with tabs. Comments must be on their own line, they don't end a line. Do not escape or quote strings. Details: https://pkg.go.dev/github.com/mjl-/sconf.\n\n\nDirectory where all data is stored: accounts with their messages, the queue, and the socket that commands use to talk to the running server. If relative, it is relative to the directory of mox.conf. It must be on a local file system."`

	LogLevel string `sconf-doc:"Default log level, one of: error, info, debug, trace, traceauth, tracedata. Trace logs SMTP and IMAP transcripts, with traceauth also messages with login credentials, and tracedata on top of that also the full data exchanges (full messages), which can be a large amount of data."`

	PackageLogLevels map[string]string `sconf:"optional" sconf-doc:"Overrides of log level per package (e.g. queue, smtpclient, smtpserver, imapserver, store)."`

	Hostname string `sconf-doc:"Full hostname of system, e.g. mail.<domain>, in Unicode."`

	Pedantic bool `sconf:"optional" sconf-doc:"If enabled, a violation of a protocol by a client or remote server becomes an error where it is otherwise worked around. Useful for finding out what is wrong with a client, and not for production."`

	DNSResolver []string `sconf:"optional" sconf-doc:"Addresses of recursive DNS resolvers to use, as ip:port, tried in order. They must verify DNSSEC, and the network up to them must be trusted, because what they say about DNSSEC is believed. If absent, those configured on the system are used."`

	Listeners map[string]ListenerFields `sconf-doc:"Listeners are groups of IP addresses and services enabled on those IP addresses, such as SMTP and IMAP. Each has a name, such as 'public' or 'internal'."`

	Postmaster PostmasterFields `sconf-doc:"Destination for mail that must always be accepted: for postmaster without a domain, for postmaster at the hostname, and for postmaster at each domain without such an address of its own."`

	InitialMailboxes InitialMailboxes `sconf:"optional" sconf-doc:"Mailboxes to create for new accounts. Inbox is always created. Mailboxes can be given a 'special-use' role, which are understood by most mail clients. If absent, the following mailboxes are created: Sent, Archive, Trash, Drafts and Junk."`

	QuotaMessageSize int64 `sconf:"optional" sconf-doc:"Default maximum total size in bytes of the messages of an account, for accounts without a maximum of their own. Databases come on top of that, roughly 15%. Zero or absent: no maximum."`

	MinimumFreeSpace int64 `sconf:"optional" sconf-doc:"Bytes that must stay free on the file system with the data directory. When less is free, new mail is refused with temporary errors while reading, flagging and removing messages goes on. [524288000, which is 500 MiB] Negative: no minimum."`
}

// ListenerFields is one element of Listeners in mox.conf.
type ListenerFields struct {
	IPs []string `sconf-doc:"IP addresses to listen on. Use 0.0.0.0 to listen on all IPv4 and/or :: to listen on all IPv6 addresses."`

	Hostname string `sconf:"optional" sconf-doc:"If empty, the config global Hostname is used."`

	TLS *TLSFields `sconf:"optional" sconf-doc:"For SMTP and IMAP, both with STARTTLS and with immediate TLS."`

	SMTPMaxMessageSize int64 `sconf:"optional" sconf-doc:"Maximum size in bytes for incoming and outgoing messages. [104857600, which is 100 MiB]"`

	Limits LimitsFields `sconf:"optional" sconf-doc:"What a remote IP address may do. Networks around it, /26 and /21 for IPv4 and /48 and /32 for IPv6 (where /64 counts as one address), may do 3 and 9 times as much. Reaching a limit makes connections fail with a temporary error. Negative: no limit."`

	SMTP struct {
		Enabled         bool
		Port            int  `sconf:"optional" sconf-doc:"[25]"`
		NoSTARTTLS      bool `sconf:"optional" sconf-doc:"Do not offer STARTTLS to secure the connection. Not recommended."`
		RequireSTARTTLS bool `sconf:"optional" sconf-doc:"Do not accept incoming messages if STARTTLS is not active. A remote SMTP server may not support TLS and may not be able to deliver messages."`
	} `sconf:"optional" sconf-doc:"Receiving mail from other mail servers."`

	Submission struct {
		Enabled           bool
		Port              int  `sconf:"optional" sconf-doc:"[587]"`
		NoRequireSTARTTLS bool `sconf:"optional" sconf-doc:"Do not require STARTTLS before login and mail. Since users must log in, this means passwords may be sent without encryption. Not recommended."`
	} `sconf:"optional" sconf-doc:"SMTP for submitting email, e.g. by email applications. Starts out in plain text, can be upgraded to TLS with the STARTTLS command. Prefer using Submissions which is always a TLS connection."`

	Submissions struct {
		Enabled bool
		Port    int `sconf:"optional" sconf-doc:"[465]"`
	} `sconf:"optional" sconf-doc:"SMTP over TLS for submitting email, by email applications. Requires a TLS config."`

	IMAP struct {
		Enabled           bool
		Port              int  `sconf:"optional" sconf-doc:"[143]"`
		NoRequireSTARTTLS bool `sconf:"optional" sconf-doc:"Do not require STARTTLS before login. Passwords may then be sent without encryption. Not recommended."`
	} `sconf:"optional" sconf-doc:"IMAP for reading email, by email applications. Starts out in plain text, can be upgraded to TLS with the STARTTLS command. Prefer using IMAPS instead which is always a TLS connection."`

	IMAPS struct {
		Enabled bool
		Port    int `sconf:"optional" sconf-doc:"[993]"`
	} `sconf:"optional" sconf-doc:"IMAP over TLS for reading email, by email applications. Requires a TLS config."`

	MetricsHTTP struct {
		Enabled bool
		Port    int `sconf:"optional" sconf-doc:"[8010]"`
	} `sconf:"optional" sconf-doc:"Serve prometheus metrics, for monitoring, at /metrics. There is no login: do not enable this on a public IP."`
}

// TLSFields is the TLS section of a listener in mox.conf.
type TLSFields struct {
	KeyCerts []KeyCertFields `sconf-doc:"Keys and certificates to use for this listener. The files must be in PEM format. If relative, they are relative to the directory of mox.conf. The first certificate is used for clients that ask for a name that no certificate has. Changed files are noticed and used for new connections."`

	MinVersion string `sconf:"optional" sconf-doc:"Minimum TLS version, one of: TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3. [TLSv1.2]"`
}

// KeyCertFields is one certificate of a listener in mox.conf.
type KeyCertFields struct {
	CertFile string `sconf-doc:"Certificate including intermediate CA certificates, in PEM format."`
	KeyFile  string `sconf-doc:"Private key for the certificate, in PEM format. PKCS8 is recommended, but PKCS1 and EC private keys are recognized as well."`
}

// LimitsFields is the Limits section of a listener in mox.conf.
type LimitsFields struct {
	ConnectionsPerMinute  int      `sconf:"optional" sconf-doc:"New connections per minute, for each protocol. [300]"`
	OpenConnections       int      `sconf:"optional" sconf-doc:"Connections open at the same time, for each protocol. [30]"`
	AuthFailuresPerMinute int      `sconf:"optional" sconf-doc:"Failed logins per minute, for all protocols of the listener together. [10]"`
	AuthFailuresPerDay    int      `sconf:"optional" sconf-doc:"Failed logins per day, for all protocols of the listener together. [50]"`
	ExemptNetworks        []string `sconf:"optional" sconf-doc:"IP addresses and networks (e.g. 192.0.2.0/24) that these limits are not for, such as those of monitoring or of a webmail server that logs in for many people."`
}

// PostmasterFields is the Postmaster section of mox.conf.
type PostmasterFields struct {
	Account string `sconf-doc:"Name of an account in domains.conf."`
	Mailbox string `sconf-doc:"E.g. Postmaster or Inbox."`
}

// InitialMailboxes says which mailboxes a new account gets.
type InitialMailboxes struct {
	SpecialUse SpecialUseMailboxes `sconf:"optional" sconf-doc:"Special-use roles to mailbox to create."`
	Regular    []string            `sconf:"optional" sconf-doc:"Regular, non-special-use mailboxes to create."`
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
