package selfcheck

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/admin"
	"mox/internal/dbformat"
	"mox/internal/privsep"
	"mox/internal/safefile"
)

const (
	// stepTime is how long each of the checks that wait for others may take.
	stepTime = 15 * time.Second
	// maxClockError is how far the clock may be wrong before certificates, signatures and
	// logins suffer, and clockNoise what a comparison cannot tell.
	maxClockError = 5 * time.Minute
	clockNoise    = 5 * time.Second
	// slowSync is how long a sync of a small file should take at most. Each message waits
	// for some.
	slowSync = 100 * time.Millisecond
	// maxFiles is how many files permissions are looked at of.
	maxFiles = 10000
)

// Check are the checks of a machine. Those without a comment that says otherwise are
// needed.
type Check struct {
	Config   *config.Snapshot
	Resolver dns.Resolver
	Log      *slog.Logger

	// Running says whether the server is running.
	Running bool
	// NoDial makes it connect to nothing but the resolver.
	NoDial bool
	// Roots are the authorities to trust. Nil is those of the system.
	Roots *x509.CertPool
	Now   func() time.Time

	findings []admin.Finding
}

func (c *Check) add(check string, sev admin.Severity, format string, args ...any) {
	c.findings = append(c.findings, admin.Finding{Check: check, Severity: sev, Text: fmt.Sprintf(format, args...)})
}

// Run does the checks, and returns the results.
func (c *Check) Run(ctx context.Context) []admin.Finding {
	c.files()
	c.user()
	c.permissions()
	c.disk()
	c.format()
	c.clock(ctx)
	c.resolver(ctx)
	c.ports(ctx)
	c.certificates()
	return c.findings
}

// files opens the files that the configuration names.
func (c *Check) files() {
	var errs config.Errors
	switch err := c.Config.CheckFiles(); {
	case err == nil:
		c.add("CONFIG", admin.OK, "the configuration is right, and its keys and certificates can be read")
	case errors.As(err, &errs):
		for _, e := range errs {
			c.add("CONFIG", admin.Failure, "%s", e)
		}
	default:
		c.add("CONFIG", admin.Failure, "%s", err)
	}
}

// user looks for the user that the server runs as when it is started by root.
func (c *Check) user() {
	name := cmp.Or(c.Config.Static.User, "mox")
	a, err := privsep.LookupAccount(name)
	switch {
	case err != nil && os.Geteuid() == 0:
		c.add("USER", admin.Failure, "%s", err)
	case err != nil:
		c.add("USER", admin.Warning, "%s, if the server is started by root", err)
	case a.UID == 0:
		c.add("USER", admin.Warning, "the server runs as root, and so does who gets hold of it: set User in mox.conf to a user of its own, unless this is a container")
	default:
		c.add("USER", admin.OK, "the server runs as user %s", name)
	}
}

// permissions looks for files that other users can read.
func (c *Check) permissions() {
	const check = "FILES"
	dirs := []string{c.Config.DataDir}
	if c.Config.Path != "" {
		dirs = append(dirs, filepath.Dir(c.Config.Path))
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.add(check, admin.OK, "%s is made when the server starts", dir)
			continue
		case err != nil:
			c.add(check, admin.Failure, "%s", err)
			continue
		case info.Mode().Perm()&0001 == 0: // Who cannot enter it cannot read what is in it.
			c.add(check, admin.OK, "other users cannot read %s", dir)
			continue
		}
		if path, n := c.readable(dir); n > 0 {
			c.add(check, admin.Failure, "other users of this machine can read %s, and %d more files in %s: chmod 0750 %s", path, n-1, dir, dir)
		} else {
			c.add(check, admin.Warning, "other users of this machine can see what is in %s: chmod 0750 %s", dir, dir)
		}
	}
}

// readable counts files that others can read, as far as it can see, and returns the first.
func (c *Check) readable(dir string) (first string, n int) {
	seen := 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if seen++; seen > maxFiles {
			return fs.SkipAll
		}
		switch perm := info.Mode().Perm(); {
		case d.IsDir() && path != dir && perm&0001 == 0:
			return fs.SkipDir
		case d.Type().IsRegular() && perm&0004 != 0:
			n++
			first = cmp.Or(first, path)
		}
		return nil
	})
	return first, n
}

// disk looks at the file system of the data directory.
func (c *Check) disk() {
	const check = "DISK"
	dir := c.Config.DataDir
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Dir(dir)
	}
	free, err := safefile.FreeSpace(dir)
	const mb = 1 << 20
	switch minimum := c.Config.MinimumFreeSpace; {
	case err != nil:
		c.add(check, admin.Failure, "free space: %s", err)
	case free < minimum:
		c.add(check, admin.Failure, "%d MB are free, and no mail is taken with less than %d MB: make space, or lower MinimumFreeSpace in mox.conf", free/mb, minimum/mb)
	case free < 2*minimum:
		c.add(check, admin.Warning, "%d MB are free, and no mail is taken with less than %d MB", free/mb, minimum/mb)
	default:
		c.add(check, admin.OK, "%d MB are free", free/mb)
	}
	if name, err := networkFS(dir); err != nil {
		c.add(check, admin.Failure, "file system: %s", err)
	} else if name != "" {
		c.add(check, admin.Failure, "%s is on a file system of the network (%s), on which locks and syncing are not what mail needs to be safe: use a local one", dir, name)
	}
	c.sync(dir)
}

