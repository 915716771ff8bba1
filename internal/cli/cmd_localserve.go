package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"mox/config"
	"mox/internal/daemon"
	"mox/internal/privsep"
)

var cmdLocalserve = command{
	words: "localserve",
	help: `Run a mail server for trying things out, on this machine only.

The services are on the usual ports plus 1000: SMTP on 1025, submission on 1587 and
1465, IMAP on 1143 and 1993, HTTP on 1080 and 1443, for settings of mail programs,
policies and web handlers, of which one shows the files of the directory that it is
started in. The first time, a directory with a configuration, data, and a certificate
for localhost is made. There is one account, mox@localhost with password moxmoxmox. No
mail leaves the machine: what is sent, to any address, is delivered to that account, or
to one that you add to domains.conf.

Addresses can simulate failures by the end of their localpart: "temperror",
"permerror", "timeout" (no answer for an hour) or an SMTP code of three digits, as in
test-451@example.org. If the localpart starts with "mailfrom" or "rcptto", the failure is
at that command, with "queue" it is in the queue, after the message was accepted.

The server runs until it is interrupted, or stopped with "mox stop".
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var f localserveFlags
		fs.StringVar(&f.dir, "dir", "", "`directory` with configuration and data, made if there is none; if not given, mox-localserve in the directory for configuration of the user")
		fs.StringVar(&f.ip, "ip", "", "`address` to listen on instead of 127.0.0.1 and ::1, only when the directory is made")
		fs.BoolVar(&f.initOnly, "initonly", false, "make the directory and stop")
		fs.IntVar(&f.ports, "ports", -1, "`number` to add to the usual ports instead of 1000; with 0, free ports are taken")
		return func(ctx context.Context, e *env, args []string) error { return f.run(ctx, e, args) }
	},
}

type localserveFlags struct {
	dir      string
	ip       string
	initOnly bool
	ports    int
}

// maxPortBase keeps the highest port, 993, a port.
const maxPortBase = 65535 - 993

func (f localserveFlags) run(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	if f.ports > maxPortBase || f.ports < -1 {
		return usageError(fmt.Sprintf("ports can be moved by 0 to %d", maxPortBase))
	}
	dir, err := f.directory()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, config.StaticName)
	_, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := f.init(ctx, e, dir); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "made %s with a configuration, and an account with the password %s\n", dir, daemon.LocalservePassword)
	case err != nil:
		return err
	case f.initOnly:
		return fmt.Errorf("%s exists already", path)
	case f.ip != "":
		return fmt.Errorf("flag -ip is for making a new directory, and %s has a configuration: change IPs in %s", dir, path)
	}
	if f.initOnly {
		return nil
	}
	return f.serve(ctx, e, path)
}

// directory returns the absolute path of the directory.
func (f localserveFlags) directory() (string, error) {
	if f.dir != "" {
		return filepath.Abs(f.dir)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding a directory for the configuration, use -dir to name one: %w", err)
	}
	return filepath.Join(dir, "mox-localserve"), nil
}

func (f localserveFlags) init(ctx context.Context, e *env, dir string) error {
	opts := daemon.LocalserveOptions{Dir: dir, Log: e.log}
	if f.ip != "" {
		var err error
		if opts.IP, err = netip.ParseAddr(f.ip); err != nil {
			return usageError(fmt.Sprintf("flag -ip: %q is not an IP address", f.ip))
		}
	}
	if err := daemon.InitLocalserve(ctx, opts); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	return nil
}

func (f localserveFlags) serve(ctx context.Context, e *env, path string) error {
	overrides := e.overrides
	if f.ports > 0 {
		overrides = append(overrides, daemon.LocalservePorts(f.ports))
	}
	opts := daemon.Options{ConfigPath: path, Overrides: overrides, AnyPort: f.ports == 0, Localserve: true}
	r := &running{ready: func(d *daemon.Daemon) { writeBanner(e.out, path, d) }, notify: privsep.NewNotifier(e.log)}
	return e.runDaemon(ctx, opts, r)
}

// services are what the banner says about a socket. The first word of the line is
// the name of the service in lower case, the second the address.
var services = map[string]string{
	"SMTP":        "delivery, for any address",
	"Submission":  "submission after login, STARTTLS possible",
	"Submissions": "submission after login, with TLS",
	"IMAP":        "IMAP, STARTTLS possible",
	"IMAPS":       "IMAP with TLS",
	"HTTP":        "web, files here: http://%s" + daemon.LocalserveFiles,
	"HTTPS":       "web with TLS, settings for mail programs: https://%s/mail/config-v1.1.xml?emailaddress=" + daemon.LocalserveAddress,
	"MetricsHTTP": "Prometheus metrics, http://%s/metrics",
}

// writeBanner says what listens where and what to try. Its last line is "ready".
func writeBanner(w io.Writer, path string, d *daemon.Daemon) {
	first := map[string]string{} // Address by service.
	var b strings.Builder
	fmt.Fprintf(&b, "\nmox localserve: a mail server for trying things out, nothing is sent anywhere\n\n")
	for _, sock := range d.Sockets() {
		addr := sock.Addr().String()
		text := services[sock.Service]
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, local(sock.Addr()))
		}
		fmt.Fprintf(&b, "  %-12s %-18s %s\n", strings.ToLower(sock.Service), addr, text)
		if first[sock.Service] == "" {
			first[sock.Service] = local(sock.Addr())
		}
	}
	dir := filepath.Dir(path)
	ca := filepath.Join(dir, daemon.LocalserveCert)
	fmt.Fprintf(&b, `
  account      %s
  password     %s
  files        %s
  certificate  %s

Send a message, and read it:

  swaks --server %s --to test@example.org
  curl -u %s:%s --cacert %s "imaps://%s/INBOX;MAILINDEX=1"

`, daemon.LocalserveAddress, daemon.LocalservePassword, dir, ca,
		first["SMTP"], daemon.LocalserveAddress, daemon.LocalservePassword, ca, first["IMAPS"])
	fmt.Fprintf(&b, "Stop with ctrl-c, or: mox -config %s stop\n\nready\n", path)
	// Nobody may be reading, which is no reason to stop.
	_, _ = io.WriteString(w, b.String())
}

// local returns an address to connect to, by the name that the certificate is for.
func local(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil || !ap.Addr().IsLoopback() && !ap.Addr().IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("localhost:%d", ap.Port())
}
