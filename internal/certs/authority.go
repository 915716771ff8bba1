package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"mox/config"
	"mox/mlog"
)

const (
	// rekeyInterval is how long to wait until another attempt to replace a certificate
	// that is for another key than it should be.
	rekeyInterval = time.Hour
	// startInterval is how long to wait until a name without a certificate is begun with
	// again: certmagic gives up after 30 days.
	startInterval = 31 * 24 * time.Hour
	// mayRenewLate makes certmagic leave a certificate alone when it loads it: what
	// the operator wants (RenewBefore) is looked at later, when its validity is known.
	mayRenewLate = 1e-6
)

// authority has the certificates that come from one authority.
type authority struct {
	m       *Manager
	conf    config.ACME
	client  *client
	storage *storage
	cache   map[Kind]*certmagic.Cache
	once    sync.Once // Stops the caches.

	mu    sync.Mutex
	names map[nameKind]*managed
}

// nameKind is what there is a certificate for.
type nameKind struct {
	host string
	kind Kind
}

// managed is a certificate that is kept, and requested if there is none.
type managed struct {
	nameKind
	config *certmagic.Config
	ready  chan struct{} // Closed when there is one.
	once   sync.Once     // Closes it.

	started  time.Time // Guarded by authority.mu, as is what follows.
	rekeying bool
	rekeyed  time.Time // Last attempt.
}

func (m *Manager) newAuthority(conf config.ACME) (*authority, error) {
	c, err := m.newClient(conf)
	if err != nil {
		return nil, err
	}
	a := &authority{
		m:       m,
		conf:    conf,
		client:  c,
		storage: &storage{FileStorage: &certmagic.FileStorage{Path: filepath.Join(m.dir, "keycerts", conf.Name)}},
		cache:   map[Kind]*certmagic.Cache{},
		names:   map[nameKind]*managed{},
	}
	for _, kind := range kinds {
		a.cache[kind] = certmagic.NewCache(certmagic.CacheOptions{
			GetConfigForCert: func(cert certmagic.Certificate) (*certmagic.Config, error) {
				return a.configFor(kind, cert), nil
			},
			Logger: m.zap,
		})
	}
	return a, nil
}

// close may be called more than once.
func (a *authority) close() {
	a.once.Do(func() {
		for _, c := range a.cache {
			c.Stop()
		}
		a.storage.close()
	})
}

// config returns how certificates for a name and kind of key are kept. Ratio is the
// part of the validity that is left when one is renewed.
func (a *authority) config(n nameKind, ratio float64, m *managed) *certmagic.Config {
	return certmagic.New(a.cache[n.kind], certmagic.Config{
		RenewalWindowRatio: ratio,
		DisableARI:         a.conf.RenewBefore > 0,
		Issuers:            []certmagic.Issuer{&issuer{a.client, n.kind}},
		KeySource:          keySource{a.m, n},
		Storage:            a.storage,
		Logger:             a.m.zap,
		OnEvent: func(_ context.Context, event string, data map[string]any) error {
			a.event(m, event, data)
			return nil
		},
	})
}

// configFor returns how a certificate is kept. It is called with the cache locked.
func (a *authority) configFor(kind Kind, cert certmagic.Certificate) *certmagic.Config {
	n := nameKind{cert.Names[0], kind}
	m := a.managed(n)
	if a.conf.RenewBefore <= 0 {
		return m.config
	}
	return a.config(n, renewalRatio(a.conf.RenewBefore, cert.Lifetime()), m)
}

// renewalRatio returns the part of the validity that is left when a certificate is
// renewed. One that is valid for no longer than the time before its end at which it
// should be renewed is renewed when half of it is left.
func renewalRatio(before, lifetime time.Duration) float64 {
	if lifetime <= 0 || before >= lifetime {
		return 0.5
	}
	return float64(before) / float64(lifetime)
}

// managed returns what is known about a name.
func (a *authority) managed(n nameKind) *managed {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.names[n]
	if m == nil {
		m = &managed{nameKind: n, ready: make(chan struct{})}
		ratio := certmagic.DefaultRenewalWindowRatio
		if a.conf.RenewBefore > 0 {
			ratio = mayRenewLate
		}
		m.config = a.config(n, ratio, m)
		a.names[n] = m
	}
	return m
}

