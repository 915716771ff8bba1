package config

import (
	"log/slog"
	"net/netip"
	"time"

	"mox/dkim"
	"mox/dns"
	"mox/internal/ratelimit"
	"mox/internal/safefile"
	"mox/smtp"
)

// Defaults of optional fields.
const (
	DefaultMaxMessageSize         = 100 << 20
	DefaultMinimumFreeSpace       = safefile.DefaultFloor
	DefaultMaxOutgoingPerDay      = 1000
	DefaultMaxFirstTimeRcptPerDay = 200
	DefaultConnectionsPerMinute   = ratelimit.ConnectionsPerMinute
	DefaultOpenConnections        = ratelimit.OpenConnections
	DefaultAuthFailuresPerMinute  = ratelimit.AuthFailuresPerMinute
	DefaultAuthFailuresPerDay     = ratelimit.AuthFailuresPerDay

	// DefaultUnknownRecipientsPerHour is far more than what old address lists lead to.
	DefaultUnknownRecipientsPerHour = 100

	// DefaultMaxConnections is for SMTP and IMAP each. That many SMTP clients, each with
	// half a message, make the server use some 220 MB of memory, so that 512 MB are
	// enough for all else too.
	DefaultMaxConnections = 2000

	DefaultFirstTimeSenderDelay = 15 * time.Second
	DefaultJunkThreshold        = 0.95
)

// Snapshot is a configuration that has been checked as a whole. It is never
// changed: what a caller gets from it must not be changed either.
type Snapshot struct {
	// Static and Dynamic are the files as they were written, without defaults.
	Static  Static
	Dynamic Dynamic

	Path             string // Of mox.conf; empty if not from a file. domains.conf is next to it.
	DataDir          string // Absolute if Path is.
	Level            slog.Level
	PackageLevels    map[string]slog.Level
	Hostname         dns.Domain
	Pedantic         bool
	Resolvers        []netip.AddrPort // Empty: those of the system.
	Authorities      *Authorities     // Trusted when connecting to others. Nil: those of the system.
	MinimumFreeSpace int64            // In bytes; negative for no minimum.
	MaxConnections   int              // For SMTP and IMAP each; negative for no limit.
	UndeleteWindow   time.Duration    // Zero for the default of the store, negative for none.
	UndeleteSize     int64            // In bytes; zero for the quota, or the default of the store.
	ACME             map[string]ACME  // By name.
	DNSProviders     map[string]DNS01 // By name.
	Listeners        []Listener       // By name.
	Transports       map[string]Transport
	Routes           []Route // For all mail that other routes do not match.
	MonitorDNSBLs    []dns.Domain

	WebDomainRedirects map[dns.Domain]dns.Domain // With HTTPS, to the domain that is the value.
	WebHandlers        []WebHandler              // The first that matches is for a request.

	QueueRetryPeriod       time.Duration
	QueueConcurrency       int
	QueueDomainConcurrency int

	UpdateSource *UpdateSource // Nil for none.

	KeepTracePeriod time.Duration // Zero for the default of internal/tracedb, negative for none.

	InitialMailboxes InitialMailboxes // With defaults; names in the form in which they are stored.

	static     *outline                          // Of mox.conf. Nil if not from a file.
	readKey    func(path string) ([]byte, error) // See [Options].
	postmaster Recipient

	quota, quotaMessages int64 // Defaults for accounts, 0 for none.

	tlsrpt    *Recipient          // For TLS reports about this host, or nil.
	hostnames map[dns.Domain]bool // For which postmaster is always taken: ours, and of listeners with SMTP.
	domains   map[dns.Domain]Domain
	accounts  map[string]Account
	addresses map[address]Recipient
	crammd5   bool

	certHosts map[string][]dns.Domain    // By authority.
	certNames map[string]map[string]bool // The same, in ASCII, and with false, names for which one is requested on demand.

	clientDomains map[dns.Domain]bool // For settings of mail programs.
}

// address is a key: a canonical localpart, empty for the catchall of a domain.
type address struct {
	localpart smtp.Localpart
	domain    dns.Domain
}

// Listener is a group of IP addresses and the services on them, with defaults
// filled in.
type Listener struct {
	Name           string
	IPs            []netip.Addr
	NATIPs         []netip.Addr // At which others reach IPs.
	Hostname       dns.Domain
	TLS            *TLS // Nil without.
	MaxMessageSize int64
	Proxies        []netip.Prefix // That speak the PROXY protocol.
	Limits         Limits

	SMTP        SMTPService
	LMTP        string // Path of the socket, empty for none.
	Submission  PlainService
	Submissions TLSService
	IMAP        PlainService
	IMAPS       TLSService
	MetricsHTTP HTTPService
	PprofHTTP   HTTPService

	AutoconfigHTTPS ClientHTTPS
	MTASTSHTTPS     ClientHTTPS
	WebserverHTTP   Webserver
	WebserverHTTPS  Webserver

	// ForwardedNetworks are those of reverse proxies for HTTP.
	ForwardedNetworks []netip.Prefix

	// ACMEPort is where an authority connects to with TLS, to see that the hostname is
	// ours. Zero if none does.
	ACMEPort int
}

// SMTPService is SMTP between mail servers.
type SMTPService struct {
	Enabled         bool
	Port            int
	NoSTARTTLS      bool // STARTTLS is not offered.
	RequireSTARTTLS bool // Mail is not taken without it.
	NoRequireTLS    bool // REQUIRETLS is not offered.
	SessionTickets  bool // Of TLS.

	DNSBLs               []dns.Domain
	FirstTimeSenderDelay time.Duration // Zero for none.
}

