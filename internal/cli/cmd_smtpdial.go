package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"mox/dns"
	"mox/smtpclient"
)

var cmdSMTPDial = command{
	words: "smtp dial",
	args:  "host[:port]",
	help: `Connect to an SMTP server, start TLS as told, and connect it to standard input and output.

The host is a name, of which addresses are looked up, or an IP address. The port is 25 if
it is not given. The greeting, EHLO and STARTTLS are done; then what was negotiated is
printed to standard error, and what is typed is sent to the server.

Without flags, TLS is started if the server offers it, and its certificate is looked at but
need not be valid. Problems of other mail servers with TLS can be narrowed down with flags
for versions, cipher suites (of TLS 1.2 and older only, those of 1.3 are fixed) and curves.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var o smtpDialOptions
		o.flags(fs)
		return func(ctx context.Context, e *env, args []string) error { return runSMTPDial(ctx, e, args, o) }
	},
}

// smtpDialOptions are the flags of the command.
type smtpDialOptions struct {
	ehlo                        string
	force, none, immediate      bool
	verify                      bool
	serverName                  string
	versionMin, versionMax      string
	suites, curves              string
	noTickets, noDynamicRecords bool
	renegotiation               string
}

func (o *smtpDialOptions) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.ehlo, "ehlohostname", "", "`name` to use for ourselves, instead of that of this machine")
	fs.BoolVar(&o.force, "forcetls", false, "start TLS with STARTTLS also if the server does not offer it, and fail without")
	fs.BoolVar(&o.none, "notls", false, "do not use TLS")
	fs.BoolVar(&o.immediate, "immediatetls", false, "start with TLS, as on port 465, where this is the default")
	fs.BoolVar(&o.verify, "tlsverify", false, "fail if the certificate is not valid for the host")
	fs.StringVar(&o.serverName, "tlsservername", "", "`name` to ask for and to verify, instead of the host")
	fs.StringVar(&o.versionMin, "tlsversionmin", "1.2", "lowest `version` of TLS: 1.0, 1.1, 1.2 or 1.3")
	fs.StringVar(&o.versionMax, "tlsversionmax", "1.3", "highest `version` of TLS")
	fs.StringVar(&o.suites, "tlsciphersuites", "", "cipher suites to offer, as a `list` separated by commas, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
	fs.StringVar(&o.curves, "tlscurves", "", "curves for key exchange to offer, as a `list` separated by commas: "+strings.Join(slices.Sorted(maps.Keys(tlsCurves())), ", "))
	fs.BoolVar(&o.noTickets, "tlsnosessiontickets", false, "do not offer session tickets")
	fs.BoolVar(&o.noDynamicRecords, "tlsnodynamicrecordsizing", false, "use full TLS records from the start, instead of small ones at first")
	fs.StringVar(&o.renegotiation, "tlsrenegotiation", "never", "whether the server may start a new handshake: `when` is never, once or freely")
}

func tlsCurves() map[string]tls.CurveID {
	m := map[string]tls.CurveID{}
	for _, c := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
		m[c.String()] = c
	}
	return m
}

var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

var tlsRenegotiations = map[string]tls.RenegotiationSupport{
	"never": tls.RenegotiateNever, "once": tls.RenegotiateOnceAsClient, "freely": tls.RenegotiateFreelyAsClient,
}

// one returns the value of a flag by its name.
func one[T any](name, value string, all map[string]T) (T, error) {
	for k, v := range all {
		if strings.EqualFold(k, strings.TrimSpace(value)) {
			return v, nil
		}
	}
	var zero T
	return zero, usageError(fmt.Sprintf("flag -%s: unknown value %q, use %s", name, value, strings.Join(slices.Sorted(maps.Keys(all)), ", ")))
}

// several returns the values of a flag that is a list.
func several[T any](name, value string, all map[string]T) ([]T, error) {
	if value == "" {
		return nil, nil
	}
	var l []T
	for s := range strings.SplitSeq(value, ",") {
		v, err := one(name, s, all)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	return l, nil
}

// config returns the TLS configuration for the flags.
func (o *smtpDialOptions) config() (*tls.Config, error) {
	suites := map[string]uint16{}
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		suites[s.Name] = s.ID
	}
	c := &tls.Config{SessionTicketsDisabled: o.noTickets, DynamicRecordSizingDisabled: o.noDynamicRecords}
	if !o.noTickets {
		// Without a cache, a client does not offer tickets.
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	var errs [5]error
	c.MinVersion, errs[0] = one("tlsversionmin", o.versionMin, tlsVersions)
	c.MaxVersion, errs[1] = one("tlsversionmax", o.versionMax, tlsVersions)
	c.CipherSuites, errs[2] = several("tlsciphersuites", o.suites, suites)
	c.CurvePreferences, errs[3] = several("tlscurves", o.curves, tlsCurves())
	c.Renegotiation, errs[4] = one("tlsrenegotiation", o.renegotiation, tlsRenegotiations)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if c.MinVersion > c.MaxVersion {
		return nil, usageError("flag -tlsversionmin is larger than -tlsversionmax")
	}
	return c, nil
}

// mode returns how TLS is used.
func (o *smtpDialOptions) mode(port int) (smtpclient.TLSMode, error) {
	n := 0
	mode := smtpclient.TLSOpportunistic
	for _, f := range []struct {
		set  bool
		mode smtpclient.TLSMode
	}{{o.force, smtpclient.TLSRequired}, {o.none, smtpclient.TLSSkip}, {o.immediate, smtpclient.TLSImmediate}} {
		if f.set {
			mode = f.mode
			n++
		}
	}
	if n > 1 {
		return 0, usageError("flags -forcetls, -notls and -immediatetls exclude one another")
	}
	if n == 0 && port == 465 {
		mode = smtpclient.TLSImmediate
	}
	return mode, nil
}

func runSMTPDial(ctx context.Context, e *env, args []string, o smtpDialOptions) error {
	if len(args) != 1 {
		return usageError("")
	}
	host, port, err := splitHostPort(args[0], 25)
	if err != nil {
		return err
	}
	opts := smtpclient.Options{Log: e.log}
	if opts.TLS.Config, err = o.config(); err != nil {
		return err
	}
	if opts.TLS.Mode, err = o.mode(port); err != nil {
		return err
	}
	opts.TLS.VerifyPKIX = o.verify
	opts.TLS.ServerName = host.Domain
	if o.serverName != "" {
		if opts.TLS.ServerName, err = dns.ParseDomainLax(o.serverName); err != nil {
			return usageError("flag -tlsservername: " + err.Error())
		}
	}
	if opts.Hostname.Domain, err = ourName(o.ehlo); err != nil {
		return err
	}
	conn, err := smtpConnect(ctx, e, host, port, opts)
	if err != nil {
		return err
	}
	return connectStdio(e, conn, true)
}

// smtpConnect connects and prints what was negotiated.
func smtpConnect(ctx context.Context, e *env, host dns.IPDomain, port int, opts smtpclient.Options) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, err := smtpclient.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		ips := []net.IP{host.IP}
		if host.IsDomain() {
			r, err := e.resolver()
			if err != nil {
				return nil, err
			}
			var res dns.Result
			if ips, res, err = r.LookupIP(ctx, "ip", host.Domain.ASCII); err != nil {
				return nil, err
			}
			fmt.Fprintf(e.err, "addresses %v, %s\n", ips, dnssec(res.Authentic))
		}
		conn, err := dialIPs(ctx, ips, port)
		if err == nil {
			fmt.Fprintf(e.err, "connected to %s\n", conn.RemoteAddr())
		}
		return conn, err
	}, opts)
	if err != nil {
		return nil, err
	}
	for _, l := range c.Greeting().Lines {
		fmt.Fprintf(e.err, "greeting: %s\n", printableText(l))
	}
	describeClientTLS(e, c.TLS())
	return c.Detach()
}

func describeClientTLS(e *env, info smtpclient.TLSInfo) {
	if info.StartTLSErr != nil {
		fmt.Fprintf(e.err, "tls: %s\n", printableText(info.StartTLSErr.Error()))
	}
	if info.State == nil {
		fmt.Fprintf(e.err, "tls: not used\n")
		return
	}
	fmt.Fprintf(e.err, "tls: %s\n", describeTLS(*info.State))
	for i, cert := range info.State.PeerCertificates {
		fmt.Fprintf(e.err, "certificate %d: subject %q, issuer %q, names %q, valid from %s to %s\n",
			i, cert.Subject, cert.Issuer, cert.DNSNames, cert.NotBefore.UTC().Format("2006-01-02 15:04:05Z"), cert.NotAfter.UTC().Format("2006-01-02 15:04:05Z"))
	}
	if info.PKIXErr != nil {
		fmt.Fprintf(e.err, "certificate is NOT valid: %s\n", printableText(info.PKIXErr.Error()))
	} else {
		fmt.Fprintf(e.err, "certificate is valid\n")
	}
}

// splitHostPort parses a host, which may be an IPv6 address with or without brackets,
// and a port.
func splitHostPort(s string, port int) (dns.IPDomain, int, error) {
	host := s
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return dns.IPDomain{}, 0, usageError(fmt.Sprintf("%q is not a port number", p))
		}
		host, port = h, int(n)
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if ip := net.ParseIP(host); ip != nil {
		return dns.IPDomain{IP: ip}, port, nil
	}
	d, err := dns.ParseDomainLax(host)
	if errors.Is(err, dns.ErrIPAddress) {
		return dns.IPDomain{}, 0, usageError(fmt.Sprintf("%q is neither a name nor an IP address", host))
	} else if err != nil {
		return dns.IPDomain{}, 0, usageError(err.Error())
	}
	return dns.IPDomain{Domain: d}, port, nil
}