// ensure begins to keep certificates for a name: those that there are are loaded, and
// others requested, in the background and with growing time between attempts.
func (a *authority) ensure(host string) {
	for kind := range a.m.keysOf(host) {
		n := nameKind{host, kind}
		m := a.managed(n)
		a.mu.Lock()
		begin := time.Since(m.started) >= startInterval
		if begin {
			m.started = time.Now()
		}
		a.mu.Unlock()
		if !begin {
			continue
		}
		// It does nothing if there is a certificate.
		if err := m.config.ManageAsync(a.m.ctx, []string{host}); err != nil {
			a.m.log.Error("keeping certificate", "host", host, "key", string(kind), mlog.Err(err))
		}
	}
}

// event logs and counts what becomes of a certificate.
func (a *authority) event(m *managed, event string, data map[string]any) {
	renewal, _ := data["renewal"].(bool)
	switch event {
	case "cert_obtained":
		renewed := "no"
		if renewal {
			renewed = "yes"
		}
		metricObtained.WithLabelValues(a.conf.Name, renewed).Inc()
		a.m.log.Info("certificate obtained", "host", m.host, "key", string(m.kind), "acme", a.conf.Name, "renewal", renewal)
		a.m.kick()
	case "cert_failed":
		err, _ := data["error"].(error)
		if a.m.ctx.Err() != nil {
			return // We are stopping.
		}
		metricRequestErrors.WithLabelValues(a.conf.Name).Inc()
		a.m.log.Error("certificate could not be obtained, it is tried again later", "host", m.host, "key", string(m.kind), "acme", a.conf.Name,
			"renewal", renewal, mlog.Err(err), "advice", advice(a.conf, err))
	case "cached_managed_cert":
		m.once.Do(func() { close(m.ready) })
		a.m.kick()
	}
}

// update sets the metrics, and replaces certificates that are for another key.
func (a *authority) update(s *config.Snapshot) {
	for _, host := range s.CertificateHosts(a.conf.Name) {
		for kind, key := range a.m.keysOf(host.ASCII) {
			cert := a.certificate(host.ASCII, kind)
			if cert == nil {
				continue
			}
			observe(cert.Leaf, string(kind))
			if key != nil && !certifies(cert.Leaf, key) {
				a.rekey(a.managed(nameKind{host.ASCII, kind}))
			}
		}
	}
}

// rekey gets a certificate for the key that it should be for, in the background.
func (a *authority) rekey(m *managed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.rekeying || time.Since(m.rekeyed) < rekeyInterval || a.m.ctx.Err() != nil {
		return
	}
	m.rekeying, m.rekeyed = true, time.Now()
	a.m.done.Go(func() {
		defer func() {
			a.mu.Lock()
			m.rekeying = false
			a.mu.Unlock()
		}()
		old := a.cache[m.kind].AllMatchingCertificates(m.host)
		if err := m.config.RenewCertSync(a.m.ctx, m.host, true); err != nil {
			return // There was an event.
		}
		if _, err := m.config.CacheManagedCertificate(a.m.ctx, m.host); err != nil {
			a.m.log.Error("loading certificate", "host", m.host, mlog.Err(err))
			return
		}
		var hashes []string
		for _, cert := range old {
			hashes = append(hashes, cert.Hash())
		}
		a.cache[m.kind].Remove(hashes)
	})
}

// certificate returns the certificate of a host for a kind of key, or nil. Of more
// than one it is that which is valid the longest.
func (a *authority) certificate(host string, kind Kind) *tls.Certificate {
	var best *tls.Certificate
	for _, cert := range a.cache[kind].AllMatchingCertificates(host) {
		if cert.Leaf != nil && (best == nil || cert.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = &cert.Certificate
		}
	}
	return best
}

// keySource is a certmagic.KeyGenerator for a name.
type keySource struct {
	m *Manager
	nameKind
}

// GenerateKey implements certmagic.KeyGenerator: it returns the key of the host if it
// has one.
func (s keySource) GenerateKey() (crypto.PrivateKey, error) {
	if key := s.m.keysOf(s.host)[s.kind]; key != nil {
		return key, nil
	}
	if s.kind == RSA2048 {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}
