package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/certs"
	"mox/internal/safefile"
	"mox/smtp"
	"mox/smtpserver"
)

// What a server for trying things out has.
const (
	LocalserveAddress  = smtpserver.LocalserveAccount + "@localhost"
	LocalservePassword = "moxmoxmox"
	// LocalservePortBase is added to the usual port of a service.
	LocalservePortBase = 1000
	// LocalserveCert is the name of the file with the certificate, for clients to
	// verify with.
	LocalserveCert = "localhost.crt"
	// LocalserveFiles is the path at which the files of the directory are that it was started in.
	LocalserveFiles = "/workdir/"

	localserveKey      = "localhost.key"
	localserveListener = "local"
	localserveValidity = 4 * 365 * 24 * time.Hour
)

// localservePorts are the usual ports of the services, by name of the service.
var localservePorts = map[string]int{
	"SMTP":        25,
	"Submission":  587,
	"Submissions": 465,
	"IMAP":        143,
	"IMAPS":       993,
	"HTTP":        80,
	"HTTPS":       443,
	"MetricsHTTP": 81,
}

// LocalserveOptions are for [InitLocalserve].
type LocalserveOptions struct {
	Dir string     // For configuration and data. Made if there is none; if there is one it must be empty.
	IP  netip.Addr // To listen on. Zero is the loopback addresses.
	Log *slog.Logger
}

// InitLocalserve makes a directory with configuration, certificate and an account
// with a password. On failure nothing of it stays. The file mox.conf comes last:
// where it is, the directory is complete.
func InitLocalserve(ctx context.Context, opts LocalserveOptions) (rerr error) {
	if err := os.MkdirAll(filepath.Dir(opts.Dir), 0770); err != nil {
		return err
	}
	remove := opts.Dir
	err := os.Mkdir(opts.Dir, 0770)
	if errors.Is(err, fs.ErrExist) {
		entries, err := os.ReadDir(opts.Dir)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return fmt.Errorf("directory %s has files in it and no %s: if it is left over from an interrupted start, remove it, otherwise use another one", opts.Dir, config.StaticName)
		}
		remove = ""
	} else if err != nil {
		return err
	}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, removeLocalserve(opts.Dir, remove))
		}
	}()
	return writeLocalserve(ctx, opts)
}

// removeLocalserve removes what was made before a failure: the directory, or what
// is in one that was there before.
func removeLocalserve(dir, remove string) error {
	if remove != "" {
		return os.RemoveAll(remove)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func writeLocalserve(ctx context.Context, opts LocalserveOptions) error {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if opts.IP.IsValid() && !opts.IP.IsUnspecified() {
		names = append(names, opts.IP.String())
	}
	cert, key, err := certs.SelfSigned(time.Now(), localserveValidity, names...)
	if err != nil {
		return fmt.Errorf("certificate for localhost: %w", err)
	}
	if err := safefile.CreateExcl(filepath.Join(opts.Dir, LocalserveCert), cert, 0660); err != nil {
		return err
	}
	if err := safefile.CreateExcl(filepath.Join(opts.Dir, localserveKey), key, 0660); err != nil {
		return err
	}
	static, dynamic := localserveConfig(opts.IP)
	absolute := static
	absolute.DataDir = filepath.Join(opts.Dir, static.DataDir)
	s, err := config.New(absolute, dynamic)
	if err != nil {
		return err
	}
	if err := InitAccount(ctx, s, opts.Log, smtpserver.LocalserveAccount, LocalservePassword); err != nil {
		return err
	}
	return config.Create(opts.Dir, static, dynamic)
}

// localserveConfig returns the configuration of a server for trying things out.
func localserveConfig(ip netip.Addr) (config.Static, config.Dynamic) {
	ips := []string{ip.String()}
	if !ip.IsValid() {
		ips = loopback()
	}
	l := config.ListenerFields{
		IPs: ips,
		TLS: &config.TLSFields{KeyCerts: []config.KeyCertFields{{CertFile: LocalserveCert, KeyFile: localserveKey}}},
		Limits: config.LimitsFields{
			ExemptNetworks: []string{"127.0.0.0/8", "::1"},
		},
	}
	l.SMTP.Enabled = true
	l.Submission.Enabled = true
	l.Submission.NoRequireSTARTTLS = true
	l.Submissions.Enabled = true
	l.IMAP.Enabled = true
	l.IMAP.NoRequireSTARTTLS = true
	l.IMAPS.Enabled = true
	l.AutoconfigHTTPS.Enabled = true
	l.MTASTSHTTPS.Enabled = true
	l.WebserverHTTP.Enabled = true
	l.WebserverHTTPS.Enabled = true
	l.MetricsHTTP.Enabled = true
	static := config.Static{
		DataDir:    "data",
		LogLevel:   "traceauth",
		Hostname:   "localhost",
		Pedantic:   true,
		Listeners:  map[string]config.ListenerFields{localserveListener: l},
		Postmaster: config.PostmasterFields{Account: smtpserver.LocalserveAccount, Mailbox: "Postmaster"},
	}
	LocalservePorts(LocalservePortBase)(&static)
	dynamic := config.Dynamic{
		Domains: map[string]config.DomainFields{
			"localhost": {LocalpartCatchallSeparator: "+"},
		},
		Accounts: map[string]config.AccountFields{
			smtpserver.LocalserveAccount: localserveAccount(),
		},
		WebHandlers: []config.WebHandlerFields{{
			LogName:               "workdir",
			Domain:                "localhost",
			PathRegexp:            "^" + LocalserveFiles,
			DontRedirectPlainHTTP: true,
			WebStatic:             &config.WebStaticFields{StripPrefix: LocalserveFiles, Root: ".", ListFiles: true},
		}},
	}
	return static, dynamic
}

// localserveAccount is a new account that takes all mail at once, whatever is in it
// and whoever it is from: a program under development is not to be judged.
func localserveAccount() config.AccountFields {
	a := config.NewAccount(smtp.Address{Localpart: smtpserver.LocalserveAccount, Domain: dns.Domain{ASCII: "localhost"}})
	a.JunkFilter = nil
	a.NoFirstTimeSenderDelay = true
	a.SubjectPass = config.SubjectPassFields{}
	return a
}

// loopback returns the loopback addresses that can be listened on.
func loopback() []string {
	ips := []string{"127.0.0.1"}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		_ = l.Close()
		ips = append(ips, "::1")
	}
	return ips
}

// LocalservePorts moves the ports of a configuration to a base plus the usual port
// of the service.
func LocalservePorts(base int) config.Override {
	return func(s *config.Static) {
		listeners := map[string]config.ListenerFields{}
		for name, l := range s.Listeners {
			l.SMTP.Port = base + localservePorts["SMTP"]
			l.Submission.Port = base + localservePorts["Submission"]
			l.Submissions.Port = base + localservePorts["Submissions"]
			l.IMAP.Port = base + localservePorts["IMAP"]
			l.IMAPS.Port = base + localservePorts["IMAPS"]
			l.AutoconfigHTTPS.Port = base + localservePorts["HTTPS"]
			l.MTASTSHTTPS.Port = base + localservePorts["HTTPS"]
			l.WebserverHTTP.Port = base + localservePorts["HTTP"]
			l.WebserverHTTPS.Port = base + localservePorts["HTTPS"]
			l.MetricsHTTP.Port = base + localservePorts["MetricsHTTP"]
			listeners[name] = l
		}
		s.Listeners = listeners
	}
}
