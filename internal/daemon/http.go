package daemon

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"slices"

	"mox/config"
	"mox/http"
	"mox/http/clientconf"
	"mox/imapserver"
	"mox/mlog"
	"mox/smtpserver"
)

// makeHTTP makes the server for HTTP. It must be called before certificates are
// requested.
func (d *Daemon) makeHTTP(s *config.Snapshot, cipher *mlog.CidCipher) {
	opts := http.Options{
		Config:     d.conf,
		Log:        d.logger("http"),
		Cids:       d.cids,
		CidCipher:  cipher,
		ClientConf: clientconf.New(clientconf.Options{Config: d.conf, Log: d.logger("clientconf")}),
		Roots:      d.out.roots,
		CopiesDir:  filepath.Join(d.store.TempDir(), http.CopiesDir),
		Floor:      d.floor,

		MaxConnections: s.MaxConnections,
	}
	if slices.ContainsFunc(s.Listeners, answersHTTP01) {
		opts.Challenges = d.certs.HTTPHandler()
	}
	d.http = http.New(opts)
}

// answersHTTP01 reports whether an authority of a listener can ask without TLS, to see
// that a name is ours.
func answersHTTP01(l config.Listener) bool {
	return l.TLS != nil && l.TLS.ACME != "" && slices.ContainsFunc(l.WebPorts(), func(p config.WebPort) bool { return !p.TLS })
}

// connectHTTP serves a port for HTTP on a socket.
func (d *Daemon) connectHTTP(sock *Socket, g group, smtp smtpserver.ListenerOptions, imap imapserver.ListenerOptions) {
	ports := g.WebPorts()
	i := slices.IndexFunc(ports, func(p config.WebPort) bool { return p.Port == sock.port && p.TLS == (sock.Service == "HTTPS") })
	opts := http.ListenerOptions{Listener: g.Listener, Port: ports[i], ALPN: map[string]func(*tls.Conn){}}
	if opts.Port.TLS {
		opts.TLSConfig = g.tls.Clone()
	}
	if opts.Port.Has("ACME") {
		opts.TLSConfig.GetConfigForClient = d.certs.ChallengeConfig
	}
	if opts.Port.Has("IMAPS") {
		opts.ALPN["imap"] = func(tc *tls.Conn) { d.imap.ServeALPN(context.Background(), tc, imap) }
	}
	if opts.Port.Has("Submissions") {
		opts.ALPN["smtp"] = func(tc *tls.Conn) { d.smtp.ServeALPN(tc, smtp) }
	}
	sock.serve = func() error { return d.http.Serve(sock.listener, opts) }
}
