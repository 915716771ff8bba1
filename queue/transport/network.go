package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"mox/dns"
	"mox/mlog"
	"mox/sasl"
	"mox/smtpclient"
)

// Network is what transports that use the network have in common. Hostname, Resolver
// and Pool are needed.
type Network struct {
	Name string // Of the transport, for logs and metrics. It is one of few.

	Hostname dns.IPDomain // Our name, for EHLO.
	Resolver dns.Resolver
	Pool     *Pool

	// Dialer connects. Nil is with a net.Dialer, from one of LocalIPs. NewSocks has one
	// for proxies.
	Dialer Dialer

	// LocalIPs are our addresses for mail. If there is one of a family, connections of
	// that family come from it.
	LocalIPs []netip.Addr

	DisableIPv4 bool
	DisableIPv6 bool

	// TLS is what to start from for TLS, such as with RootCAs and client Certificates.
	// Nil is an empty one. How certificates are verified is not up to it.
	TLS *tls.Config

	// Require8BitMIME refuses to send 8-bit content to servers that do not support it.
	Require8BitMIME bool

	// Addresses remembers which addresses were used for a message. Nil is a memory of
	// its own.
	Addresses AddressMemory

	Log *slog.Logger // Nil logs nothing.
}

func (n *Network) setDefaults(name string) {
	if n.Name == "" {
		n.Name = name
	}
	if n.Addresses == nil {
		n.Addresses = NewAddressMemory()
	}
	if n.Log == nil {
		n.Log = mlog.Discard()
	}
}

// A link is a way to a server.
type link struct {
	host  dns.IPDomain
	addr  netip.AddrPort
	req   requirement
	login login

	session string // Which TLS there is, see queue.Result. Empty before there is a connection.
}

// A login is how to authenticate.
type login struct {
	id     string // Tells credentials apart, empty for none.
	choose func(mechanisms []string, cs *tls.ConnectionState) (sasl.Client, error)
}

// key returns what connections for l in a pool have in common.
func (n *Network) key(l link) key {
	return key{destination{n, l.host.XString(false), l.addr}, l.req.key(), l.login.id}
}

// A requirement says how TLS is to be used with a host.
type requirement struct {
	mode   smtpclient.TLSMode
	name   dns.Domain // For SNI, and the name that a certificate must have.
	pkix   bool       // The certificate must be valid.
	ignore bool       // Verification is for reports only.
	label  string     // In metrics.

	// verify, if not nil, verifies with DANE, by records that daneID tells apart.
	verify func(tls.ConnectionState) error
	daneID string
}

// key tells apart requirements of which one does not fulfil the other.
func (r requirement) key() string {
	s := r.label + " " + r.name.ASCII + " " + r.daneID
	if r.pkix {
		s += " pkix"
	}
	if r.ignore {
		s += " ignore"
	}
	return s
}

// modeLabel returns the label for a mode.
func modeLabel(m smtpclient.TLSMode) string {
	switch m {
	case smtpclient.TLSImmediate:
		return "immediate"
	case smtpclient.TLSRequired:
		return "requiredstarttls"
	case smtpclient.TLSSkip:
		return "skip"
	}
	return "opportunistic"
}

// opened is called with what is known after a connection was tried: how TLS went, and
// the error, which is nil or a *smtpclient.Error.
type opened func(c *conn, info smtpclient.TLSInfo, err error)

// open makes a connection for c.
func (n *Network) open(ctx context.Context, c *conn, l link, timeout time.Duration, done opened) error {
	start := time.Now()
	nc, err := n.dial(ctx, l.addr, timeout)
	c.dialed = time.Since(start)
	metricConnection.WithLabelValues(connectionLabel(err)).Inc()
	if err != nil {
		c.rec.add("connect %s %s: %v", l.host, l.addr, err)
		err := &smtpclient.Error{Command: "connect", Err: err}
		done(c, smtpclient.TLSInfo{}, err)
		return err
	}
	c.rec.add("connect %s %s: ok in %dms", l.host, l.addr, time.Since(start).Milliseconds())
	if host, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		c.local = host.Addr().Unmap().String()
	}
	var seen smtpclient.TLSInfo
	c.client, err = smtpclient.New(ctx, nc, smtpclient.Options{
		Hostname: n.Hostname,
		TLS: smtpclient.TLSOptions{
			Mode:               l.req.mode,
			Config:             n.TLS,
			ServerName:         l.req.name,
			VerifyPKIX:         l.req.pkix,
			Verify:             l.req.verify,
			IgnoreVerifyErrors: l.req.ignore,
			OnVerify:           func(info smtpclient.TLSInfo) { seen = info },
		},
		Auth:            l.login.choose,
		Require8BitMIME: n.Require8BitMIME,
		OnReply:         c.observe,
		Log:             n.Log,
	})
	if err == nil {
		seen = c.client.TLS()
	}
	done(c, seen, err)
	return err
}
