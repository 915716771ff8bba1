package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"mox/config"
)

const (
	// handshakeWait is how long a handshake waits for a certificate that is being
	// requested. Clients wait for longer than that, and authorities take seconds.
	handshakeWait = 15 * time.Second
	// placeholderValidity is how long the certificate is valid that is used until there
	// is one from the authority.
	placeholderValidity = 30 * 24 * time.Hour
)

// Listener has the certificates of a listener.
type Listener struct {
	static *Source // Nil if they come from an authority.

	m    *Manager
	a    *authority
	conf config.TLS
	host string // In ASCII.

	mu          sync.Mutex
	placeholder *tls.Certificate
}

// Listener returns the certificates of a listener, which must have a TLS section. It
// reads those that are in files.
func (m *Manager) Listener(l config.Listener) (*Listener, error) {
	if l.TLS.ACME == "" {
		s, err := newSource(*l.TLS, m.opts.ReadFile, m.log)
		if err != nil {
			return nil, err
		}
		m.mu.Lock()
		m.static = append(m.static, s)
		m.mu.Unlock()
		return &Listener{static: s}, nil
	}
	a := m.authority[l.TLS.ACME]
	if a == nil {
		return nil, fmt.Errorf("authority %s is not known", l.TLS.ACME)
	}
	return &Listener{m: m, a: a, conf: *l.TLS, host: l.Hostname.ASCII}, nil
}

// Config returns the configuration for connections of users. A client that asks for
// no name gets the certificate of the hostname of the listener. One that asks for a
// name that we have no certificate for, where they come from an authority, is refused
// with the alert unrecognized_name (RFC 6066 §3): it would not trust another.
//
// Each caller gets its own, with its own keys for session tickets. A new key is made
// each day, and old ones are good for a week.
func (l *Listener) Config() *tls.Config {
	if l.static != nil {
		return l.static.Config()
	}
	return &tls.Config{MinVersion: l.conf.MinVersion, GetCertificate: l.forUser}
}

// DeliveryConfig is Config for connections of other mail servers. They get the
// certificate of the hostname also when they ask for another name: most do not verify
// it, and those that do can say best what is wrong. Until the authority has made one
// it is one that we have signed ourselves, which is as good for servers that verify
// the key only, with DANE.
func (l *Listener) DeliveryConfig() *tls.Config {
	if l.static != nil {
		return l.static.Config()
	}
	return &tls.Config{MinVersion: l.conf.MinVersion, GetCertificate: l.forDelivery}
}

// allowed reports whether a certificate is requested for a name, which must be in
// lower case, and whether only on demand.
func (l *Listener) allowed(name string) (ok, onDemand bool) {
	return l.m.opts.Config.Snapshot().IsCertificateHost(l.conf.ACME, name)
}

// leadsHere reports whether a name has an address of the hostname in DNS: otherwise no
// authority gives a certificate, and who asks for the name is up to no good.
func (l *Listener) leadsHere(ctx context.Context, name string) bool {
	if l.m.opts.DNS == nil {
		return false
	}
	ours, _, err := l.m.opts.DNS.LookupIP(ctx, "ip", l.host+".")
	if err != nil {
		return false
	}
	ips, _, err := l.m.opts.DNS.LookupIP(ctx, "ip", name+".")
	return err == nil && slices.ContainsFunc(ips, func(ip net.IP) bool { return slices.ContainsFunc(ours, ip.Equal) })
}

// name returns the name that a client asks for. It is not ok if that is none of ours.
func (l *Listener) name(hello *tls.ClientHelloInfo) (name string, ok bool) {
	name = strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" {
		metricMissingName.Inc()
		return l.host, true
	}
	ours, _ := l.allowed(name)
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") || !ours {
		metricUnknownName.Inc()
		return "", false
	}
	return name, true
}

func (l *Listener) forUser(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name, ok := l.name(hello)
	if !ok {
		return nil, nil // This makes crypto/tls send unrecognized_name.
	}
	if cert := l.find(hello, name); cert != nil {
		return cert, nil
	}
	l.wait(hello.Context(), name)
	if cert := l.find(hello, name); cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("there is no certificate for %s yet", name)
}

func (l *Listener) forDelivery(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if name, ok := l.name(hello); ok {
		if cert := l.find(hello, name); cert != nil {
			return cert, nil
		}
	}
	if cert := l.find(hello, l.host); cert != nil {
		return cert, nil
	}
	return l.selfSigned()
}

// find returns the certificate for a name that a client can use best, or nil.
func (l *Listener) find(hello *tls.ClientHelloInfo, name string) *tls.Certificate {
	var first *tls.Certificate
	for _, kind := range kinds {
		cert := l.a.certificate(name, kind)
		if cert == nil {
			continue
		}
		if hello.SupportsCertificate(cert) == nil {
			return cert
		}
		if first == nil {
			first = cert
		}
	}
	return first
}

// wait waits for a certificate for a name, for a while.
func (l *Listener) wait(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, l.m.patience)
	defer cancel()
	if _, onDemand := l.allowed(name); onDemand && !l.leadsHere(ctx, name) {
		return
	}
	l.a.ensure(name)
	has := l.m.keysOf(name)
	i := slices.IndexFunc(kinds[:], func(k Kind) bool { _, ok := has[k]; return ok })
	if i < 0 {
		return
	}
	select {
	case <-l.a.managed(nameKind{name, kinds[i]}).ready:
	case <-ctx.Done():
	case <-l.m.ctx.Done():
	}
}

// selfSigned returns a certificate for the hostname, and its key if it has one, until
// there is one from the authority.
func (l *Listener) selfSigned() (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	keys := l.m.keysOf(l.host)
	key := keys[P256]
	if key == nil {
		key = keys[RSA2048]
	}
	if c := l.placeholder; c != nil && now.Before(c.Leaf.NotAfter) && (key == nil || certifies(c.Leaf, key)) {
		return c, nil
	}
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("generate key: %w", err)
		}
	}
	der, err := selfSign(key, now, placeholderValidity, l.host)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	l.placeholder = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return l.placeholder, nil
}