// PlainService starts without TLS and is for users, who must log in.
type PlainService struct {
	Enabled           bool
	Port              int
	NoRequireSTARTTLS bool // Logging in without TLS is possible.
}

// TLSService is for users and starts with TLS.
type TLSService struct {
	Enabled        bool
	Port           int
	EnabledOnHTTPS bool // Also on ports for HTTPS, with ALPN.
}

// HTTPService is HTTP without TLS.
type HTTPService struct {
	Enabled bool
	Port    int
}

// TLS is what a listener needs for TLS connections.
type TLS struct {
	MinVersion uint16 // tls.VersionTLS12 and so on.
	ACME       string // Name of the authority that certificates come from, or empty.
	KeyCerts   []KeyCert
	ClientAuth bool // Users are asked for a client certificate.

	// HostKeyFiles have the keys that certificates from ACME are for. See [ReadHostKey].
	HostKeyFiles []string
}

// KeyCert is a certificate and its private key, in PEM files.
type KeyCert struct {
	CertFile, KeyFile string
}

// Limits is what a remote address may do at a listener. A negative number is no
// limit; zero does not occur.
type Limits struct {
	ConnectionsPerMinute     int
	OpenConnections          int
	AuthFailuresPerMinute    int
	AuthFailuresPerDay       int
	UnknownRecipientsPerHour int
	Exempt                   []netip.Prefix // Networks the limits are not for.
}

// Domain is a domain that mail is accepted for.
type Domain struct {
	Domain               dns.Domain
	Disabled             bool
	Description          string
	ClientSettingsDomain dns.Domain // That mail programs connect to. Zero: the hostname of the listener.

	Separators    []string // Of localparts: what follows one is not part of the address.
	CaseSensitive bool     // Whether upper and lower case of localparts differ.

	// Selectors are the keys for DKIM, by name as in the file, and Sign those to sign
	// messages of the domain with.
	Selectors map[string]dkim.Selector
	Sign      []dkim.Selector

	// ReportsOnly: the domain has no addresses but those for reports, of which at
	// least one is for another domain or at another domain. For all other mail it is
	// as if the domain was not configured.
	ReportsOnly   bool
	DMARC, TLSRPT *ReportAddress            // Where reports about this domain go. Nil for nowhere.
	Routes        []Route                   // For mail with senders in the domain.
	Aliases       map[smtp.Localpart]*Alias // By canonical localpart.
	MTASTS        *MTASTS                   // Policy that we serve. Nil for none.
}

// Account is an account with defaults filled in.
type Account struct {
	Name          string
	Domain        dns.Domain // Default for addresses that are made up.
	Description   string
	LoginDisabled string // Text for who tries to log in; empty if logging in is possible.
	Destinations  map[string]Destination

	RejectsMailbox string // For copies of refused messages; empty for none.
	KeepRejects    bool   // The copies stay.
	Introbox       string // For mail to Inbox of strangers; empty for none.

	JunkToMailbox      bool        // Junk is delivered, to the mailbox for junk, and not refused.
	JunkFilter         *JunkFilter // Nil if content does not count.
	AutomaticJunkFlags AutomaticJunkFlags

	SubjectPassPeriod      time.Duration // Zero for none.
	NoFirstTimeSenderDelay bool
	TrustedForwarders      []dns.Domain // Whose ARC seals are believed.

	QuotaMessageSize int64 // In bytes; 0 for none.
	QuotaMessages    int64 // Number of messages; 0 for none.

	UndeleteWindow time.Duration            // Zero for that of the server, negative for none.
	UndeleteSize   int64                    // In bytes; zero for that of the server.
	Retention      map[string]time.Duration // How old messages in mailboxes get, by name.

	MaxOutgoingMessagesPerDay    int
	MaxFirstTimeRecipientsPerDay int
	Routes                       []Route
	KeepRetiredMessagePeriod     time.Duration  // History of sent messages. Zero for none.
	FromIDLogins                 []smtp.Address // Canonical. Who logs in with one gets a sender with an id.
	CRAMMD5                      bool           // Logging in with CRAM-MD5 is possible.
}

// Destination is where mail for an address goes.
type Destination struct {
	Mailbox   string      // In the form in which mailbox names are stored.
	SMTPError *smtp.Error // If not nil, mail is refused with it.
	Rulesets  []Ruleset   // The first that matches counts.

	// ForwardTo are addresses elsewhere that mail is forwarded to, and ForwardOnly says
	// that no copy is kept here.
	ForwardTo   []smtp.Address
	ForwardOnly bool

	// MessageAuthRequired, if not nil, is the error for messages whose From address
	// was not proven.
	MessageAuthRequired *smtp.Error
}

// Account returns an account by name.
func (s *Snapshot) Account(name string) (Account, bool) {
	a, ok := s.accounts[name]
	return a, ok
}

// Accounts returns the number of accounts.
func (s *Snapshot) Accounts() int {
	return len(s.accounts)
}

// Domain returns a domain that mail is accepted for.
func (s *Snapshot) Domain(d dns.Domain) (Domain, bool) {
	dom, ok := s.domains[d]
	return dom, ok
}

// AnyCRAMMD5 reports whether an account has opted in to CRAM-MD5.
func (s *Snapshot) AnyCRAMMD5() bool {
	return s.crammd5
}

// Postmaster returns where mail for the postmaster goes.
func (s *Snapshot) Postmaster() Recipient {
	return s.postmaster
}
