package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"mox/config"
	"mox/http"
	"mox/imapserver"
	"mox/internal/identity"
	"mox/internal/privsep"
	"mox/internal/ratelimit"
	"mox/smtpserver"
)

// Socket is where a service of a listener listens.
type Socket struct {
	Listener string // Name in the configuration.
	Service  string // As the field in the configuration, like "Submissions".

	port     int // In the configuration.
	listener net.Listener
	serve    func() error
	shutdown func(context.Context) error // Nil if that of the server does it.
}

// Addr returns the address, with the port that is really used.
func (s *Socket) Addr() net.Addr {
	return s.listener.Addr()
}

// bind opens the sockets of all listeners. On failure none is open.
func (d *Daemon) bind(ctx context.Context, s *config.Snapshot) (sockets []*Socket, rerr error) {
	defer func() {
		if rerr != nil {
			for _, sock := range sockets {
				_ = sock.listener.Close()
			}
			sockets = nil
		}
	}()
	for _, l := range s.Listeners {
		g, err := d.group(l)
		if err != nil {
			return sockets, err
		}
		if l.LMTP != "" {
			nl, err := d.opts.Listen(ctx, "unix", l.LMTP)
			if err != nil {
				return sockets, fmt.Errorf("listener %s: listening for LMTP: %w", l.Name, err)
			}
			sock := &Socket{Listener: l.Name, Service: "LMTP", listener: nl}
			d.connect(sock, g)
			sockets = append(sockets, sock)
		}
		for _, service := range l.Services() {
			for _, ip := range l.IPs {
				port := service.Port
				if d.opts.AnyPort {
					port = 0
				}
				addr := net.JoinHostPort(ip.String(), strconv.Itoa(port))
				nl, err := d.opts.Listen(ctx, "tcp", addr)
				if err != nil {
					return sockets, fmt.Errorf("listener %s: listening for %s%s: %w", l.Name, service.Name, privsep.BindHint(err), err)
				}
				sock := &Socket{Listener: l.Name, Service: service.Name, port: service.Port, listener: nl}
				d.connect(sock, g)
				sockets = append(sockets, sock)
			}
		}
	}
	return sockets, nil
}

// group is what the sockets of a listener share.
type group struct {
	config.Listener
	tls  *tls.Config // For users. Nil without.
	mx   *tls.Config // For other mail servers. Nil without.
	auth *identity.Checker
	rate *ratelimit.Limiter // For IMAP. The SMTP server makes its own.
	open *ratelimit.Concurrent
}

func (d *Daemon) group(l config.Listener) (group, error) {
	g := group{Listener: l, auth: d.checker.WithLimits(l.Limits)}
	if l.TLS != nil {
		src, err := d.certs.Listener(l)
		if err != nil {
			return g, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		g.tls, g.mx = src.Config(), src.DeliveryConfig()
	}
	if n := l.Limits.ConnectionsPerMinute; n > 0 {
		g.rate = ratelimit.New(ratelimit.Options{
			Windows: []ratelimit.Window{{Period: time.Minute, Limits: ratelimit.Factors(n)}},
			Exempt:  l.Limits.Exempt,
		})
	}
	if n := l.Limits.OpenConnections; n > 0 {
		g.open = ratelimit.NewConcurrent(ratelimit.ConcurrentOptions{Limits: ratelimit.Factors(n), Exempt: l.Limits.Exempt})
	}
	return g, nil
}

// connect makes a socket one of the server for its service.
func (d *Daemon) connect(sock *Socket, g group) {
	smtp := smtpserver.ListenerOptions{
		Name:           g.Name,
		Kind:           smtpserver.Submission,
		TLSConfig:      g.tls,
		Auth:           g.auth,
		Hostname:       g.Hostname,
		MaxMessageSize: g.MaxMessageSize,
		Proxies:        g.Proxies,
		Limits:         g.Limits,
	}
	imap := imapserver.ListenerOptions{
		Name:            g.Name,
		TLSConfig:       g.tls,
		MaxMessageSize:  g.MaxMessageSize,
		Auth:            g.auth,
		ConnectionRate:  g.rate,
		OpenConnections: g.open,
		Proxies:         g.Proxies,
		Exempt:          g.Limits.Exempt,
	}
	if g.tls != nil && g.TLS.ClientAuth {
		// Of any kind and not needed: what its key is good for is known in package identity.
		users := g.tls.Clone()
		users.ClientAuth = tls.RequestClientCert
		smtp.TLSConfig, imap.TLSConfig = users, users
	}
	switch sock.Service {
	case "SMTP":
		smtp.TLSConfig = g.mx
		smtp.Kind = smtpserver.Delivery
		smtp.NoSTARTTLS = g.SMTP.NoSTARTTLS
		smtp.RequireTLS = g.SMTP.RequireSTARTTLS
		smtp.NoRequireTLS = g.SMTP.NoRequireTLS
		smtp.DNSBLs = g.SMTP.DNSBLs
		smtp.FirstTimeSenderDelay = g.SMTP.FirstTimeSenderDelay
		if g.mx != nil {
			g.mx.SessionTicketsDisabled = !g.SMTP.SessionTickets
		}
	case "LMTP":
		smtp.Kind = smtpserver.LMTP
		smtp.TLSConfig, smtp.Auth, smtp.Proxies = nil, nil, nil
	case "Submission":
		smtp.RequireTLS = !g.Submission.NoRequireSTARTTLS
	case "Submissions":
		smtp.ImmediateTLS, smtp.RequireTLS = true, true
	case "IMAP":
		imap.AllowPlaintextLogin = g.IMAP.NoRequireSTARTTLS
	case "IMAPS":
		imap.ImmediateTLS = true
	case "ACME":
		d.connectChallenges(sock)
		return
	case "HTTP", "HTTPS":
		d.connectHTTP(sock, g, smtp, imap)
		return
	case "MetricsHTTP":
		sock.serve = func() error { return d.http.ServeHandler(sock.listener, http.Monitor(d.Check)) }
		return
	case "PprofHTTP":
		sock.serve = func() error { return d.http.ServeHandler(sock.listener, http.Profiles()) }
		return
	}
	if sock.Service == "IMAP" || sock.Service == "IMAPS" {
		sock.serve = func() error { return d.imap.Serve(context.Background(), sock.listener, imap) }
		return
	}
	sock.serve = func() error { return d.smtp.Serve(context.Background(), sock.listener, smtp) }
}