// sync sees whether a file can be written to stable storage.
func (c *Check) sync(dir string) {
	const check = "DISK"
	start := time.Now()
	err := func() error {
		f, err := os.CreateTemp(dir, ".check-*")
		if err != nil {
			return err
		}
		_, werr := f.WriteString("mox config check\n")
		return errors.Join(werr, f.Sync(), f.Close(), os.Remove(f.Name()), safefile.SyncDir(dir))
	}()
	took := time.Since(start)
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.add(check, admin.Warning, "whether %s can be written was not checked, because this user may not: run this as root", dir)
	case err != nil:
		c.add(check, admin.Failure, "writing a file to %s: %s", dir, err)
	case took > slowSync:
		c.add(check, admin.Warning, "syncing a file takes %d ms, which each message waits for several times: the disk is slow or busy", took.Milliseconds())
	default:
		c.add(check, admin.OK, "files can be written and synced")
	}
}

// format looks for copies of databases from before an upgrade.
func (c *Check) format() {
	l, err := dbformat.Snapshots(c.Config.DataDir)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		c.add("DATA", admin.Failure, "copies of databases: %s", err)
	case len(l) > 0:
		c.add("DATA", admin.OK, "%d databases were changed for a new version, and have copies from before: see \"mox help upgrade\"", len(l))
	}
}

// clock looks whether the clock is right.
func (c *Check) clock(ctx context.Context) {
	const check = "CLOCK"
	switch synced, err := clockSynced(); {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		c.add(check, admin.Warning, "whether the clock is set by the network is not known: %s", err)
	case !synced:
		c.add(check, admin.Warning, "the clock is not set by the network (NTP): install something that does, such as with \"apt-get install systemd-timesyncd\"")
	default:
		c.add(check, admin.OK, "the clock is set by the network")
	}
	for _, a := range c.Config.ACME {
		if !c.NoDial {
			c.authority(ctx, a)
		}
	}
}

// authority sees whether an authority can be reached, and compares its clock with ours.
func (c *Check) authority(ctx context.Context, a config.ACME) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig.RootCAs = c.Roots
	transport.DisableKeepAlives = true
	transport.DialContext = c.dialName
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.DirectoryURL, nil)
	if err != nil {
		c.add("ACME", admin.Failure, "%s", err)
		return
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		c.add("ACME", admin.Failure, "the authority %s cannot be reached, so there are no certificates: %s", a.Name, err)
		return
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.add("ACME", admin.Failure, "the authority %s answers with status %s: see DirectoryURL in mox.conf", a.Name, resp.Status)
		return
	}
	c.add("ACME", admin.OK, "the authority %s can be reached", a.Name)
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	switch off := c.Now().Sub(theirs); {
	case off.Abs() > maxClockError:
		c.add("CLOCK", admin.Failure, "the clock is wrong by %s, by that of the authority %s: certificates and signatures look expired, or not valid yet", off.Abs().Round(time.Second), a.Name)
	case off.Abs() > clockNoise:
		c.add("CLOCK", admin.Warning, "the clock differs by %s from that of the authority %s", off.Abs().Round(time.Second), a.Name)
	default:
		c.add("CLOCK", admin.OK, "the clock is that of the authority %s", a.Name)
	}
}

// dialName connects to a name that is looked up as the server does.
func (c *Check) dialName(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	ips, _, err := c.Resolver.LookupIP(ctx, "ip", host)
	var errs []error
	for _, ip := range ips {
		conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(append(errs, err)...)
}

// resolver sees whether lookups work, and are verified.
func (c *Check) resolver(ctx context.Context) {
	const check = "DNS"
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	start := time.Now()
	_, r, err := c.Resolver.LookupNS(ctx, "com.")
	switch {
	case err != nil && !errors.Is(err, dns.ErrNotFound):
		c.add(check, admin.Failure, "lookups fail, so that no mail can be sent, and little received: %s", err)
	case !r.Authentic:
		c.add(check, admin.Warning, "the resolver does not verify signatures (DNSSEC), so that others cannot be verified with DANE: use one that does, such as unbound on this machine, with \"options trust-ad\" in /etc/resolv.conf or DNSResolver in mox.conf")
	case time.Since(start) > time.Second:
		c.add(check, admin.Warning, "a lookup takes %s: use a resolver that is near", time.Since(start).Round(time.Millisecond))
	default:
		c.add(check, admin.OK, "the resolver works, and verifies signatures (DNSSEC)")
	}
}

// ports sees whether the server listens where it should, or could.
func (c *Check) ports(ctx context.Context) {
	const check = "PORTS"
	var fine, taken, silent, denied []string
	for _, l := range c.Config.Listeners {
		for _, service := range l.Services() {
			for _, ip := range l.IPs {
				addr := netip.AddrPortFrom(ip, uint16(service.Port))
				ln, err := privsep.Listen(ctx, "tcp", addr.String())
				if err == nil {
					_ = ln.Close()
				}
				inUse := errors.Is(err, syscall.EADDRINUSE)
				switch {
				case err == nil && c.Running:
					silent = append(silent, addr.String())
				case err == nil, inUse && c.Running:
					fine = append(fine, addr.String())
				case inUse:
					taken = append(taken, addr.String())
				case errors.Is(err, fs.ErrPermission):
					denied = append(denied, addr.String())
				default:
					c.add(check, admin.Failure, "%s of listener %s cannot be listened on: %s", addr, l.Name, err)
				}
			}
		}
	}
	for _, r := range []struct {
		addrs []string
		sev   admin.Severity
		text  string
	}{
		{taken, admin.Failure, "in use by another program, such as another mail server: %v. \"ss -ltnp\" says by which"},
		{silent, admin.Failure, "the server is running, but does not listen at %v: restart it, the configuration was changed"},
		{denied, admin.Warning, "not checked, because only root may listen there: %v"},
		{fine, admin.OK, "the server has, or can have, %v"},
	} {
		if len(r.addrs) > 0 {
			slices.Sort(r.addrs)
			c.add(check, r.sev, r.text, r.addrs)
		}
	}
}
